"""Sweeps: every point of a grid evaluated, and what came of each."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Unpack

from vecparity.errors import UsageError
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.job import Failure, Job, Outcome, settings_of
from vecparity.evaluation.keywords import EvaluationKeywords, divided, shows
from vecparity.evaluation.result import Evaluation, RunCurve
from vecparity.evaluator import Evaluator, as_list, require_bool
from vecparity.history.store import History
from vecparity.progress.cells import NotebookCells
from vecparity.progress.notebook import is_notebook
from vecparity.strategy import parameters
from vecparity.strategy.optimizer_parameters import missing_parameters, with_optimizer_parameters
from vecparity.strategy.parameters import Value
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import OptimizerConfig, Protocol, TaskConfig
from vecparity.training.curve import Curve
from vecparity.tuning.grid import SETTINGS, Grid, span_grid
from vecparity.tuning.results import Cell, Sweep

# Defaults of AdamW's numbers that a strategy has no parameters for: every cell has values of its own for them.
_GIVEN_IN_EVERY_CELL = OptimizerConfig(lr=0.0, wd=0.0, beta1=0.0, beta2=0.0)


@dataclass(frozen=True)
class SweepPlan:
    """A sweep to make, all of whose settings are valid.

    Attributes:
        strategy: The strategy.
        grid: The grid.
        jobs: The job of each point.
    """

    strategy: Strategy
    grid: Grid
    jobs: Sequence[Job]

    def sweep_of(self, cells: Mapping[int, Cell], seconds: float) -> Sweep:
        """Returns the sweep of some cells or all.

        Args:
            cells: The cells by their positions in the grid.
            seconds: The wall time.
        """
        config, protocol = settings_of(self.jobs[0])
        ordered = [cell for _, cell in sorted(cells.items())]
        return Sweep(self.strategy, self.grid.axes, config, protocol, self.jobs[0].seed, ordered, seconds)


def plan_sweep(base: Job, over: Mapping[str, Iterable[Value]], count: int | None) -> SweepPlan:
    """Spans the grid, and checks the settings and the parameters of every point.

    Args:
        base: The job of every cell, before the values on axes. Its parameters may be AdamW's numbers, too.
        over: The values of each axis, by its name: a parameter of the strategy, one of AdamW's numbers, or a setting.
        count: The number of cells to draw from the grid, by the job's seed, or None for all.

    Raises:
        UsageError: The strategy cannot be read, or there is no such grid; a value is refused by a setting; a name is an
            axis and has a value besides.
    """
    if not isinstance(over, Mapping):
        raise UsageError(f"over must be a mapping from names to values, got {over!r}")
    strategy = base.strategy if isinstance(base.strategy, Strategy) else load(base.strategy)
    for name in over:
        if name in {**base.params, **base.settings}:
            raise UsageError(f"{name} is swept over: expected no single value for it besides")
    if missing := missing_parameters(strategy, [*over, *base.params]):
        strategy = with_optimizer_parameters(strategy, missing, _GIVEN_IN_EVERY_CELL)
    grid = span_grid(over, strategy, count, base.seed)
    parameters.resolve(strategy, base.params)
    jobs = [_job_at(point, replace(base, strategy=strategy)) for point in grid.points]
    on_axes = [name for name in grid.axes if name in SETTINGS]
    distinct = {repr([job.settings[name] for name in on_axes]): job for job in jobs}  # 1 and True are equal
    for job in distinct.values():
        settings_of(job)
    return SweepPlan(strategy, grid, jobs)


def _job_at(point: Mapping[str, Value], base: Job) -> Job:
    settings = {name: value for name, value in point.items() if name in SETTINGS}
    own = {name: value for name, value in point.items() if name not in SETTINGS}
    return replace(base, params={**base.params, **own}, settings={**base.settings, **settings})


def evaluate_cells(plan: SweepPlan, evaluator: Evaluator) -> Iterator[tuple[int, Cell]]:
    """Yields each cell with its position in the grid, as soon as it is done.

    Raises:
        InterruptedTrainingError: The evaluator was stopped.
    """
    places = {id(job): place for place, job in enumerate(plan.jobs)}
    for job, outcome in evaluator.as_completed(plan.jobs):
        place = places[id(job)]
        yield place, _cell(plan.grid.points[place], outcome)


def _cell(point: Mapping[str, Value], outcome: Outcome) -> Cell:
    if isinstance(outcome, Failure):
        made = None if outcome.evaluation is None else _without_curves(outcome.evaluation)
        return Cell(point, None, outcome.error, made)
    return Cell(point, _without_curves(outcome))


def _without_curves(evaluation: Evaluation) -> Evaluation:
    """Returns the evaluation with empty curves: those of a thousand cells could take gigabytes."""
    empty = [RunCurve(run.secret_index, run.order_index, Curve()) for run in evaluation.curves]
    return replace(evaluation, curves=empty)


@shows(EvaluationKeywords)
def sweep(
    strategy: str | Path | Strategy,
    over: Mapping[str, Iterable[Value]],
    config: str | TaskConfig = "n32-k8",
    *,
    random: int | None = None,
    seed: int = 42,
    params: Mapping[str, Value] = MappingProxyType({}),
    protocol: Protocol = "full",
    smoke: bool = False,
    followers: Sequence[Follower] = (),
    history: History | str | Path | None = None,
    reuse: bool = False,
    progress: bool = True,
    executor: Executor | None = None,
    **options: Unpack[EvaluationKeywords],
) -> Sweep:
    """Evaluates a strategy at every point of a grid of its parameters and the settings.

        swept = vecparity.sweep("random_rows", {"hidden_width": [64, 512], "num_examples": [1000, 4000]}, secret_size=4)
        swept.summary.pivot(index="hidden_width", columns="num_examples", values="test_accuracy")

    Cells with equal settings train together. A cell's failure is that cell's error; the others go on. Nothing is
    audited unless ``audit`` asks for it: a sweep is its author's own map, not a score.

    Args:
        strategy: The name of a bundled strategy, a file, or a loaded strategy.
        over: The values of each axis, by its name: a parameter of the strategy, a setting, or one of AdamW's numbers
            (``lr``, ``wd``, ``beta1``, ``beta2``), which are parameters of every strategy here.
        config: A label (``n32-k8``, ``n50-k8``, ``n64-k8``), or settings.
        random: The number of cells to draw from the grid, without replacement and by the seed; by default all.
        seed: The top-level seed of every cell: all cells of equal settings have the same secrets.
        params: Values for other parameters of the strategy, by name.
        protocol: See `evaluate_many`.
        smoke: See `evaluate_many`.
        followers: See `evaluate_many`.
        history: The history to record the evaluations in, if any. With ``reuse``, a sweep that was killed goes on where
            it was.
        reuse: See `evaluate_many`.
        progress: See `evaluate_many`.
        executor: See `Evaluator`.
        **options: See `evaluate_many`.

    Returns:
        The sweep, whose ``runs`` and ``summary`` are data frames. Its evaluations have no curves.

    Raises:
        UsageError: An argument is invalid, or a value on an axis.
        MachineError: Strategies cannot be contained as requested.
    """
    began = time.monotonic()
    own, settings = divided(options, sweep)
    require_bool("progress", progress)
    plan = plan_sweep(Job(strategy, config, seed, params, protocol, smoke, settings), over, random)
    own.setdefault("audit", "off")
    shown = [NotebookCells(len(plan.jobs))] if progress and is_notebook() else []
    listed = [*as_list("followers", followers, "a sequence of followers"), *shown]
    cells = dict[int, Cell]()
    with Evaluator(followers=listed, history=history, reuse=reuse, executor=executor, **own) as evaluator:
        for place, cell in evaluate_cells(plan, evaluator):
            cells[place] = cell
            for display in shown:
                display.add_cell()
    return plan.sweep_of(cells, time.monotonic() - began)
