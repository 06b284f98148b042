"""An evaluation as JSON, and back. Source: contract section 6 for its first three keys."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from vecparity import _version
from vecparity.audits.findings import AuditFinding
from vecparity.errors import UsageError, brief, printable
from vecparity.evaluation.coherence import check
from vecparity.evaluation.result import (
    ByFeature,
    DatasetSummary,
    DivergedRun,
    Evaluation,
    FirstLayer,
    Metrics,
    Provenance,
    RunCurve,
    RunResult,
)
from vecparity.files import read_whole, write_whole
from vecparity.task.config import TaskConfig
from vecparity.training.loop import Curve

# Changes whenever what is written can no longer be read by what read it before.
FORMAT = 1
# What is read, so that nobody's file takes more than 2 GiB of memory: 100 runs that tell of each of 100 000 steps have
# 20 million numbers in 200 MB of curves. Besides its curves, an evaluation has about a number a feature and run.
MOST_BYTES = 256 << 20
_MOST_NUMBERS = 24_000_000
_MOST_BYTES_BESIDES = 64 << 20
_DIGITS = 6


class _Envelope(Struct):
    """The keys that show that it is an evaluation, and of which format."""

    config: Raw
    metrics: Raw
    results: Raw
    format: Raw = Raw()
    curves: Raw = Raw()


class _Content(Struct):
    config: TaskConfig
    metrics: Metrics | None
    results: list[RunResult]
    diverged: list[DivergedRun]
    datasets: list[DatasetSummary]
    first_layers: list[FirstLayer]
    audit: list[AuditFinding]
    provenance: Provenance
    curves: Raw


class _Curves(Struct):
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
    return loads(json.dumps(content).encode(), where)


def save(evaluation: Evaluation, path: Path) -> None:
    """Writes an evaluation to a file that holds either all of it or what it held before.

    Raises:
        OSError: It cannot be written.
    """
    write_whole(path, dumps(evaluation))


def load(path: Path) -> Evaluation:
    """Reads an evaluation from a file.

    Raises:
        UsageError: It cannot be read, its name cannot be printed, or see `loads`.
    """
    if not str(path).isprintable():  # it stands in tables and pages
        raise UsageError(f"expected a file whose name can be printed, got {brief(str(path))}")
    try:
        data = read_whole(path, MOST_BYTES)
    except OSError as error:
        raise UsageError(f"expected a file that can be read, got {path}: {error.strerror}") from error
    return loads(data, str(path))


def dumps(evaluation: Evaluation) -> bytes:
    """Writes an evaluation as JSON."""
    return json.dumps(to_document(evaluation), allow_nan=False).encode()


def loads(data: bytes, where: str) -> Evaluation:
    """Reads what `dumps` wrote: the same evaluation, but for what is rounded.

    Args:
        data: The JSON.
        where: What it was read from, for errors.

    Raises:
        UsageError: It is no evaluation, or one that another version wrote and this one cannot read, or its parts do
            not belong together (`coherence.check`), or it is larger than any that is read.
    """
    try:
        return _read(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: {printable(str(error))}") from error


def _rounded(values: ByFeature) -> dict[str, Any]:
    others = None if values.others is None else round(values.others, _DIGITS)
    each = None if values.each is None else [round(value, _DIGITS) for value in values.each]
    return {"secret": round(values.secret, _DIGITS), "others": others, "each": each}


def _read(data: bytes) -> Evaluation:
    _require_size("JSON", len(data), MOST_BYTES)
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
    except msgspec.ValidationError as error:
        raise ValueError("expected the JSON of an evaluation, got something else") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected the JSON of an evaluation, got {error}") from error
    if (format_ := bytes(envelope.format)) != str(FORMAT).encode():
        got = f"format {format_[:40].decode(errors='replace')}" if format_ else "one without a format"
        raise ValueError(f"vecparity {_version.__version__} reads evaluations of format {FORMAT}, got {got}")
    _require_size("JSON besides curves", len(data) - memoryview(envelope.curves).nbytes, _MOST_BYTES_BESIDES)
    try:
        content = msgspec.json.decode(data, type=_Content)
        evaluation = _evaluation(content, _curves(content))
        check(evaluation, content.metrics)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected the JSON of an evaluation, got {error}") from error
    return evaluation


def _curves(content: _Content) -> _Curves:
    data = bytes(content.curves)
    # Counted before any is made; an empty list takes thirty times the memory of its two characters.
    num_lists, expected = data.count(b"["), 4 + 3 * content.config.num_runs
    if num_lists > expected:
        raise ValueError(f"{num_lists} lists in curves, of at most {expected}")
    if (numbers := data.count(b",")) > _MOST_NUMBERS:
        raise ValueError(f"{numbers} numbers in curves, of at most {_MOST_NUMBERS}: a larger log_interval has fewer")
    return msgspec.json.decode(data, type=_Curves)


def _evaluation(content: _Content, curves: _Curves) -> Evaluation:
    return Evaluation(
        config=content.config,
        datasets=content.datasets,
        results=content.results,
        diverged=content.diverged,
        curves=[
            RunCurve(*place, Curve(curves.step[: len(loss)], loss, accuracy))
            for place, loss, accuracy in zip(curves.runs, curves.loss, curves.accuracy, strict=True)
        ],
        first_layers=content.first_layers,
        findings=content.audit,
        provenance=content.provenance,
    )


def _require_size(what: str, size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"expected at most {most >> 20} MiB of {what}, got {size >> 20} MiB")
