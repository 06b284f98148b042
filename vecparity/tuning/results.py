"""The results of searches and sweeps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from vecparity.errors import VecparityError, in_number, visible
from vecparity.evaluation.params import params_key
from vecparity.evaluation.result import Evaluation
from vecparity.strategy.parameters import Value
from vecparity.strategy.rewriting import with_defaults
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Space
from vecparity.task.config import TaskConfig

if TYPE_CHECKING:
    import pandas as pd

# complete: all runs were made. dropped: a race ended it early. failed: it has no score, and ``error`` says why.
TrialState = Literal["complete", "dropped", "failed"]
# The order of states where figures cannot tell: fewer runs are a weaker figure, and a failed trial has none.
_ORDER: dict[TrialState, int] = {"complete": 0, "dropped": 1, "failed": 2}


@dataclass(frozen=True)
class Trial:
    """One setting of the parameters, and what came of it.

    Attributes:
        number: The trial's number in its study, from 0.
        params: The values of the parameters that the search varies, by name.
        state: What became of it.
        accuracy: Mean test accuracy over the runs that were made, or None if it failed.
        mean_steps: Mean number of steps of the same runs, or None.
        num_runs: The number of these runs: fewer than all if a race dropped it, 0 if it failed.
        error: The reason why it has no score, or None.
    """

    number: int
    params: Mapping[str, Value]
    state: TrialState
    accuracy: float | None
    mean_steps: float | None
    num_runs: int
    error: str | None = None


def best_first(trials: Iterable[Trial]) -> list[Trial]:
    """Returns trials by accuracy, then by fewest steps; those that a race dropped, and then failed ones, last."""
    return sorted(trials, key=_rank)


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """Returns the complete trials, the best first; of several with the same values, the first."""
    return best_first(distinct(trial for trial in trials if trial.state == "complete"))


def distinct(trials: Iterable[Trial]) -> list[Trial]:
    """Returns the first of all trials that have the same values."""
    by_values: dict[str, Trial] = {}
    for trial in trials:
        by_values.setdefault(params_key(trial.params), trial)
    return list(by_values.values())


def trials_in_words(trials: Sequence[Trial]) -> str:
    """Returns the number of trials, and how many were dropped, failed, or had the values of another."""
    counts = {state: sum(trial.state == state for trial in trials) for state in ("dropped", "failed")}
    counts["with the values of another"] = len(trials) - len(distinct(trials))
    others = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
    return f"{in_number(len(trials), 'trial')}{f' ({others})' if others else ''}"


def _rank(trial: Trial) -> tuple[int, float, float, int]:
    return _ORDER[trial.state], -(trial.accuracy or 0.0), trial.mean_steps or 0.0, trial.number


@dataclass(frozen=True)
class Winner:
    """One of the best trials, evaluated anew on secrets that the search has not seen.

    Attributes:
        trial: The trial.
        strategy: The strategy with the trial's values as its defaults, or, if it has no source, as it was given.
        evaluations: Its evaluations, one for each configuration that could be evaluated.
        errors: The reasons why a configuration has no score, by its label.
    """

    trial: Trial
    strategy: Strategy
    evaluations: list[Evaluation]
    errors: Mapping[str, VecparityError]


@dataclass(frozen=True)
class Search:
    """A search's trials and winners.

    Attributes:
        strategy: The strategy as it was given.
        config: The settings of every trial.
        protocol: The protocol's name, as in provenance.
        seed: The top-level seed of every trial.
        space: The ranges of the parameters, by name.
        sampler: The sampler's name.
        trials: All finished trials, in the order of their numbers.
        winners: The best trials, evaluated anew: the best of these first.
        importances: Each parameter's share in what tells the best trials from the others, by name (PED-ANOVA); empty
            if there are too few trials to tell.
        seconds: The wall time of the search, without earlier sittings of the same study.
        params: Values of parameters that did not vary.
    """

    strategy: Strategy
    config: TaskConfig
    protocol: str
    seed: int
    space: Space
    sampler: str
    trials: list[Trial]
    winners: list[Winner]
    importances: Mapping[str, float]
    seconds: float
    params: Mapping[str, Value] = field(default_factory=dict)

    __module__ = "vecparity"  # the public module, from which pickle imports the class with its attached methods

    def __repr__(self) -> str:
        best = "".join(f", the best {own.accuracy:.6f} in {own.mean_steps:,.0f} steps" for own in self.ranked[:1])
        return visible(f"<Search of {self.strategy.name} on {self.config.label}: {len(self.trials)} trials{best}>")

    @property
    def ranked(self) -> list[Trial]:
        """The complete trials, see `ranked`."""
        return ranked(self.trials)

    @property
    def best(self) -> Strategy | None:
        """The strategy with the best values as its defaults: the best winner's, or, of none, the best trial's.

        None if no trial is complete or no winner has a score.

        Raises:
            UsageError: The strategy has no source, see `Strategy.from_functions`.
        """
        if self.winners:
            return self.winners[0].strategy if self.winners[0].evaluations else None
        ranked = self.ranked
        return with_defaults(self.strategy, {**self.params, **ranked[0].params}) if ranked else None

    if TYPE_CHECKING:
        # `api` attaches these: frames and pages import results, not the reverse.
        @property
        def summary(self) -> "pd.DataFrame": ...

        def _repr_html_(self, /) -> str: ...


@dataclass(frozen=True)
class Cell:
    """One point of a sweep's grid.

    Attributes:
        values: The value on each axis, by the axis's name.
        evaluation: The evaluation without its curves, or None if the cell failed.
        error: The reason why the cell has no score, or None.
        without_score: The evaluation of a failed cell, if it was made: a run diverged, or a strict audit failed.
    """

    values: Mapping[str, Value]
    evaluation: Evaluation | None
    error: VecparityError | None = None
    without_score: Evaluation | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep's cells. In a notebook it shows itself as a table with a row for each cell.

    ``runs`` and ``summary`` are pandas frames: a row for each run with ``secret_index``, ``order_index``, ``steps``,
    ``test_accuracy``, ``diverged`` and ``error``; and a row for each cell with ``test_accuracy`` (the mean over its
    runs), ``accuracy_low`` and ``accuracy_high`` (the mean's 95% interval over secrets), ``mean_steps``,
    ``share_solved`` (the share of runs with a test accuracy of at least 0.99), ``num_runs`` and ``error``. Both begin
    with a column for each axis.

    Attributes:
        strategy: The strategy.
        axes: The values of each axis in order, by its name: a parameter of the strategy, or a setting.
        config: The settings of the first cell: those of every cell, but for the ones on axes.
        protocol: The protocol's name, as in provenance.
        seed: The top-level seed of every cell.
        cells: The cells, the last axis varying fastest.
        seconds: The wall time.
    """

    strategy: Strategy
    axes: Mapping[str, tuple[Value, ...]]
    config: TaskConfig
    protocol: str
    seed: int
    cells: list[Cell]
    seconds: float

    __module__ = "vecparity"  # the public module, from which pickle imports the class with its attached methods

    def __repr__(self) -> str:
        failed = sum(cell.evaluation is None for cell in self.cells)
        axes = " x ".join(f"{len(values)} {name}" for name, values in self.axes.items())
        lost = f", {failed} without a score" if failed else ""
        return visible(f"<Sweep of {self.strategy.name} over {axes}: {len(self.cells)} cells{lost}>")

    if TYPE_CHECKING:
        # `api` attaches these: frames and reports import sweeps, not the reverse.
        @property
        def runs(self) -> "pd.DataFrame": ...

        @property
        def summary(self) -> "pd.DataFrame": ...

        def _repr_html_(self, /) -> str: ...
