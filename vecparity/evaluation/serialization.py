"""Writes an evaluation as JSON and reads it back, bit for bit. Source: contract section 6 for its first three keys."""

import errno
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Raw, Struct

from vecparity import _version
from vecparity.audits.finding import AuditFinding
from vecparity.errors import MachineError, UsageError, brief, printable
from vecparity.evaluation.coherence import check
from vecparity.evaluation.decoding import decode
from vecparity.evaluation.result import (
    Count,
    DatasetSummary,
    DivergedRun,
    Evaluation,
    FirstLayer,
    Index,
    Metrics,
    Provenance,
    RunCurve,
    RunResult,
    Share,
)
from vecparity.files import read_whole, write_whole
from vecparity.task.config import TaskConfig
from vecparity.training.curve import Curve

# Changes whenever earlier versions can no longer read the files that this version writes.
FORMAT = 1
# Limits, so that no file takes more than 2 GiB of memory to read: 100 runs with a window at each of 100 000 steps have
# 20 million numbers. A number that reads back exactly has up to 23 characters and a comma, so their curves are at most
# 458 MiB. Besides curves, an evaluation has about one number for each feature and run.
MOST_BYTES = 512 << 20
_MOST_NUMBERS = 24_000_000
_MOST_BYTES_BESIDES = 64 << 20
# Bytes of a JSON that are copied at once while its lists and numbers are counted.
_PIECE = 1 << 20
_COMPACT = (",", ":")
# Characters that `join` adds.
_JOINT = 10


class _Envelope(Struct):
    """The keys that identify an evaluation and its format."""

    config: Raw
    metrics: Raw
    results: Raw
    format: Raw = Raw()
    curves: Raw = Raw()


class Content(Struct):
    """An evaluation's JSON without its format."""

    config: TaskConfig
    metrics: Metrics | None
    results: list[RunResult]
    diverged: list[DivergedRun]
    datasets: list[DatasetSummary]
    first_layers: list[FirstLayer]
    audit: list[AuditFinding]
    provenance: Provenance
    curves: Raw


class _RunsOfCurves(Struct):
    runs: list[tuple[int, int]]


class Curves(Struct):
    """All curves; each run's windows are at the first steps of the longest run."""

    runs: list[tuple[Index, Index]]
    step: list[Count]
    loss: list[list[float]]
    accuracy: list[list[Share]]

    def __post_init__(self) -> None:
        if not len(self.runs) == len(self.loss) == len(self.accuracy):
            actual = f"losses of {len(self.loss)} and accuracies of {len(self.accuracy)}"
            raise ValueError(f"expected losses and accuracies of {len(self.runs)} runs in curves, got {actual}")
        for loss, accuracy in zip(self.loss, self.accuracy, strict=True):
            if len(loss) != len(accuracy) or len(loss) > len(self.step):
                actual = f"{len(loss)} losses and {len(accuracy)} accuracies"
                raise ValueError(f"expected a loss and an accuracy for each of {len(self.step)} windows, got {actual}")


def to_document(evaluation: Evaluation) -> dict[str, Any]:
    """Converts an evaluation to plain values, unchanged.

    ``metrics`` is null if a run diverged or a strict audit failed. ``curves`` holds ``runs`` ([secret, order]
    each), the steps of the longest run's windows, and for each run its losses and accuracies at the first of those
    steps.
    """
    return _besides_curves(evaluation) | {"curves": _curves_document(evaluation)}


def from_document(content: Any, where: str) -> Evaluation:
    """Reads the output of `to_document`.

    Args:
        content: The plain values.
        where: The source of the values, for errors.

    Raises:
        UsageError: The content is not an evaluation, or is in the format of another version.
    """
    return loads(json.dumps(content).encode(), where)


def save(evaluation: Evaluation, path: Path) -> None:
    """Writes an evaluation to a file, atomically: the file holds either the whole evaluation or its old content.

    Raises:
        OSError: The file cannot be written, or the evaluation is larger than what `load` reads.
    """
    try:
        data = dumps(evaluation)
    except MachineError as error:
        raise OSError(errno.EFBIG, str(error)) from error
    write_whole(path, data)


def load(path: Path) -> Evaluation:
    """Reads an evaluation from a file.

    Raises:
        UsageError: The file cannot be read, its name cannot be printed, or see `loads`.
    """
    if not str(path).isprintable():  # the name appears in tables and pages
        raise UsageError(f"expected a file whose name can be printed, got {brief(str(path))}")
    try:
        data = read_whole(path, MOST_BYTES)
    except OSError as error:
        raise UsageError(f"expected a file that can be read, got {path}: {error.strerror}") from error
    return loads(data, str(path))


def dumps(evaluation: Evaluation) -> bytes:
    """Writes an evaluation as JSON that `loads` reads back bit for bit.

    Raises:
        MachineError: The JSON would be larger than what `loads` reads.
        ValueError: A number is not finite.
    """
    return join(*dumps_in_parts(evaluation))


def dumps_in_parts(evaluation: Evaluation) -> tuple[bytes, bytes]:
    """Writes an evaluation as two JSON objects, the second of which is the curves, for `join`.

    Raises:
        MachineError, ValueError: See `dumps`.
    """
    besides, curves = _besides_curves(evaluation), _curves_document(evaluation)
    whose = f"the evaluation of {evaluation.provenance.title} is too large to be kept"
    if not all(math.isfinite(value) for values in (*curves["loss"], *curves["accuracy"]) for value in values):
        raise ValueError("expected curves of finite numbers, which are JSON compliant, got one that is not")
    # The standard library's encoder refuses numbers that are not finite; msgspec's takes a tenth of its memory.
    parts = json.dumps(besides, allow_nan=False, separators=_COMPACT).encode(), msgspec.json.encode(curves)
    try:
        _require_sizes(len(parts[0]) + _JOINT, len(parts[1]))
        _require_few_numbers(_count(parts[1], b","))
    except ValueError as error:
        raise MachineError(f"{whose}: {error}") from error
    return parts


def join(besides: bytes, curves: bytes) -> bytes:
    """Joins the output of `dumps_in_parts` to that of `dumps`."""
    return b"".join((besides[:-1], b',"curves":', curves, b"}"))


def without_windows(curves: bytes) -> bytes:
    """Returns curves, as `dumps_in_parts` writes them, of the same runs but without any windows.

    Raises:
        ValueError: These are no curves.
    """
    runs = msgspec.json.decode(curves, type=_RunsOfCurves).runs
    empty: list[list[float]] = [[] for _ in runs]
    return msgspec.json.encode({"runs": runs, "step": [], "loss": empty, "accuracy": empty})


def loads(data: bytes, where: str) -> Evaluation:
    """Reads the output of `dumps`: the same evaluation, bit for bit, unless an earlier version rounded its curves.

    Args:
        data: The JSON.
        where: The source of the JSON, for errors.

    Raises:
        UsageError: The JSON is not an evaluation, is in the format of another version, is too large, or has parts that
            disagree (`coherence.check`).
    """
    try:
        return _read(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: {printable(str(error))}") from error


def _besides_curves(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "config": asdict(evaluation.config),
        "metrics": None if evaluation.why_no_score else asdict(evaluation.metrics),
        "results": [asdict(run) for run in evaluation.results],
        "diverged": [asdict(run) for run in evaluation.diverged],
        "datasets": [asdict(data) for data in evaluation.datasets],
        "first_layers": [asdict(layer) for layer in evaluation.first_layers],
        "audit": [asdict(finding) for finding in evaluation.findings],
        "provenance": asdict(evaluation.provenance),
    }


def _curves_document(evaluation: Evaluation) -> dict[str, Any]:
    curves = evaluation.curves
    return {
        "runs": [[run.secret_index, run.order_index] for run in curves],
        "step": max((run.curve.step for run in curves), key=len),
        "loss": [run.curve.loss for run in curves],
        "accuracy": [run.curve.accuracy for run in curves],
    }


def _read(data: bytes) -> Evaluation:
    _require_size("JSON", len(data), MOST_BYTES)
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
    except msgspec.ValidationError as error:
        raise ValueError(f"expected the JSON of an evaluation, got something else: {error}") from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected the JSON of an evaluation: {error}") from error
    if (format_ := bytes(envelope.format)) != str(FORMAT).encode():
        actual = f"format {format_[:40].decode(errors='replace')}" if format_ else "one without a format"
        raise ValueError(
            f"expected an evaluation of format {FORMAT}, which vecparity {_version.__version__} reads, got {actual}"
        )
    size = memoryview(envelope.curves).nbytes
    _require_sizes(len(data) - size, size)
    content = decode(data, Content)
    evaluation = _evaluation(content, _curves(content))
    check(evaluation, content.metrics)
    return evaluation


def _curves(content: Content) -> Curves:
    # Count before decoding: an empty list takes thirty times the memory of its two characters.
    num_lists, expected = _count(content.curves, b"["), 4 + 3 * content.config.num_runs
    if num_lists > expected:
        raise ValueError(f"expected at most {expected} lists in curves, got {num_lists}")
    _require_few_numbers(_count(content.curves, b","))
    return decode(content.curves, Curves, "curves.")


def _count(json_: Raw | bytes, sign: bytes) -> int:
    """Counts a character piece by piece: the curves are not to be in memory a second time."""
    data = memoryview(json_)
    return sum(bytes(data[begin : begin + _PIECE]).count(sign) for begin in range(0, len(data), _PIECE))


def _require_few_numbers(numbers: int) -> None:
    if numbers > _MOST_NUMBERS:
        raise ValueError(
            f"expected at most {_MOST_NUMBERS} numbers in curves, got {numbers}: a larger log_interval makes fewer"
        )


def _evaluation(content: Content, curves: Curves) -> Evaluation:
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


def _require_sizes(besides: int, curves: int) -> None:
    _require_size("JSON besides curves", besides, _MOST_BYTES_BESIDES)
    _require_size("JSON", besides + curves, MOST_BYTES)


def _require_size(name: str, size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"expected at most {most >> 20} MiB of {name}, got {size >> 20} MiB")
