"""Axes of pictures for values of a parameter or setting: numbers, on a logarithmic scale or not, or categories."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING

from vecparity.report.series import distinct, shortened
from vecparity.strategy.parameters import Value
from vecparity.strategy.space import Choice, Range

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

# Most characters of labels side by side, and most labels that stand upright: more would overlap.
_MOST_CHARACTERS, _MOST_UPRIGHT = 52, 26
# Most characters of a label that stands upright, and the height of one, in inches.
_MOST_OF_UPRIGHT, _PER_CHARACTER = 14, 0.085
# Share of the axis that parts two ticks at least; most ticks at a grid's own values.
_LEAST_GAP, _MOST_TICKS = 0.09, 7
# Ratios of the ends of a logarithmic scale: up to the first it may have no round numbers, up to the second it has few
# powers of ten.
_NARROW, _FEW_DECADES = 4.0, 50.0
# Numbers from this ratio of the largest to the smallest on may have a logarithmic scale.
_WIDE = 8.0
_MARGIN = 0.04


def in_short(value: Value) -> str:
    """Returns a value as text, a number with at most four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if value != "" else "''"


def tell_apart(values: Sequence[Value], most: int = 24) -> list[str]:
    """Returns values as short texts that all differ: as Python writes them, where two would not."""
    shorts = [shortened(in_short(value), most) for value in values]
    if len(set(shorts)) == len(shorts):
        return shorts
    return distinct([shortened(repr(value), most) for value in values])


def column_labels(values: Sequence[Value], most: int) -> tuple[list[str], float]:
    """Returns labels side by side, and the height in inches that they take more than a line: 0 unless they are upright.

    Args:
        values: The values.
        most: The characters that have room side by side.
    """
    labels = tell_apart(values)
    if not any(len(one + other) / 2 + 2 > most / len(labels) for one, other in pairwise([*labels, ""])):
        return labels, 0.0
    labels = tell_apart(values, _MOST_OF_UPRIGHT)
    return labels, _PER_CHARACTER * max(map(len, labels))


@dataclass(frozen=True)
class ValueAxis:
    """An axis for the values of one parameter or setting.

    Attributes:
        name: Its name.
        values: All categories, or the values of a grid, or the two ends of a range.
        is_grid: True if ``values`` are all values that can occur.
        is_category: True if values stand side by side, in the order of ``values``, and not at their size.
        is_log: True if orders of magnitude are equally wide.
    """

    name: str
    values: tuple[Value, ...]
    is_grid: bool
    is_category: bool
    is_log: bool

    def at(self, value: Value) -> float:
        """Returns the place of a value."""
        if not self.is_category:
            return float(value)
        return float([(type(own), own) for own in self.values].index((type(value), value)))

    @property
    def ends(self) -> tuple[float, float]:
        """Returns the places of both ends of the axis, a margin beyond the values."""
        if self.is_category:
            return -0.5, len(self.values) - 0.5
        low, high = min(map(float, self.values)), max(map(float, self.values))
        if self.is_log:
            ratio = (high / low) ** _MARGIN
            return low / ratio, high * ratio
        margin = (high - low) * _MARGIN or 0.5
        return low - margin, high + margin

    @property
    def label_height(self) -> float:
        """The height in inches by which a picture grows so that its labels have room."""
        return column_labels(self.values, _MOST_CHARACTERS)[1] if self.is_category else 0.0

    def apply(self, axes: "Axes") -> None:
        """Sets the scale, the limits and the ticks of the horizontal axis."""
        axes.set_xlabel(shortened(self.name) + (" (log scale)" if self.is_log else ""))
        if self.is_category:
            self._name_categories(axes)
        else:
            _scale_numbers(axes.xaxis, axes.set_xscale, self.is_log, self.ends, "g")
            if self.is_grid and self._has_room():
                axes.set_xticks([float(value) for value in self.values], [in_short(value) for value in self.values])
                axes.minorticks_off()
        axes.set_xlim(*self.ends)

    def _name_categories(self, axes: "Axes") -> None:
        labels, height = column_labels(self.values, _MOST_CHARACTERS)
        ticks = range(0, len(labels), -(-len(labels) // _MOST_UPRIGHT))
        axes.set_xticks(ticks, [labels[tick] for tick in ticks], rotation=90 if height else 0)
        axes.grid(visible=False, axis="x")

    def _has_room(self) -> bool:
        """Tells whether each value of a grid can have a tick of its own."""
        places = sorted(log(float(value)) if self.is_log else float(value) for value in self.values)
        least = _LEAST_GAP * (places[-1] - places[0])
        return len(places) <= _MOST_TICKS and all(b - a >= least for a, b in pairwise(places))


def of_space(name: str, space: Range | Choice) -> ValueAxis:
    """Returns the axis of a parameter that a search varies."""
    if isinstance(space, Range):
        return ValueAxis(name, (space.low, space.high), is_grid=False, is_category=False, is_log=space.log)
    return ValueAxis(name, space.values, is_grid=True, is_category=True, is_log=False)


def of_grid(name: str, values: tuple[Value, ...]) -> ValueAxis:
    """Returns the axis of a sweep: numbers at their size, anything else side by side."""
    is_category = not are_numbers(values)
    is_log = not is_category and _is_geometric(sorted(map(float, values)))
    return ValueAxis(name, values, is_grid=True, is_category=is_category, is_log=is_log)


def are_numbers(values: Sequence[Value]) -> bool:
    """Tells whether all values are numbers, which have an order and a size."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _is_geometric(numbers: Sequence[float]) -> bool:
    """Tells whether numbers range widely, and are more even on a logarithmic scale than on a linear one."""
    if numbers[0] <= 0 or numbers[-1] < _WIDE * numbers[0]:
        return False
    return _unevenness([log(number) for number in numbers]) <= _unevenness(numbers)


def _unevenness(places: Sequence[float]) -> float:
    """Returns the largest gap between places as a share of all."""
    return max(after - before for before, after in pairwise(places)) / (places[-1] - places[0])


def scale_step_counts(axes: "Axes", counts: Sequence[float]) -> None:
    """Sets the vertical axis of steps: from 0, or a logarithmic scale if the longest are much longer."""
    low, high = min(counts, default=0.0), max(counts, default=1.0)
    is_log = low > 0 and high >= _WIDE * low
    _scale_numbers(axes.yaxis, axes.set_yscale, is_log, (low, high), ",.0f")
    axes.set_ylabel("steps (log scale)" if is_log else "steps")
    if not is_log:
        axes.set_ylim(0, high * 1.06 or 1.0)


def _scale_numbers(
    axis: "Axis", set_scale: Callable[[str], None], is_log: bool, ends: tuple[float, float], form: str
) -> None:
    """Sets a scale whose ticks are plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    set_scale("log" if is_log else "linear")
    if is_log and ends[1] > _NARROW * ends[0]:
        is_few = ends[1] < _FEW_DECADES * ends[0]
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if is_few else (1.0,), numticks=6))
    else:
        axis.set_major_locator(MaxNLocator(5))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: format(round(value, 12), form)))
