"""The files of a checkpoint: tensors in safetensors, and a JSON file that describes them.

safetensors holds arrays and nothing executable. Each file is written under a temporary name, flushed and renamed, the
JSON file last, so a killed process leaves only complete files under their final names. Digests reveal later changes:
the JSON file contains the digest of the tensors and its own.
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

# Increase whenever the meaning of the files changes.
FORMAT = 3
# Limits of a JSON file, which has a number for each feature of each run: its size, and its number of values, so that a
# small file cannot grow to gigabytes in memory. Tensors may be as large as datasets; they take as much memory as their
# file.
_MOST_BYTES = 64 << 20
_MOST_VALUES = 1 << 23
_MOST_TENSOR_BYTES = 1 << 40
# The most differences to name in a message.
_MOST_DIFFERENCES = 10


class CheckpointRefusedError(Exception):
    """A checkpoint cannot be used; the message says which file, what was expected and what was got."""


def write(stem: Path, of: dict[str, Any], snapshot: Snapshot) -> str:
    """Writes a snapshot to ``stem.safetensors`` and ``stem.json``, completely or not at all.

    Args:
        stem: The path of the files without their suffix.
        of: The identity of the snapshot, as JSON values; `read` compares it.
        snapshot: The snapshot.

    Returns:
        The digest of the tensors.

    Raises:
        OSError: A file cannot be written. No temporary file remains, if the system allows its removal.
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
    """Reads a snapshot that `write` wrote, and returns it with the digest of its tensors.

    Raises:
        CheckpointRefusedError: A file is missing, truncated or altered, or has another identity, version or format.
    """
    path = stem.with_name(f"{stem.name}.json")
    content = _parse(path)
    digest, values = (content.get(name) for name in ("tensors_sha256", "values"))
    expected = {"format": FORMAT, "vecparity": _version.__version__, "of": of}
    for name, value in expected.items():  # in this order: in another format, other fields may mean anything
        if differences := ", ".join(islice(_differences(name, value, content.get(name)), _MOST_DIFFERENCES)):
            raise CheckpointRefusedError(f"{path.name}: {differences}")
    if not (isinstance(digest, str) and isinstance(values, dict)):
        raise CheckpointRefusedError(
            f"{path.name}: expected a digest and values, got {brief(digest)} and {brief(values)}"
        )
    path = stem.with_name(f"{stem.name}.safetensors")
    data = _read_bytes(path, _MOST_TENSOR_BYTES)
    if sha256(data).hexdigest() != digest:
        actual = f"{sha256(data).hexdigest()[:16]}... of {len(data)} bytes"
        raise CheckpointRefusedError(f"{path.name}: expected SHA-256 {printable(digest[:16])}..., got {actual}")
    return Snapshot(values, _load(path, data)), digest


def require(stem: Path, check: Callable[..., None], *read: Any) -> None:
    """Calls ``check`` on data read from a file; ``check`` raises a `ValueError` if the data is inconsistent.

    Raises:
        CheckpointRefusedError: ``check`` raised a `ValueError`.
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
    """Lists the differences between the identity in a JSON file and ``of``, field by field.

    Raises:
        CheckpointRefusedError: The file is missing, truncated or altered.
    """
    return list(_differences("of", of, _parse(path).get("of")))


def _render(content: dict[str, Any]) -> bytes:
    """Renders the content as JSON, exactly: Python reads the same floats back."""
    text = json.dumps(content, allow_nan=False)
    return f'{{"sha256": "{sha256(text.encode()).hexdigest()}", "content": {text}}}\n'.encode()


def _parse(path: Path) -> dict[str, Any]:
    data = _read_bytes(path, _MOST_BYTES)
    try:
        if sum(map(data.count, (b",", b"[", b"{"))) > _MOST_VALUES:  # every value after the first follows one of these
            raise ValueError(f"more than {_MOST_VALUES} values")
        content: dict[str, Any] = json.loads(data)["content"]
        rendered = _render(content)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        actual = printable(repr(error))
        raise CheckpointRefusedError(
            f"{path.name}: expected a whole checkpoint of format {FORMAT}, got {actual}"
        ) from error
    if not isinstance(content, dict) or data != rendered:
        raise CheckpointRefusedError(f"{path.name}: expected content that matches its SHA-256, got altered content")
    return content


def _read_bytes(path: Path, most_bytes: int) -> bytes:
    try:
        return read_whole(path, most_bytes)
    except OSError as error:
        raise CheckpointRefusedError(f"{path.name}: expected a file, got {error.strerror}") from error


def _differences(field: str, expected: Any, actual: Any) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(actual, dict):
        for name in expected | actual:
            yield from _differences(f"{field}.{name}".removeprefix("of."), expected.get(name), actual.get(name))
    elif expected != actual:
        yield f"{printable(field)}: expected {brief(expected)}, got {brief(actual)}"
