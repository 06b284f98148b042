"""Data frames of searches and sweeps, and a sweep's figures as plain values: records of its runs and of its cells."""

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from vecparity.analysis.by_secret import by_secret
from vecparity.analysis.frames import import_pandas
from vecparity.analysis.intervals import interval
from vecparity.evaluation.result import Evaluation
from vecparity.tuning.results import Cell, Search, Sweep

if TYPE_CHECKING:
    import pandas as pd

# A run that misses fewer test rows than this share knows the parity.
SOLVED = 0.99

# The columns behind those of the axes, with pandas' types: a failed cell has no figures.
RUN_COLUMNS = {
    "secret_index": "Int64",
    "order_index": "Int64",
    "steps": "Int64",
    "test_accuracy": "float64",
    "diverged": "boolean",
    "error": "object",
}
SUMMARY_COLUMNS = {
    "test_accuracy": "float64",
    "accuracy_low": "float64",
    "accuracy_high": "float64",
    "mean_steps": "float64",
    "share_solved": "float64",
    "num_runs": "Int64",
    "error": "object",
}

TRIAL_COLUMNS = {
    "state": "object",
    "accuracy": "float64",
    "mean_steps": "float64",
    "num_runs": "int64",
    "error": "object",
}

Record = dict[str, Any]


def run_records(sweep: Sweep) -> list[Record]:
    """Returns a record for each run, ordered by cell, secret and ordering; a cell without runs has one with its error.

    A record has the value on each axis by the axis's name (behind ``param_`` if a figure has the same name), and
    the figures: ``steps`` (for a diverged run, until its loss was not finite), ``test_accuracy`` and ``diverged``.
    """
    names = axis_names(sweep, RUN_COLUMNS)
    return [
        {**dict(zip(names, cell.values.values(), strict=True)), **figures, "error": _error(cell)}
        for cell in sweep.cells
        for figures in _runs(cell)
    ]


def summary_records(sweep: Sweep) -> list[Record]:
    """Returns a record for each cell, in order.

    A record has the value on each axis as in `run_records`, and the figures: ``test_accuracy``, the mean over the runs;
    ``accuracy_low`` and ``accuracy_high``, its 95% interval over the secrets, or None where there is none (see
    `analysis.intervals`); ``mean_steps``; ``share_solved``, the share of runs with a test accuracy of at least 0.99;
    ``num_runs``; and ``error``, the reason why a cell has no figures.
    """
    names = axis_names(sweep, SUMMARY_COLUMNS)
    return [{**dict(zip(names, cell.values.values(), strict=True)), **_summary(cell)} for cell in sweep.cells]


def axis_names(sweep: Sweep, columns: Iterable[str]) -> list[str]:
    """Returns a name for each axis that no other column has."""
    return _apart(sweep.axes, columns)


def _apart(names: Iterable[str], columns: Iterable[str]) -> list[str]:
    taken = set(columns)
    return [f"param_{name}" if name in taken else name for name in names]


def runs(sweep: Sweep) -> "pd.DataFrame":
    """Makes the frame of `run_records`; this function is `Sweep.runs`.

    Raises:
        UsageError: pandas is not installed.
    """
    return _frame(run_records(sweep), axis_names(sweep, RUN_COLUMNS), RUN_COLUMNS)


def summary(sweep: Sweep) -> "pd.DataFrame":
    """Makes the frame of `summary_records`; this function is `Sweep.summary`.

    Raises:
        UsageError: pandas is not installed.
    """
    return _frame(summary_records(sweep), axis_names(sweep, SUMMARY_COLUMNS), SUMMARY_COLUMNS)


def trials(search: Search) -> "pd.DataFrame":
    """Makes a frame with a row for each trial; this function is `Search.summary`.

    Its columns are ``number``, each parameter by its own name (behind ``param_`` if another column has the same), and
    ``state``, ``accuracy``, ``mean_steps``, ``num_runs`` and ``error`` of a `Trial`.

    Raises:
        UsageError: pandas is not installed.
    """
    names = dict(zip(search.space, _apart(search.space, ["number", *TRIAL_COLUMNS]), strict=True))
    records = [
        {"number": trial.number, **{names[name]: value for name, value in trial.params.items()}}
        | {name: getattr(trial, name) for name in TRIAL_COLUMNS}
        for trial in search.trials
    ]
    return _frame(records, ["number", *names.values()], TRIAL_COLUMNS)


def _frame(records: Sequence[Record], names: Sequence[str], types: dict[str, str]) -> "pd.DataFrame":
    frame: pd.DataFrame = import_pandas().DataFrame(records, columns=[*names, *types])
    return frame.astype(types)


def _runs(cell: Cell) -> list[Record]:
    evaluation = cell.evaluation or cell.without_score
    if evaluation is None:
        return [dict.fromkeys(RUN_COLUMNS)]
    finished = [(run.secret_index, run.order_index, run.steps, run.test_accuracy, False) for run in evaluation.results]
    diverged = [(run.secret_index, run.order_index, run.step, None, True) for run in evaluation.diverged]
    every = sorted([*finished, *diverged], key=lambda run: run[:2])
    return [dict(zip(RUN_COLUMNS, (*run, None), strict=True)) for run in every]


def _summary(cell: Cell) -> Record:
    if cell.evaluation is None:
        return {**dict.fromkeys(SUMMARY_COLUMNS), "num_runs": 0, "error": _error(cell)}
    between = _between_secrets(cell.evaluation)
    accuracies = [run.test_accuracy for run in cell.evaluation.results]
    metrics = cell.evaluation.metrics
    return {
        "test_accuracy": metrics.test_accuracy,
        "accuracy_low": between and between[0],
        "accuracy_high": between and between[1],
        "mean_steps": metrics.mean_steps,
        "share_solved": fmean(accuracy >= SOLVED for accuracy in accuracies),
        "num_runs": metrics.num_runs,
        "error": None,
    }


def _between_secrets(evaluation: Evaluation) -> tuple[float, float] | None:
    found = interval([[figures.accuracy for figures in by_secret([evaluation]).values()]], [1.0])
    if found is None:
        return None
    found = found.within(0.0, 1.0)
    return found.low, found.high


def _error(cell: Cell) -> str | None:
    return None if cell.error is None else str(cell.error)
