"""The files of a checkpoint: tensors in safetensors, and beside them a JSON that says what they are.

safetensors holds arrays and nothing that could be executed. Each file is written under a temporary name, flushed and
renamed, the JSON last: what a killed process leaves under a file's own name is whole. What happens to a file later is
seen by digests: the JSON holds that of the tensors and its own.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch

import vecparity
from vecparity import machine
from vecparity.files import write_whole
from vecparity.snapshot import Snapshot

# Raised whenever the files' meaning changes.
FORMAT = 2


class RefusedError(Exception):
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
        "vecparity": vecparity.__version__,
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
        RefusedError: Not there, truncated, altered, or of something else, another version or format.
    """
    path = stem.with_name(f"{stem.name}.json")
    content = _parse(path)
    expected = {"format": FORMAT, "vecparity": vecparity.__version__, "of": of}
    for name, value in expected.items():  # in this order: another format's other fields may mean anything
        if differences := ", ".join(_differences(name, value, content.get(name))):
            raise RefusedError(f"{path.name}: {differences}")
    path, digest = stem.with_name(f"{stem.name}.safetensors"), content["tensors_sha256"]
    tensors = _read_bytes(path)
    if sha256(tensors).hexdigest() != digest:
        got = f"{sha256(tensors).hexdigest()[:16]}... of {len(tensors)} bytes"
        raise RefusedError(f"{path.name}: expected SHA-256 {digest[:16]}..., got {got}")
    return Snapshot(content["values"], safetensors.torch.load(tensors)), digest


def differences(path: Path, of: dict[str, Any]) -> list[str]:
    """Says how what a JSON's checkpoint is of differs from something else, field by field.

    Raises:
        RefusedError: Not there, truncated or altered.
    """
    return list(_differences("of", of, _parse(path).get("of")))


def _render(content: dict[str, Any]) -> bytes:
    """As JSON, exactly: floats are written as Python reads them back."""
    text = json.dumps(content, allow_nan=False)
    return f'{{"sha256": "{sha256(text.encode()).hexdigest()}", "content": {text}}}\n'.encode()


def _parse(path: Path) -> dict[str, Any]:
    data = _read_bytes(path)
    try:
        content: dict[str, Any] = json.loads(data)["content"]
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedError(f"{path.name}: expected a whole checkpoint of format {FORMAT}, got {error!r}") from error
    if not isinstance(content, dict) or data != _render(content):
        raise RefusedError(f"{path.name}: expected what its SHA-256 was taken of, got something altered")
    return content


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RefusedError(f"{path.name}: expected a file, got {error.strerror}") from error


def _differences(field: str, expected: Any, got: Any) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in expected | got:
            yield from _differences(f"{field}.{name}".removeprefix("of."), expected.get(name), got.get(name))
    elif expected != got:
        yield f"{field}: expected {expected!r}, got {got!r}"
