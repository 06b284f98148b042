"""Writes an evaluation as JSON and reads it back. Source: contract section 6 for its first three keys."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Raw, Struct

from vecparity import _version
from vecparity.audits.findings import AuditFinding
from vecparity.errors import UsageError, brief, printable
from vecparity.evaluation.coherence import check
from vecparity.evaluation.result import (
    ByFeature,
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
from vecparity.training.loop import Curve

# Changes whenever earlier versions can no longer read the files that this version writes.
FORMAT = 1
# Limits on input, so that no file takes more than 2 GiB of memory: 100 runs with a window at each of 100 000 steps have
# 20 million numbers in 200 MB of curves. Besides curves, an evaluation has about one number for each feature and run.
MOST_BYTES = 256 << 20
_MOST_NUMBERS = 24_000_000
_MOST_BYTES_BESIDES = 64 << 20
_DIGITS = 6
# msgspec's error says where a number is out of its range, not which number it is.
_OUT_OF_RANGE = re.compile(r"Expected `\w+` (?P<range>.+) - at `\$\.(?P<name>\w+)(?P<keys>.*)`")

Part = TypeVar("Part")


class _Envelope(Struct):
    """The keys that identify an evaluation and its format."""

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
    """Converts an evaluation to plain values.

    ``metrics`` is null if a run diverged or a strict audit failed. ``curves`` holds ``runs`` ([secret, order]
    each), the steps of the longest run's windows, and for each run its losses and accuracies at the first of those
    steps. Curves, densities and weights are rounded to 6 decimals, like metric lines.
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
    """Reads the output of `to_document`: the same evaluation, except for rounded values.

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
        OSError: The file cannot be written.
    """
    write_whole(path, dumps(evaluation))


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
    """Writes an evaluation as JSON."""
    return json.dumps(to_document(evaluation), allow_nan=False).encode()


def loads(data: bytes, where: str) -> Evaluation:
    """Reads the output of `dumps`: the same evaluation, except for rounded values.

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


def _rounded(values: ByFeature) -> dict[str, Any]:
    others = None if values.others is None else round(values.others, _DIGITS)
    by_feature = None if values.each is None else [round(value, _DIGITS) for value in values.each]
    return {"secret": round(values.secret, _DIGITS), "others": others, "each": by_feature}


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
    _require_size("JSON besides curves", len(data) - memoryview(envelope.curves).nbytes, _MOST_BYTES_BESIDES)
    content = _decode(data, _Content)
    evaluation = _evaluation(content, _curves(content))
    check(evaluation, content.metrics)
    return evaluation


def _decode(data: bytes, type_: type[Part], within: str = "") -> Part:
    """Decodes JSON; the error of a number out of its range says which number was got."""
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as error:
        if (found := _OUT_OF_RANGE.fullmatch(str(error))) is None:
            raise ValueError(f"expected the JSON of an evaluation: {error}") from error
        name, keys = found["name"], re.findall(r"\.(\w+)|\[(\d+)\]", found["keys"])
        value: Any = msgspec.json.decode(msgspec.json.decode(data, type=dict[str, Raw])[name])
        for key, index in keys:
            value = value[key or int(index)]
        expected = f"a number {found['range']} as {within}{name}{found['keys']}"
        raise ValueError(f"expected {expected}, got {brief(value)}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"expected the JSON of an evaluation: {error}") from error


def _curves(content: _Content) -> _Curves:
    data = bytes(content.curves)
    # Count before decoding: an empty list takes thirty times the memory of its two characters.
    num_lists, expected = data.count(b"["), 4 + 3 * content.config.num_runs
    if num_lists > expected:
        raise ValueError(f"expected at most {expected} lists in curves, got {num_lists}")
    if (numbers := data.count(b",")) > _MOST_NUMBERS:
        raise ValueError(
            f"expected at most {_MOST_NUMBERS} numbers in curves, got {numbers}: a larger log_interval makes fewer"
        )
    return _decode(data, _Curves, "curves.")


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


def _require_size(name: str, size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"expected at most {most >> 20} MiB of {name}, got {size >> 20} MiB")
