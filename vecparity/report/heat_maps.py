"""Heat maps in one colour whose opacity is the value, so that they suit light and dark pages."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from vecparity.evaluation.result import ByFeature, Evaluation
from vecparity.report.hover import describe_marks
from vecparity.report.svg import INK, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOUR = (0.12, 0.47, 0.75)  # bright enough for a dark page, dark enough for a light one
_WIDTH = 4.8
_LEAST_HEIGHT, _MOST_HEIGHT, _PER_ROW = 1.7, 4.2, 0.12
# Height beside the rows (axis title and scale) and height of a label, in inches.
_BESIDE_ROWS, _PER_LABEL = 0.9, 0.17
_MOST_COLUMN_LABELS = 9


def density(evaluation: Evaluation, prefix: str) -> Markup | None:
    """Draws the share of rows in which each feature is on, by secret; None if secrets are sealed."""
    rows = [data.density.each for data in evaluation.datasets]
    values = [row for row in rows if row is not None]
    if len(values) < len(rows) or not rows:
        return None
    marks = [(row, feature) for row, data in enumerate(evaluation.datasets) for feature in data.secret or []]
    return _heat_map(
        np.array(values),
        1.0,
        [(data.secret_index, None) for data in evaluation.datasets],
        ("feature (dots: the secret's)", "share of rows in which the feature is on"),
        prefix,
        [
            f"secret {data.secret_index}: density {data.density.secret:.4g} of its features{_of_others(data.density)}"
            for data in evaluation.datasets
        ],
        marks=marks,
    )


def weights(evaluation: Evaluation, most: float, prefix: str) -> Markup | None:
    """Draws every run's mean |weight| of every feature, its secret's features first; None if secrets are sealed.

    Args:
        evaluation: The runs.
        most: The weight that gets full colour, so that pictures can be compared.
        prefix: See `to_svg`.
    """
    secrets = {data.secret_index: data.secret for data in evaluation.datasets}
    rows = []
    for layer in evaluation.first_layers:
        secret, weights = secrets[layer.secret_index], layer.mean_abs_weight.each
        if secret is None or weights is None:
            return None
        rows.append([weights[feature] for feature in (*secret, *(i for i in range(len(weights)) if i not in secret))])
    if not rows:
        return None
    size = evaluation.config.secret_size
    places = [(layer.secret_index, layer.order_index) for layer in evaluation.first_layers]
    words = (f"feature (the run's {size} secret ones first)", "mean |weight|")
    return _heat_map(np.array(rows), most, places, words, prefix, border=size)


def largest_weight(evaluations: Sequence[Evaluation]) -> float:
    """Returns the largest mean |weight| of any feature in any run."""
    layers = (layer.mean_abs_weight.each for evaluation in evaluations for layer in evaluation.first_layers)
    return max((max(weights) for weights in layers if weights is not None), default=1.0)


def _heat_map(
    values: np.ndarray,
    most: float,
    places: Sequence[tuple[int, int | None]],
    words: tuple[str, str],
    prefix: str,
    texts: Sequence[str] = (),
    marks: Sequence[tuple[int, int]] = (),
    border: int | None = None,
) -> Markup:
    from matplotlib.figure import Figure

    num_rows, num_features = values.shape
    height = min(_MOST_HEIGHT, max(_LEAST_HEIGHT, 1.0 + _PER_ROW * num_rows))
    figure = Figure(figsize=(_WIDTH, height))
    axes, scale = figure.subplots(2, height_ratios=[height - 0.75, 0.09])
    axes.imshow(values, vmin=0, vmax=most, **opacity())
    for row, text in enumerate(texts):
        (bar,) = axes.barh(row, num_features, height=1.0, left=-0.5, color="none")
        describe_marks(bar, text)
    axes.plot(
        [feature for _, feature in marks],
        [row for row, _ in marks],
        linestyle="none",
        marker=".",
        markersize=2,
        color=INK,
    )
    if border is not None and border < num_features:
        axes.axvline(border - 0.5, color=INK, linewidth=1.0)
    axes.set(xlabel=words[0])
    axes.set_xticks(range(0, num_features, stride(num_features, _MOST_COLUMN_LABELS)))
    rows_are = _name_rows(axes, places, int((height - _BESIDE_ROWS) / _PER_LABEL))
    draw_scale(scale, 0, most, words[1])
    axes.set_xlim(-0.5, num_features - 0.5)
    axes.set_ylim(num_rows - 0.5, -0.5)
    for panel in (axes, scale):
        frame(panel)
    return to_svg(figure, prefix, f"heat map: {words[1]}, one {rows_are} a row, one feature a column")


def _name_rows(axes: "Axes", places: Sequence[tuple[int, int | None]], most: int) -> str:
    """Labels rows by secret and ordering or, if too many, labels the secrets' blocks; returns a row's name."""
    blocks: dict[int, list[int]] = {}
    for row, (secret, _) in enumerate(places):
        blocks.setdefault(secret, []).append(row)
    if len(blocks) < len(places) <= most:
        axes.set_yticks(range(len(places)), [f"{secret}/{ordering}" for secret, ordering in places])
        axes.set_ylabel("secret/\nordering")
    else:
        labelled = list(blocks.items())[:: stride(len(blocks), most)]
        axes.set_yticks([(rows[0] + rows[-1]) / 2 for _, rows in labelled], [str(secret) for secret, _ in labelled])
        axes.set_ylabel("secret")
    if len(blocks) == len(places):
        return "secret"
    for rows in list(blocks.values())[1:]:
        axes.axhline(rows[0] - 0.5, color=INK, linewidth=0.4, alpha=0.5)
    return "run"


def _of_others(values: ByFeature) -> str:
    return "" if values.others is None else f", {values.others:.4g} of the others"


def stride(count: int, most: int) -> int:
    """Returns the smallest of 1, 2, 5, 10 and so on that leaves at most ``most`` labels."""
    step, factors = 1, cycle((2.0, 2.5, 2.0))
    while count > step * most:
        step = round(step * next(factors))
    return step


def opacity() -> dict[str, Any]:
    """Returns the look of an image in one colour, whose opacity is the value: none for the least, full for the most."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("opacity", [(*_COLOUR, 0.0), (*_COLOUR, 1.0)])
    return {"cmap": colours, "interpolation": "none", "aspect": "auto"}


def draw_scale(axes: "Axes", least: float, most: float, name: str) -> None:
    """Draws the scale of opacities as a strip of its own."""
    axes.imshow(np.linspace(least, most, 64)[None], extent=(least, most, 0, 1), **opacity())
    axes.set(xlabel=name, yticks=[])


def frame(axes: "Axes") -> None:
    """Frames an image, which has no grid."""
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_linewidth(0.5)
    axes.tick_params(width=0.5, length=2.5)
