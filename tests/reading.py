"""Reads files in a separate program, so that a crash, endless work or gigabytes of memory do not affect the tests.

    reading.py KIND FILE...     prints a line of JSON for each: its outcome, the message, seconds and MiB

Kinds are ``document``, ``history``, ``strategy``, ``key`` and ``checkpoint``. The files of ``checkpoint`` are
directories; the training of an accepted checkpoint goes on.
"""

import json
import re
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

GIGABYTES = 2
SECONDS = 10


class Outcome(NamedTuple):
    """The outcome of reading one file.

    Attributes:
        kind: ``read``, or the name of the error.
        said: The error's message.
        seconds: CPU time.
        mebibytes: Growth of the process's peak memory.
    """

    kind: str
    said: str
    seconds: float
    mebibytes: float


def read_in_a_child(kind: str, paths: Sequence[Path], seconds: float = 600) -> list[Outcome]:
    """Reads files; a crash, or one that never ends, is an error with what was printed until then."""
    command = [sys.executable, __file__, kind, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    outcomes = [Outcome(*json.loads(line)) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{paths[len(outcomes) :][:1]}: {done.returncode}: {done.stderr[-3000:]}"
    return outcomes


def assert_documented(outcomes: Sequence[Outcome], errors: Sequence[str]) -> None:
    """Each was read or refused, in a printable line, in time and within the memory."""
    for outcome in outcomes:
        assert outcome.kind in ("read", *errors), outcome
        assert outcome.said.isprintable() and len(outcome.said) < 1000, outcome
        assert outcome.seconds < SECONDS and outcome.mebibytes < GIGABYTES << 10, outcome


def main(kind: str, *paths: str) -> None:
    read = _reader(kind)
    warnings.simplefilter("ignore")  # of the generation before
    for path in paths:
        began, before = time.process_time(), _peak()
        try:
            read(Path(path))
            outcome = ("read", "")
        except Exception as error:
            outcome = (type(error).__name__, str(error))
        print(json.dumps([*outcome, time.process_time() - began, _peak() - before]), flush=True)


def _peak() -> float:
    """The most memory that this process had, in MiB; ``ru_maxrss`` would be that of the one that started it, too."""
    try:
        return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]
    except OSError:  # not Linux
        return 0.0


def _reader(kind: str) -> Callable[[Path], object]:
    if kind == "document":
        from vecparity.evaluation import serialization

        limit()
        return serialization.load
    if kind == "history":
        from vecparity.history.store import History

        def read_history(path: Path) -> None:
            with History(path) as history:
                for entry in history.entries():
                    history.get(entry.id)

        limit()
        return read_history
    if kind in ("strategy", "key"):
        from vecparity.strategy.source import load
        from vecparity.task import seeds

        limit()
        return load if kind == "strategy" else seeds.read_key
    return _checkpoint_reader()


def _checkpoint_reader() -> Callable[[Path], object]:
    """Goes on from a checkpoint to its end, in this thread."""
    import torch
    from killed_training import SETTINGS

    from vecparity.kernels.cpu.native import is_available
    from vecparity.training.checkpoints.checkpoint import Checkpoints
    from vecparity.training.checkpoints.snapshot_coherence import Training
    from vecparity.training.engines.native import NativeEngine
    from vecparity.training.engines.vmap import VmapEngine
    from vecparity.training.loop import train

    def go_on(path: Path) -> None:
        found = Checkpoints(path, "t", {"engine": "native"}, seconds=1000)
        runs = found.resume(Training(SETTINGS, torch.float32))
        assert runs is not None
        engine = NativeEngine(threads=2) if is_available() else VmapEngine()
        train(runs, SETTINGS, engine, [torch.device("cpu")], torch.float32, lambda closed: None, found)

    limit()
    return go_on


def limit() -> None:
    """Has no more memory to be had than is allowed, beside what importing took."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    if pages is not None:
        most = pages * resource.getpagesize() + (GIGABYTES << 30) + (1 << 29)  # threads have theirs
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    main(*sys.argv[1:])
