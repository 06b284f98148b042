"""An evaluation as JSON, and back. Source: contract section 6 for its first three keys."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from msgspec import convert

import vecparity
from vecparity.audit import AuditFinding
from vecparity.coherence import check
from vecparity.errors import UsageError
from vecparity.evaluation import (
    ByFeature,
    DatasetSummary,
    DivergedRun,
    Evaluation,
    FirstLayer,
    Provenance,
    RunCurve,
    RunResult,
)
from vecparity.files import write_whole
from vecparity.spec import TaskConfig
from vecparity.train import Curve

# Changes whenever what is written can no longer be read by what read it before.
FORMAT = 1
_DIGITS = 6


@dataclass
class _Curves:
    """All curves, by the first steps of the longest."""

    runs: list[tuple[int, int]]
    step: list[int]
    loss: list[list[float]]
    accuracy: list[list[float]]

    def __post_init__(self) -> None:
        if not len(self.runs) == len(self.loss) == len(self.accuracy):
            raise ValueError(
                f"losses of {len(self.loss)} and accuracies of {len(self.accuracy)} of {len(self.runs)} runs"
            )
        for loss, accuracy in zip(self.loss, self.accuracy, strict=True):
            if len(loss) != len(accuracy) or len(loss) > len(self.step):
                got = f"{len(loss)} losses and {len(accuracy)} accuracies in {len(self.step)} windows"
                raise ValueError(f"a curve with {got}")


def to_document(evaluation: Evaluation) -> dict[str, Any]:
    """Writes an evaluation as plain values.

    ``metrics`` is null where a run diverged or a strict audit failed. ``curves`` holds ``runs`` ([secret, order]
    each), the steps of the longest run's windows, and for each run its losses and accuracies at the first of those
    steps. Curves, densities and weights are rounded to 6 decimals, as metric lines are.
    """
    curves = evaluation.curves
    return {
        "format": FORMAT,
        "config": asdict(evaluation.config),
        "metrics": None if evaluation.why_no_score else asdict(evaluation.metrics),
        "results": [asdict(run) for run in evaluation.results],
        "diverged": [asdict(run) for run in evaluation.diverged],
        "datasets": [asdict(data) | {"density": _rounded(data.density)} for data in evaluation.datasets],
        "first_layers": [
            asdict(layer) | {"mean_abs_weight": _rounded(layer.mean_abs_weight)} for layer in evaluation.first_layers
        ],
        "audit": [asdict(finding) for finding in evaluation.findings],
        "provenance": asdict(evaluation.provenance),
        "curves": {
            "runs": [[run.secret_index, run.order_index] for run in curves],
            "step": max((run.curve.step for run in curves), key=len),
            "loss": [[round(value, _DIGITS) for value in run.curve.loss] for run in curves],
            "accuracy": [[round(value, _DIGITS) for value in run.curve.accuracy] for run in curves],
        },
    }


def from_document(content: Any, where: str) -> Evaluation:
    """Reads what `to_document` wrote: the same evaluation, but for what is rounded.

    Args:
        content: The plain values.
        where: What they were read from, for errors.

    Raises:
        UsageError: It is not an evaluation, or one that another version wrote and this one cannot read.
    """
    if not isinstance(content, dict) or not {"config", "metrics", "results"} <= content.keys():
        raise UsageError(f"{where}: expected the JSON of an evaluation, got something else")
    if content.get("format") != FORMAT:
        got = f"format {content['format']!r}" if "format" in content else "one without a format"
        raise UsageError(f"{where}: vecparity {vecparity.__version__} reads evaluations of format {FORMAT}, got {got}")
    try:
        evaluation = _read(content)
        check(evaluation, content["metrics"])
        return evaluation
    except (KeyError, ValueError) as error:
        got = f"none of its {error}" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"{where}: expected the JSON of an evaluation, got {got}") from error


def save(evaluation: Evaluation, path: Path) -> None:
    """Writes an evaluation to a file that holds either all of it or what it held before.

    Raises:
        OSError: It cannot be written.
    """
    write_whole(path, dumps(evaluation))


def load(path: Path) -> Evaluation:
    """Reads an evaluation from a file.

    Raises:
        UsageError: It cannot be read, or see `from_document`.
    """
    try:
        with path.open("rb") as file:
            return loads(file.read(), str(path))
    except OSError as error:
        raise UsageError(f"expected a file that can be read, got {path}: {error.strerror}") from error


def dumps(evaluation: Evaluation) -> bytes:
    """Writes an evaluation as JSON."""
    return json.dumps(to_document(evaluation), allow_nan=False).encode()


def loads(data: bytes, where: str) -> Evaluation:
    """Reads what `dumps` wrote.

    Raises:
        UsageError: It is no JSON, or see `from_document`.
    """
    try:
        content = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: expected the JSON of an evaluation, got {error}") from error
    return from_document(content, where)


def _rounded(values: ByFeature) -> dict[str, Any]:
    others = None if values.others is None else round(values.others, _DIGITS)
    each = None if values.each is None else [round(value, _DIGITS) for value in values.each]
    return {"secret": round(values.secret, _DIGITS), "others": others, "each": each}


def _read(content: dict[str, Any]) -> Evaluation:
    curves = convert(content["curves"], _Curves)
    return Evaluation(
        config=convert(content["config"], TaskConfig),
        datasets=convert(content["datasets"], list[DatasetSummary]),
        results=convert(content["results"], list[RunResult]),
        diverged=convert(content["diverged"], list[DivergedRun]),
        curves=[
            RunCurve(*place, Curve(curves.step[: len(loss)], loss, accuracy))
            for place, loss, accuracy in zip(curves.runs, curves.loss, curves.accuracy, strict=True)
        ],
        first_layers=convert(content["first_layers"], list[FirstLayer]),
        findings=convert(content["audit"], list[AuditFinding]),
        provenance=convert(content["provenance"], Provenance),
    )


def _no_constant(name: str) -> float:
    raise ValueError(f"{name}, which JSON does not have")
