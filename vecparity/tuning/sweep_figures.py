"""Figures of a sweep: means over cells with intervals over secrets, and how much each axis matters."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from statistics import fmean
from typing import Literal

from vecparity.analysis.intervals import Interval, interval
from vecparity.errors import in_number, printable
from vecparity.evaluation.summary import summarize
from vecparity.strategy.parameters import Value
from vecparity.tuning.results import Cell, Sweep
from vecparity.tuning.value_axes import are_numbers, in_short

Quantity = Literal["accuracy", "steps"]
QUANTITIES: tuple[Quantity, ...] = ("accuracy", "steps")
# Axes whose pairs are drawn: six maps.
_MOST_PAIRED = 4
# Most characters of a reason that a mark shows.
_MOST_CHARACTERS = 100
_MOST_OF: Mapping[Quantity, float] = {"accuracy": 1.0, "steps": math.inf}


@dataclass(frozen=True)
class CellFigures:
    """A cell's figures.

    Attributes:
        cell: The cell.
        problem: The reason why it has no score; empty if it has one.
        secrets: What its secrets are: cells that agree in this have the same.
        by_secret: The mean over each secret's runs, in the secrets' order; empty without a score.
    """

    cell: Cell
    problem: str
    secrets: tuple[object, ...]
    by_secret: Mapping[Quantity, list[float]]

    def mean(self, quantity: Quantity) -> float:
        return fmean(self.by_secret[quantity])


@dataclass(frozen=True)
class Point:
    """A mean over cells.

    Attributes:
        mean: The mean over the cells with a score, or None if none has one.
        interval: Its 95% interval over secrets, or None if they are too few or do not differ.
        num_cells: The number of cells with a score.
        problems: The reasons of the cells without one.
    """

    mean: float | None
    interval: Interval | None
    num_cells: int
    problems: list[str]


def figures_of_cells(sweep: Sweep) -> list[CellFigures]:
    """Returns the figures of every cell."""
    return [_entry(cell) for cell in sweep.cells]


def _entry(cell: Cell) -> CellFigures:
    evaluation = cell.evaluation
    problem = (evaluation.why_no_score if evaluation else cell.error) or (None if evaluation else "no score")
    if evaluation is None or problem:
        return CellFigures(cell, str(problem), (), {})
    summary, provenance = summarize(evaluation), evaluation.provenance
    orderings = summary.num_runs // len(summary.step_sums)
    secrets = (summary.label, summary.seed, summary.seal, provenance.draw, len(summary.step_sums))
    steps = [total / orderings for total in summary.step_sums]
    return CellFigures(cell, "", secrets, {"accuracy": summary.accuracies, "steps": steps})


def point(some: Iterable[CellFigures], quantity: Quantity) -> Point:
    """Returns the mean over cells, which share their secrets unless seeds or configurations differ."""
    every = list(some)
    scored = [entry for entry in every if not entry.problem]
    problems = [entry.problem for entry in every if entry.problem]
    if not scored:
        return Point(None, None, 0, problems)
    of_secrets: dict[tuple[object, ...], list[list[float]]] = {}
    for entry in scored:
        of_secrets.setdefault(entry.secrets, []).append(entry.by_secret[quantity])
    samples = [[fmean(values) for values in zip(*cells, strict=True)] for cells in of_secrets.values()]
    between = interval(samples, [len(cells) / len(scored) for cells in of_secrets.values()])
    clipped = between.within(0.0, _MOST_OF[quantity]) if between else None
    return Point(fmean(entry.mean(quantity) for entry in scored), clipped, len(scored), problems)


def key(*values: Value) -> tuple[object, ...]:
    """Returns what tells values apart: 1, 1.0 and True are equal."""
    return tuple((type(value), value) for value in values)


def grouped(every: Iterable[CellFigures], *names: str) -> dict[tuple[object, ...], list[CellFigures]]:
    """Returns the entries by the keys of their values on some axes."""
    groups: dict[tuple[object, ...], list[CellFigures]] = {}
    for entry in every:
        groups.setdefault(key(*(entry.cell.values[name] for name in names)), []).append(entry)
    return groups


def varied(sweep: Sweep) -> dict[str, tuple[Value, ...]]:
    """Returns the axes with two values or more; numbers ascend."""
    return {name: _in_order(values) for name, values in sweep.axes.items() if len(values) > 1}


def _in_order(values: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(sorted(values, key=float)) if are_numbers(values) else values


def means_along(every: Iterable[CellFigures], name: str) -> list[float]:
    """Returns the mean accuracy at each value of an axis that has one."""
    found = [point(of_value, "accuracy").mean for of_value in grouped(every, name).values()]
    return [mean for mean in found if mean is not None]


def paired(every: Sequence[CellFigures], axes: Mapping[str, tuple[Value, ...]]) -> list[str]:
    """Returns the axes whose pairs are drawn, in their order: the four whose means differ most, if there are more."""
    means = {name: means_along(every, name) or [0.0] for name in axes}
    by_spread = sorted(axes, key=lambda name: min(means[name]) - max(means[name]))
    return [name for name in axes if name in by_spread[:_MOST_PAIRED]]


def in_words(of: Point, quantity: Quantity) -> str:
    """Returns a mean with its interval and the number of cells behind it, or why there is none."""
    if of.mean is None:
        return failures(of) or "not evaluated"
    form = ".4f" if quantity == "accuracy" else ",.0f"
    between = f"95% interval {of.interval.low:{form}} to {of.interval.high:{form}}" if of.interval else "no interval"
    cells = f", mean of {of.num_cells} cells" if of.num_cells > 1 else ""
    failed = f"; {failures(of)}" if of.problems else ""
    figure = f"accuracy {of.mean:{form}}" if quantity == "accuracy" else f"{of.mean:{form}} steps"
    return f"{figure} ({between}){cells}{failed}"


def failures(of: Point) -> str:
    """Returns the number of cells without a score, and the first reason; nothing if there are none."""
    if not of.problems:
        return ""
    return f"{in_number(len(of.problems), 'cell')} without a score: {printable(of.problems[0], _MOST_CHARACTERS)}"


def in_words_of_sweep(sweep: Sweep, every: Sequence[CellFigures]) -> list[str]:
    """Returns the sentences about the whole: how many cells there are, and the best."""
    over = " × ".join(f"{name} ({len(values)})" for name, values in sweep.axes.items())
    scored = [entry for entry in every if not entry.problem]
    failed = len(every) - len(scored)
    possible = prod(len(values) for values in sweep.axes.values())
    of_grid = f" of a grid of {possible:,}" if len(every) < possible else ""
    without = f", {failed:,} without a score" if failed else ""
    is_one = not {"n_features", "secret_size"} & sweep.axes.keys()
    where = f" on {sweep.config.label}" if is_one else ""
    first = f"{sweep.strategy.name}{where}, over {over}: {in_number(len(every), 'cell')}{of_grid}{without}."
    if not scored:
        return [first, "No cell has a score."]
    best = min(scored, key=lambda entry: (-entry.mean("accuracy"), entry.mean("steps")))
    sharing = sum(entry.mean("accuracy") == best.mean("accuracy") for entry in scored)
    where = " ".join(f"{name}={in_short(value)}" for name, value in best.cell.values.items())
    tied = f"; {sharing:,} cells share this accuracy" if sharing > 1 else ""
    return [
        first,
        f"The best cell is {where}: {in_words(point([best], 'accuracy'), 'accuracy')}, "
        f"in {best.mean('steps'):,.0f} steps{tied}.",
    ]
