"""Heat maps of a sweep over two axes, in one colour whose opacity is the value."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from vecparity.report.axes import WIDTH
from vecparity.report.heat_maps import draw_scale, frame, opacity, stride
from vecparity.report.hover import describe_marks
from vecparity.report.series import shortened
from vecparity.report.svg import INK, SERIES, to_svg
from vecparity.strategy.parameters import Value
from vecparity.tuning.sweep_figures import CellFigures, Point, Quantity, grouped, in_words, key, point
from vecparity.tuning.value_axes import are_numbers, column_labels, in_short, tell_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Height beside the rows, and of a row, in inches; least and most height.
_BESIDE_ROWS, _PER_ROW, _LEAST_HEIGHT, _MOST_HEIGHT = 1.2, 0.26, 2.3, 5.2
# Most rows and columns whose cells have room for their number, most labels of rows and of columns.
_MOST_NUMBERED_ROWS, _MOST_NUMBERED_COLUMNS = 14, 7
_MOST_ROW_LABELS, _MOST_COLUMN_LABELS = 20, 26
# Characters of all column labels that have room side by side.
_MOST_CHARACTERS = 46
# Differences that full opacity stands for at least, so that a sweep without any shows none.
_LEAST_RANGE: Mapping[Quantity, float] = {"accuracy": 0.01, "steps": 100.0}


def ends_of_scale(
    every: Sequence[CellFigures], pairs: Sequence[tuple[str, str]], quantity: Quantity
) -> tuple[float, float] | None:
    """Returns the least and greatest mean of all maps of a page, which share a scale; None if there is none."""
    points = [point(some, quantity) for pair in pairs for some in grouped(every, *pair).values()]
    means = [each.mean for each in points if each.mean is not None]
    if not means:
        return None
    return min(min(means), max(means) - _LEAST_RANGE[quantity]), max(means)


def heat_map(
    every: Sequence[CellFigures],
    axes: Mapping[str, tuple[Value, ...]],
    pair: tuple[str, str],
    quantity: Quantity,
    ends: tuple[float, float],
    prefix: str,
) -> Markup:
    """Draws a quantity over two axes: the one with more values is horizontal.

    Args:
        every: All cells.
        axes: The axes with two values or more.
        pair: The names of the two axes.
        quantity: The quantity to draw.
        ends: The values of no and of full opacity.
        prefix: See `to_svg`.
    """
    from matplotlib.figure import Figure

    down, across = sorted(pair, key=lambda name: len(axes[name]))
    groups = grouped(every, down, across)
    points = [[point(groups.get(key(row, column), []), quantity) for column in axes[across]] for row in axes[down]]
    num_rows, num_columns = len(axes[down]), len(axes[across])
    labels, upright = column_labels(axes[across], _MOST_CHARACTERS)
    height = upright + min(_MOST_HEIGHT, max(_LEAST_HEIGHT, _BESIDE_ROWS + _PER_ROW * num_rows))
    figure = Figure(figsize=(WIDTH, height))
    panel, scale = figure.subplots(2, height_ratios=[height - 0.75, 0.09])
    values = np.array([[np.nan if each.mean is None else each.mean for each in row] for row in points])
    panel.imshow(values, vmin=ends[0], vmax=ends[1], **opacity())
    if num_rows <= _MOST_NUMBERED_ROWS and num_columns <= _MOST_NUMBERED_COLUMNS:
        _write_numbers(panel, values, quantity)
    _mark_empty(panel, points)
    _describe(panel, points, axes, (down, across), quantity)
    _name_rows(panel, axes[down])
    ticks = range(0, num_columns, stride(num_columns, _MOST_COLUMN_LABELS))
    panel.set_xticks(ticks, [labels[tick] for tick in ticks], rotation=90 if upright else 0)
    panel.set_xlim(-0.5, num_columns - 0.5)
    panel.set(ylabel=shortened(down), xlabel=shortened(across))
    _draw_scale(scale, ends, quantity)
    for each in (panel, scale):
        frame(each)
    return to_svg(figure, prefix, f"heat map of {quantity}: {down} down, {across} across")


def _write_numbers(panel: "Axes", values: np.ndarray, quantity: Quantity) -> None:
    form = ".4f" if quantity == "accuracy" else ",.0f"
    for (row, column), value in np.ndenumerate(values):
        if not np.isnan(value):
            panel.text(column, row, f"{value:{form}}", ha="center", va="center", fontsize=7.5)


def _mark_empty(panel: "Axes", points: Sequence[Sequence[Point]]) -> None:
    """Marks cells that have no score by a cross, and those that were not evaluated by a dot."""
    places = [(row, column, each) for row, of_row in enumerate(points) for column, each in enumerate(of_row)]
    failed = [(row, column) for row, column, each in places if each.mean is None and each.problems]
    missing = [(row, column) for row, column, each in places if each.mean is None and not each.problems]
    for some, marker, colour in ((failed, "x", SERIES[4]), (missing, ".", INK)):
        if some:
            panel.plot(
                [column for _, column in some],
                [row for row, _ in some],
                linestyle="none",
                marker=marker,
                markersize=5 if marker == "x" else 2.5,
                color=colour,
            )


def _describe(
    panel: "Axes",
    points: Sequence[Sequence[Point]],
    axes: Mapping[str, tuple[Value, ...]],
    names: tuple[str, str],
    quantity: Quantity,
) -> None:
    """Lets each cell show its figures, by a rectangle that cannot be seen."""
    from matplotlib.collections import PolyCollection

    corners = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    rectangles, texts = [], []
    for row, of_row in enumerate(points):
        for column, each in enumerate(of_row):
            rectangles.append(corners + np.array([column, row]))
            values = axes[names[0]][row], axes[names[1]][column]
            where = ", ".join(f"{name} {in_short(value)}" for name, value in zip(names, values, strict=True))
            texts.append(f"{where}: {in_words(each, quantity)}")
    cells = PolyCollection(rectangles, facecolors=[(0.0, 0.0, 0.0, 0.0)], linewidths=0, zorder=9)  # above the numbers
    panel.add_collection(cells, autolim=False)
    describe_marks(cells, *texts)


def _name_rows(panel: "Axes", values: Sequence[Value]) -> None:
    """Labels rows, from below if they are numbers, and limits the axis to them."""
    labels = tell_apart(values)
    ticks = range(0, len(labels), stride(len(labels), _MOST_ROW_LABELS))
    panel.set_yticks(ticks, [labels[tick] for tick in ticks])
    ends = (-0.5, len(labels) - 0.5)
    panel.set_ylim(*(ends if are_numbers(values) else ends[::-1]))


def _draw_scale(scale: "Axes", ends: tuple[float, float], quantity: Quantity) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    draw_scale(scale, *ends, "mean test accuracy" if quantity == "accuracy" else "mean steps")
    scale.xaxis.set_major_locator(MaxNLocator(5))
    if quantity == "steps":
        scale.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
