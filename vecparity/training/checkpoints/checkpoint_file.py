"""The files of a checkpoint: tensors in safetensors, and beside them a JSON that says what they are.

safetensors holds arrays and nothing that could be executed. Each file is written under a temporary name, flushed and
renamed, the JSON last: what a killed process leaves under a file's own name is whole. What happens to a file later is
seen by digests: the JSON holds that of the tensors and its own.
"""

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import safetensors.torch
import torch

from vecparity import _version, machine
from vecparity.errors import brief, describe, printable
from vecparity.files import read_whole, write_whole
from vecparity.training.checkpoints.snapshot import Snapshot

# Raised whenever the files' meaning changes.
FORMAT = 2
# Of a JSON, which has a number for each feature of each run; and of what it may hold, that a few bytes do not become
# gigabytes. Tensors may be as large as datasets are, and take no more memory than their file does.
_MOST_BYTES = 64 << 20
_MOST_VALUES = 1 << 23
_MOST_TENSOR_BYTES = 1 << 40
# That are named.
_MOST_DIFFERENCES = 10


class CheckpointRefusedError(Exception):
    """A checkpoint that cannot be used: which file, what was expected, what was got."""


def write(stem: Path, of: dict[str, Any], snapshot: Snapshot) -> str:
    """Writes a snapshot to ``stem.safetensors`` and ``stem.json``, whole or not at all.

    Args:
        stem: The files' path without its end.
        of: What the snapshot is of, as JSON has it; `read` compares it.
        snapshot: The snapshot.

    Returns:
        The digest of its tensors.

    Raises:
        OSError: A file cannot be written. No temporary one is left, if the system lets it be removed.
    """
    arrays = {name: np.ascontiguousarray(tensor.cpu().numpy()) for name, tensor in snapshot.tensors.items()}
    tensors = safetensors.numpy.save(arrays)
    content = {
        "format": FORMAT,
        "vecparity": _version.__version__,
        "of": of,
        "machine": machine.stamp(),
        "tensors_sha256": sha256(tensors).hexdigest(),
        "values": snapshot.values,
    }
    write_whole(stem.with_name(f"{stem.name}.safetensors"), tensors)
    write_whole(stem.with_name(f"{stem.name}.json"), _render(content))
    return str(content["tensors_sha256"])


def read(stem: Path, of: dict[str, Any]) -> tuple[Snapshot, str]:
    """Reads what `write` wrote, and returns it with the digest of its tensors.

    Raises:
        CheckpointRefusedError: Not there, truncated, altered, or of something else, another version or format.
    """
    path = stem.with_name(f"{stem.name}.json")
    content = _parse(path)
    digest, values = (content.get(name) for name in ("tensors_sha256", "values"))
    expected = {"format": FORMAT, "vecparity": _version.__version__, "of": of}
    for name, value in expected.items():  # in this order: another format's other fields may mean anything
        if differences := ", ".join(islice(_differences(name, value, content.get(name)), _MOST_DIFFERENCES)):
            raise CheckpointRefusedError(f"{path.name}: {differences}")
    if not (isinstance(digest, str) and isinstance(values, dict)):
        raise CheckpointRefusedError(
            f"{path.name}: expected a digest and values, got {brief(digest)} and {brief(values)}"
        )
    path = stem.with_name(f"{stem.name}.safetensors")
    data = _read_bytes(path, _MOST_TENSOR_BYTES)
    if sha256(data).hexdigest() != digest:
        got = f"{sha256(data).hexdigest()[:16]}... of {len(data)} bytes"
        raise CheckpointRefusedError(f"{path.name}: expected SHA-256 {printable(digest[:16])}..., got {got}")
    return Snapshot(values, _load(path, data)), digest


def require(stem: Path, check: Callable[..., None], *read: Any) -> None:
    """Has what was read checked, which raises a `ValueError` if it does not belong together.

    Raises:
        CheckpointRefusedError: It does not.
    """
    try:
        check(*read)
    except ValueError as error:
        raise CheckpointRefusedError(f"{stem.name}.json: {printable(str(error))}") from error


def _load(path: Path, data: bytes) -> dict[str, torch.Tensor]:
    try:
        return safetensors.torch.load(data)
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointRefusedError(f"{path.name}: expected tensors, got {describe(error)}") from error


def differences(path: Path, of: dict[str, Any]) -> list[str]:
    """Says how what a JSON's checkpoint is of differs from something else, field by field.

    Raises:
        CheckpointRefusedError: Not there, truncated or altered.
    """
    return list(_differences("of", of, _parse(path).get("of")))


def _render(content: dict[str, Any]) -> bytes:
    """As JSON, exactly: floats are written as Python reads them back."""
    text = json.dumps(content, allow_nan=False)
    return f'{{"sha256": "{sha256(text.encode()).hexdigest()}", "content": {text}}}\n'.encode()


def _parse(path: Path) -> dict[str, Any]:
    data = _read_bytes(path, _MOST_BYTES)
    try:
        if sum(map(data.count, (b",", b"[", b"{"))) > _MOST_VALUES:  # each value but the first is behind one
            raise ValueError("more values than any has")
        content: dict[str, Any] = json.loads(data)["content"]
        rendered = _render(content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        got = printable(repr(error))
        raise CheckpointRefusedError(
            f"{path.name}: expected a whole checkpoint of format {FORMAT}, got {got}"
        ) from error
    if not isinstance(content, dict) or data != rendered:
        raise CheckpointRefusedError(f"{path.name}: expected what its SHA-256 was taken of, got something altered")
    return content


def _read_bytes(path: Path, most_bytes: int) -> bytes:
    try:
        return read_whole(path, most_bytes)
    except OSError as error:
        raise CheckpointRefusedError(f"{path.name}: expected a file, got {error.strerror}") from error


def _differences(field: str, expected: Any, got: Any) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in expected | got:
            yield from _differences(f"{field}.{name}".removeprefix("of."), expected.get(name), got.get(name))
    elif expected != got:
        yield f"{printable(field)}: expected {brief(expected)}, got {brief(got)}"
