"""Pictures of a sweep along one axis: means with 95% intervals over secrets, and a line for each value of another."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from vecparity.report.axes import new_figure, scale_accuracies
from vecparity.report.conclusions import CHANCE, listed
from vecparity.report.hover import describe_marks
from vecparity.report.series import Look, look
from vecparity.report.svg import INK, SERIES, to_svg
from vecparity.strategy.parameters import Value
from vecparity.tuning import value_axes
from vecparity.tuning.sweep_figures import CellFigures, Point, Quantity, failures, grouped, in_words, key, point
from vecparity.tuning.value_axes import ValueAxis, in_short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Most lines of a picture: there are as many colours.
_MOST_LINES = len(SERIES)
# Share of the axis between two lines' marks, and most of it and of the gap between two values that all take: intervals
# stand side by side.
_BETWEEN, _MOST_SPREAD, _MOST_OF_GAP = 0.014, 0.12, 0.4


@dataclass(frozen=True)
class LinePicture:
    """A picture along one axis.

    Attributes:
        name: The axis.
        picture: The picture.
        about: The sentence about what a line is.
        legend: Each line's look and name; empty if there is but one.
    """

    name: str
    picture: Markup
    about: str
    legend: list[tuple[Look, str]]


@dataclass(frozen=True)
class _Line:
    """A line's points, one for each value of the axis."""

    look: Look
    name: str
    points: list[Point]


def line_picture(
    every: Sequence[CellFigures], axes: Mapping[str, tuple[Value, ...]], name: str, quantity: Quantity, prefix: str
) -> LinePicture:
    """Draws a quantity along one axis.

    Args:
        every: All cells.
        axes: The axes with two values or more.
        name: The axis to draw along.
        quantity: The quantity to draw.
        prefix: See `to_svg`.
    """
    others = [other for other in axes if other != name]
    other = others[0] if len(others) == 1 and len(axes[others[0]]) <= _MOST_LINES else None
    lines = _lines(every, axes, name, other, quantity)
    axis = value_axes.of_grid(name, axes[name])
    figure, panel = new_figure(2.9 + axis.label_height)
    places = [_places(axis, number - (len(lines) - 1) / 2, len(lines)) for number in range(len(lines))]
    for line, own in zip(lines, places, strict=True):
        _draw(panel, axis, line, own, quantity)
    if quantity == "accuracy":
        panel.axhline(CHANCE, color=INK, linewidth=0.6, linestyle=(0, (4, 3)), alpha=0.6)
        panel.set_ylabel("test accuracy")
        scale_accuracies(panel)
    else:
        value_axes.scale_step_counts(panel, _heights(lines))
    lowest = panel.get_ylim()[0]
    for line, own in zip(lines, places, strict=True):
        _mark_failures(panel, axis, line, own, lowest)
    panel.set_ylim(bottom=lowest)
    axis.apply(panel)
    about = _about(others, other)
    picture = to_svg(figure, prefix, f"{quantity} against {name} with 95% intervals, {about}")
    return LinePicture(name, picture, about, [(line.look, line.name) for line in lines] if other else [])


def _about(others: Sequence[str], other: str | None) -> str:
    if other:
        return f"one line for each value of {other}"
    return f"the mean over all values of {listed(others)}" if others else "one cell a value"


def _lines(
    every: Sequence[CellFigures],
    axes: Mapping[str, tuple[Value, ...]],
    name: str,
    other: str | None,
    quantity: Quantity,
) -> list[_Line]:
    if other is None:
        of_value = grouped(every, name)
        return [_Line(look(0), "", [point(of_value.get(key(value), []), quantity) for value in axes[name]])]
    of_pair = grouped(every, name, other)
    return [
        _Line(
            look(number),
            f"{other} {words}",
            [point(of_pair.get(key(value, own), []), quantity) for value in axes[name]],
        )
        for number, (own, words) in enumerate(zip(axes[other], value_axes.tell_apart(axes[other]), strict=True))
    ]


def _places(axis: ValueAxis, offset: float, num_lines: int) -> list[float]:
    """Returns the place of each value, moved aside so that the intervals of several lines can be seen."""
    share = offset * min(_BETWEEN, _MOST_SPREAD / num_lines, _MOST_OF_GAP / num_lines / len(axis.values))
    low, high = axis.ends
    if axis.is_log:
        return [axis.at(value) * (high / low) ** share for value in axis.values]
    return [axis.at(value) + (high - low) * share for value in axis.values]


def _heights(lines: Sequence[_Line]) -> list[float]:
    """Returns all heights that are drawn: means, and the upper ends of intervals."""
    points = [each for line in lines for each in line.points if each.mean is not None]
    means = [each.mean for each in points if each.mean is not None]
    return means + [each.interval.high for each in points if each.interval]


def _draw(panel: "Axes", axis: ValueAxis, line: _Line, places: Sequence[float], quantity: Quantity) -> None:
    """Draws the means that there are, their intervals, and a line that breaks where there is none."""
    look, means = line.look, [math.nan if each.mean is None else each.mean for each in line.points]
    panel.plot(places, means, color=look.colour, linestyle=look.line_style, linewidth=1.6, clip_on=False)
    drawn = [index for index, each in enumerate(line.points) if each.mean is not None]
    for index in drawn:
        between = line.points[index].interval
        if between:
            panel.vlines(places[index], between.low, between.high, color=look.colour, linewidth=1.2)
    (marks,) = panel.plot(
        [places[index] for index in drawn],
        [means[index] for index in drawn],
        linestyle="none",
        marker=look.marker,
        markersize=4.4,
        color=look.colour,
        clip_on=False,
    )
    describe_marks(marks, *(_title(axis, line, index, in_words(line.points[index], quantity)) for index in drawn))


def _mark_failures(panel: "Axes", axis: ValueAxis, line: _Line, places: Sequence[float], lowest: float) -> None:
    """Marks values at which cells have no score by a cross at the bottom."""
    failed = [index for index, each in enumerate(line.points) if each.problems]
    if not failed:
        return
    (marks,) = panel.plot(
        [places[index] for index in failed],
        [lowest] * len(failed),
        linestyle="none",
        marker="x",
        markersize=5,
        color=line.look.colour,
        clip_on=False,
    )
    texts = (failures(line.points[index]) for index in failed)
    describe_marks(marks, *(_title(axis, line, index, text) for index, text in zip(failed, texts, strict=True)))


def _title(axis: ValueAxis, line: _Line, index: int, text: str) -> str:
    return f"{axis.name} {in_short(axis.values[index])}{', ' + line.name if line.name else ''}: {text}"
