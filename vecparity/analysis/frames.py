"""Evaluations as data frames."""

from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from vecparity.errors import UsageError
from vecparity.evaluation.result import Evaluation

if TYPE_CHECKING:
    import pandas as pd

What = Literal["runs", "curves"]

_TYPES = {
    "secret_index": "int64",
    "order_index": "int64",
    "steps": "int64",
    "test_accuracy": "float64",
    "diverged": "bool",
    "weight_secret": "float64",
    "weight_others": "float64",
    "step": "int64",
    "loss": "float64",
    "accuracy": "float64",
}
_COLUMNS: dict[What, list[str]] = {
    "runs": ["secret_index", "order_index", "steps", "test_accuracy", "diverged", "weight_secret", "weight_others"],
    "curves": ["secret_index", "order_index", "step", "loss", "accuracy"],
}


def to_dataframe(evaluation: Evaluation, /, what: What = "runs") -> "pd.DataFrame":
    """Makes a tidy pandas frame; every row also has the strategy, the seed and the configuration.

    A strategy's keyword parameters are further columns, such as ``param_lr``.

    Args:
        evaluation: The evaluation; this function is `Evaluation.to_dataframe`.
        what: ``runs``: a row for each run, with its ``steps`` (for a diverged run, until its loss was not finite),
            ``test_accuracy`` and the mean |weight| of its first layer for the secret's features and the others,
            which are NaN for a diverged run. ``curves``: a row for each window, with its ``loss`` in nats.

    Raises:
        UsageError: There is no such frame, or pandas is not installed.
    """
    if what not in _COLUMNS:
        raise UsageError(f"what must be one of {', '.join(_COLUMNS)}, got {what!r}")
    pandas = import_pandas()
    rows = _runs(evaluation) if what == "runs" else _curves(evaluation)
    columns = _COLUMNS[what]
    frame: pd.DataFrame = pandas.DataFrame(rows, columns=columns).astype({name: _TYPES[name] for name in columns})
    provenance = evaluation.provenance
    frame.insert(0, "strategy", pandas.Series(provenance.strategy, index=frame.index, dtype="str"))
    frame.insert(1, "seed", pandas.Series(provenance.seed, index=frame.index, dtype="int64"))
    frame.insert(2, "configuration", pandas.Series(evaluation.config.label, index=frame.index, dtype="str"))
    for place, (name, value) in enumerate(sorted(provenance.params.items()), start=3):
        frame.insert(place, f"param_{name}", value)
    return frame


def import_pandas() -> ModuleType:
    """Returns the module pandas, which is an extra.

    Raises:
        UsageError: It is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UsageError(
            "a data frame needs pandas, which is not installed: pip install 'vecparity[pandas]'"
        ) from error
    return pd


def _runs(evaluation: Evaluation) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [
        (run.secret_index, run.order_index, run.step, None, True, None, None) for run in evaluation.diverged
    ]
    for run, layer in zip(evaluation.results, evaluation.first_layers, strict=True):
        weight = layer.mean_abs_weight
        end = (run.steps, run.test_accuracy, False, weight.secret, weight.others)
        rows.append((run.secret_index, run.order_index, *end))
    return sorted(rows, key=lambda row: row[:2])


def _curves(evaluation: Evaluation) -> list[tuple[Any, ...]]:
    return [
        (run.secret_index, run.order_index, *window)
        for run in evaluation.curves
        for window in zip(run.curve.step, run.curve.loss, run.curve.accuracy, strict=True)
    ]
