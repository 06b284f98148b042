"""Randomly mutated files: each is read, or refused in a printable line, and nothing else happens.

    fuzzing.py KIND EXAMPLES SEED     fuzzes in a separate process with limited memory

Kinds are those of `reading`.
"""

import copy
import faulthandler
import json
import random
import shutil
import sqlite3
import stat
import sys
import tempfile
import time
import warnings
import zlib
from collections.abc import Callable
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import hypothesis
import reading
import safetensors.torch
import torch
from damaging import digested
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from made import changed, diverged, made

from vecparity.errors import InterruptedTrainingError, MachineError, UsageError
from vecparity.evaluation import serialization
from vecparity.history.store import History
from vecparity.strategy.source import Strategy, load
from vecparity.task.seeds import read_key

EXTREMES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 3, 64, 2**31 - 1, 2**31, -(2**31), 2**32, 2**63 - 1, 2**63, -(2**63) - 1),
    *(10**400, 0.5, -0.5, 1.5, 1e308, -1e308, 1e-320, float("inf"), float("-inf"), float("nan")),
    *("", "1", "\x1b[2J", "two\nlines", "\u202e", "\x00", "\ud800", "a" * 5000, "😀", "../../etc/passwd", "custom"),
    *([], {}, [[]], [{}], [0, 1], [1, 0], [0, 0], [-1], [0] * 100, {"a": 1}, {"": []}),
]
# Few characters: a choice among all takes seconds to prepare.
TEXTS = st.text(st.sampled_from("a0 _\x00\n\x1b\x9b\u202e\ue000é😀"), max_size=20)
VALUES = st.one_of(
    st.sampled_from(EXTREMES),
    st.integers(-(2**70), 2**70),
    st.integers(-5, 400),
    st.floats(),
    TEXTS,
    st.recursive(st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3), max_leaves=10),
)
SQLITE_VALUES = st.one_of(
    st.none(),
    st.sampled_from(
        ["", "\x1b[2J", "\x00", "a" * 5000, "2026-01-01T00:00:00+00:00", b"", b"\x00", 2**63 - 1, -(2**63)]
    ),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 100),
    st.floats(),
    st.binary(max_size=50),
    TEXTS,
)
Fuzz = Callable[[st.DataObject], None]


def evaluation() -> Any:
    """One with a finding and figures of every feature."""
    one = made("mine", [[(40, 0.5), (40, 1.0)], [(20, 0.75), (40, 0.25)]], max_steps=40, log_interval=20)
    content = serialization.to_document(changed(one, protocol="custom"))
    features = [0.25] * 32
    for layer in content["first_layers"]:
        layer["mean_abs_weight"]["each"] = features
    for data in content["datasets"]:
        data |= {"secret": list(range(8)), "density": {"secret": 0.5, "others": 0.5, "each": features}}
    content["audit"] = [{"name": "overlap", "passed": False, "summary": "a line", "figures": {"rows": 3, "p": 0.5}}]
    return serialization.from_document(content, "here")


def mutated(data: st.DataObject, tree: Any) -> Any:
    """Changes a tree of plain values in one to three places, anywhere."""
    root = [copy.deepcopy(tree)]
    for _ in range(data.draw(st.integers(1, 3))):
        parent, key = _place(data, root)
        kind = data.draw(st.sampled_from(["replace", "replace", "delete", "copy", "add"]))
        if kind == "replace":
            parent[key] = copy.deepcopy(data.draw(VALUES))
        elif kind == "delete" and parent is not root:
            del parent[key]
        elif kind == "copy":
            other, at = _place(data, root)
            parent[key] = copy.deepcopy(other[at])
        elif isinstance(parent[key], list):
            twice = bool(parent[key]) and data.draw(st.booleans())
            parent[key].append(copy.deepcopy(parent[key][0]) if twice else copy.deepcopy(data.draw(VALUES)))
        elif isinstance(parent[key], dict):
            parent[key][data.draw(TEXTS)] = copy.deepcopy(data.draw(VALUES))
    return root[0]


def _place(data: st.DataObject, root: list[Any]) -> tuple[Any, Any]:
    parent: Any = root
    key: Any = 0
    while isinstance(parent[key], dict | list) and parent[key] and data.draw(st.integers(0, 3)):
        parent = parent[key]
        keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
        key = data.draw(st.sampled_from(keys))
    return parent, key


def mutated_bytes(data: st.DataObject, content: bytes) -> bytes:
    """Cuts, flips, removes and inserts bytes."""
    changed_ = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(changed_)))
        kind = data.draw(st.sampled_from(["cut", "flip", "remove", "insert", "repeat"]))
        if kind == "cut":
            del changed_[at:]
        elif kind == "flip" and at < len(changed_):
            changed_[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "remove":
            del changed_[at : at + data.draw(st.integers(1, 20))]
        elif kind == "insert":
            changed_[at:at] = data.draw(st.binary(max_size=20))
        elif kind == "repeat":
            changed_[at:at] = changed_[at : at + 20] * data.draw(st.integers(1, 100))
    return bytes(changed_)


def refused(error: Exception) -> None:
    """Checks what is said."""
    assert str(error).isprintable(), error
    assert len(str(error)) < 2000, error


def documents(_: Path) -> Fuzz:
    original = json.loads(serialization.dumps(evaluation()))
    text = json.dumps(original).encode()
    broken = json.loads(serialization.dumps(diverged(evaluation())))

    def fuzz(data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(["values", "values", "values", "bytes", "random"]))
        if kind == "values":
            content = json.dumps(mutated(data, broken if data.draw(st.booleans()) else original)).encode()
        else:
            content = mutated_bytes(data, text) if kind == "bytes" else data.draw(st.binary(max_size=200))
        try:
            read = serialization.loads(content, "a.json")
        except UsageError as error:
            refused(error)
        else:
            serialization.dumps(read)

    return fuzz


def compressed(content: Any) -> bytes:
    return zlib.compress(json.dumps(content).encode())


def histories(directory: Path) -> Fuzz:
    original, path = directory / "original", directory / "history"
    one, strategy = evaluation(), Strategy("mine", "mine.py", b"pass\n")
    one = changed(one, strategy_sha256=strategy.sha256)
    ranked = made("mine", [[(1_750, 0.75)] * 3] * 5)
    with History(original, create=True) as history:
        for ended in (changed(ranked, strategy_sha256=strategy.sha256), one, diverged(one)):
            history.add(ended, strategy, "a")
    document, curves = map(json.loads, serialization.dumps_in_parts(one))
    with sqlite3.connect(original) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(evaluations)")]
        (digest,) = connection.execute("SELECT repetition FROM evaluations").fetchone()
        (summary,) = connection.execute("SELECT summary FROM evaluations WHERE id = 1").fetchone()
    connection.close()

    def update(table: str, column: str, value: object, redigest: bool) -> None:
        with sqlite3.connect(path) as connection, suppress(sqlite3.IntegrityError):
            connection.execute(f"UPDATE OR IGNORE {table} SET {column} = ?", (value,))
            if redigest:
                with suppress(sqlite3.Error, UnicodeError, ValueError):
                    digested(connection)
        connection.close()

    def fuzz(data: st.DataObject) -> None:
        for stale in directory.glob("history*"):
            stale.unlink()
        shutil.copy(original, path)
        kinds = ["row", "row", "source", "document", "curves", "summary", "compressed", "file", "page"]
        kind, redigest = data.draw(st.sampled_from(kinds)), data.draw(st.booleans())
        if kind == "row":
            update("evaluations", data.draw(st.sampled_from(columns)), data.draw(SQLITE_VALUES), redigest)
        elif kind == "source":
            update("strategies", data.draw(st.sampled_from(["source", "sha256"])), data.draw(SQLITE_VALUES), redigest)
        elif kind == "document":
            update("documents", "document", compressed(mutated(data, document)), redigest)
        elif kind == "curves":
            update("curves", "curves", compressed(mutated(data, curves)), redigest)
        elif kind == "summary":
            update("evaluations", "summary", json.dumps(mutated(data, json.loads(summary))), redigest)
        elif kind == "compressed":
            update("documents", "document", mutated_bytes(data, compressed(document)), redigest)
        elif kind == "file":
            path.write_bytes(mutated_bytes(data, original.read_bytes()))
        else:
            pages = bytearray(original.read_bytes())
            at = data.draw(st.integers(0, len(pages) - 100))
            pages[at : at + 100] = random.Random(data.draw(st.integers(0, 10**6))).randbytes(100)
            path.write_bytes(pages)
        try:
            with History(path) as history:
                looks: list[Callable[[], object]] = [
                    history.entries,
                    history.evaluations,
                    history.summaries,
                    history.check,
                    lambda: list(history.same(digest)),
                    lambda: history.get(1),
                ]
                for look in looks:
                    try:
                        look()
                    except (UsageError, MachineError) as error:
                        refused(error)
        except (UsageError, MachineError) as error:
            refused(error)

    return fuzz


def strategies(directory: Path) -> Fuzz:
    def fuzz(data: st.DataObject) -> None:
        path = directory / (data.draw(TEXTS).replace("\x00", "") or "a")
        path.write_bytes(data.draw(st.binary(max_size=100)))
        try:
            assert load(path).name.isprintable()
        except UsageError as error:
            refused(error)
        path.unlink()

    return fuzz


def keys(directory: Path) -> Fuzz:
    path = directory / "key"

    def fuzz(data: st.DataObject) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(mutated_bytes(data, b"0a" * 32 + b"\n"))
        path.chmod(data.draw(st.sampled_from([stat.S_IRUSR | stat.S_IWUSR, 0o644])))
        try:
            assert len(read_key(path)) == 32
        except UsageError as error:
            refused(error)

    return fuzz


def checkpoints(directory: Path) -> Fuzz:
    """With all digests right, and, where it is accepted, the training goes on for some pieces."""
    from killed_training import SETTINGS, some_runs

    from vecparity.kernels.cpu.native import is_available
    from vecparity.training.checkpoints.checkpoint import Checkpoints
    from vecparity.training.checkpoints.snapshot_coherence import Training
    from vecparity.training.engines.native import NativeEngine
    from vecparity.training.engines.vmap import VmapEngine
    from vecparity.training.loop import train

    engine = NativeEngine(threads=1) if is_available() else VmapEngine()
    identity = {"engine": "native"}
    place = directory / "checkpoint"

    def after(pieces: int) -> Callable[[], bool]:
        left = iter(range(pieces))
        return lambda: next(left, None) is None

    def go_on(runs: list[Any], kept: Checkpoints, pieces: int) -> None:
        try:
            arguments = (runs, SETTINGS, engine, [torch.device("cpu")], torch.float32, lambda closed: None, kept)
            train(*arguments, after(pieces))
        except InterruptedTrainingError:
            pass

    bases = []
    for pieces in (0, 1, 2, 5, 40, 60, 1000):  # at a close and between, with runs that stopped and one that diverged
        kept = Checkpoints(directory / f"base-{pieces}", "t", identity, seconds=1000)
        runs = some_runs()
        kept.begin(runs)
        go_on(runs, kept, pieces)
        kept.close()
        files = []
        for stem in (f"{kept.name}.runs", f"{kept.name}.state-000001"):
            path = kept.directory / stem
            content = json.loads(path.with_name(f"{stem}.json").read_text())["content"]
            tensors = path.with_name(f"{stem}.safetensors").read_bytes()
            files.append((stem, content, tensors))
        bases.append(files)

    def write(stem: str, content: Any, tensors: bytes) -> str:
        digest = sha256(tensors).hexdigest()
        if isinstance(content, dict) and content.get("tensors_sha256") is not None:
            content["tensors_sha256"] = digest
        (place / f"{stem}.safetensors").write_bytes(tensors)
        text = json.dumps(content)  # as `checkpoint_file` writes it, but with what JSON has not
        rendered = f'{{"sha256": "{sha256(text.encode()).hexdigest()}", "content": {text}}}\n'
        (place / f"{stem}.json").write_bytes(rendered.encode())
        return digest

    def fuzz(data: st.DataObject) -> None:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        files = copy.deepcopy(bases[data.draw(st.integers(0, len(bases) - 1))])
        chosen = data.draw(st.integers(0, 1))
        stem, content, tensors = files[chosen]
        kind = data.draw(st.sampled_from(["values", "values", "values", "content", "tensors", "tensors", "bytes"]))
        if kind == "values":
            content["values"] = mutated(data, content["values"])
        elif kind == "content":
            content = mutated(data, content)
        elif kind == "tensors":
            tensors = safetensors.torch.save(mutated_tensors(data, safetensors.torch.load(tensors)))
        else:
            tensors = mutated_bytes(data, tensors)
        files[chosen] = (stem, content, tensors)
        digest = write(*files[0])
        if isinstance(files[1][1], dict) and isinstance(files[1][1].get("of"), dict):
            files[1][1]["of"]["runs_sha256"] = digest
        write(*files[1])
        with warnings.catch_warnings(), closing(Checkpoints(place, "t", identity, seconds=1000)) as kept:
            warnings.simplefilter("error")
            try:
                runs = kept.resume(Training(SETTINGS, torch.float32))
            except UsageError as error:
                refused(error)
                return
            assert runs is not None
            go_on(runs, kept, 4)

    return fuzz


def mutated_tensors(data: st.DataObject, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Changes one tensor: its values, shape or type, or that it is there."""
    name = data.draw(st.sampled_from(sorted(tensors)))
    tensor = tensors[name].clone()
    kind = data.draw(st.sampled_from(["value", "value", "value", "cut", "grow", "flat", "deep", "type", "drop", "add"]))
    if kind == "value" and tensor.numel():
        flat = tensor.view(-1)
        at = data.draw(st.integers(0, len(flat) - 1))
        if tensor.is_floating_point():
            flat[at] = data.draw(
                st.sampled_from([float("nan"), float("inf"), -1.0, 1e38, -0.0, 0.5]) | st.floats(width=32)
            )
        elif tensor.dtype == torch.bool:
            flat.view(torch.uint8)[at] = data.draw(st.sampled_from([0, 1, 2, 255]))
        else:
            information = torch.iinfo(tensor.dtype)
            flat[at] = data.draw(st.integers(information.min, information.max) | st.integers(0, 10))
    elif kind in ("cut", "grow") and tensor.ndim:
        axis = data.draw(st.integers(0, tensor.ndim - 1))
        tensor = (
            tensor.narrow(axis, 0, max(tensor.shape[axis] - 1, 0)) if kind == "cut" else torch.cat([tensor] * 2, axis)
        )
    elif kind == "flat":
        tensor = tensor.reshape(-1)
    elif kind == "deep":
        tensor = tensor[None]
    elif kind == "type":
        types = [torch.float16, torch.float32, torch.float64, torch.int8, torch.int64, torch.bool, torch.bfloat16]
        tensor = tensor.to(data.draw(st.sampled_from(types)))
    changed_ = {key: value for key, value in tensors.items() if kind != "drop" or key != name}
    added = {"another" if kind == "add" else name: tensor.contiguous()} if kind != "drop" else {}
    return changed_ | added


FUZZ: dict[str, Callable[[Path], Fuzz]] = {
    "document": documents,
    "history": histories,
    "strategy": strategies,
    "key": keys,
    "checkpoint": checkpoints,
}


def fuzz(kind: str, directory: Path, examples: int, seed: int) -> float:
    """Fuzzes so many files, and returns the CPU seconds that the slowest took."""
    try_one, slowest = FUZZ[kind](directory), [0.0]

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck), print_blob=False
    )
    @given(st.data())
    def run(data: st.DataObject) -> None:
        began = time.process_time()
        try_one(data)
        slowest[0] = max(slowest[0], time.process_time() - began)

    run()
    return slowest[0]


if __name__ == "__main__":
    faulthandler.enable()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        reading.limit()
        seconds = fuzz(sys.argv[1], Path(temporary), int(sys.argv[2]), int(sys.argv[3]))
    print(seconds)
