"""A training to be killed, as a program: resumes from its checkpoints, and writes its final state.

    killed_training.py ENGINE DIRECTORY                  trains, in this process
    killed_training.py ENGINE DIRECTORY KILLS SECONDS    trains in child processes, and kills each at some moment

Every results file is `results.json`; its ``params`` are those with which each run was tested at its end.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from equivalence import CONFIG, diverging, make_runs

from vecparity.task.dataset import Dataset
from vecparity.training import schedule
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.checkpoints.snapshot_coherence import Training
from vecparity.training.engines.interface import Engine, WindowMetrics
from vecparity.training.engines.native import NativeEngine
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.loop import WindowClosed, train
from vecparity.training.runs import Run
from vecparity.training.schedule import Window

# Windows that several pieces make up, and runs that stop at different ones.
SETTINGS = replace(
    CONFIG, max_steps=300, log_interval=7, min_steps_before_stop=50, early_stop_acc=0.75, early_stop_windows=2
)
schedule._MOST_STEPS = 3
torch.set_num_threads(1)  # a child of a process whose operations had threads would wait for them for ever


def main() -> None:
    name, directory, *kills = sys.argv[1:]
    engine, device = make_engine(name)
    if not kills:
        train_on(engine, device, Path(directory))
        return
    train_on(engine, device, Path(directory) / "whole")  # and what is traced here, children need not
    least, spread = int(kills[0]), float(kills[1])
    counts = {"kills": 0, "torn_writes": 0, "trainings": 0}
    chance = random.Random(name)
    while counts["kills"] < least:
        counts["trainings"] += 1
        until_it_ends(engine, device, Path(directory) / f"killed-{counts['trainings']}", spread, chance, counts)
    print(json.dumps(counts))


def until_it_ends(
    engine: Engine, device: torch.device, directory: Path, spread: float, chance: random.Random, counts: dict[str, int]
) -> None:
    while True:
        progress, kept = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                train_on(engine, device, directory, kept)
                os._exit(0)
            finally:
                os._exit(1)
        os.close(kept)
        if chance.random() < 0.5:  # else it may be killed before it keeps a step, on a busy machine always
            os.read(progress, 1)
        time.sleep(chance.uniform(0, spread))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        os.close(progress)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return
        counts["kills"] += 1
        counts["torn_writes"] += is_torn(directory)


def is_torn(directory: Path) -> bool:
    """Returns True if a write was killed: it left a temporary file, or tensors without their JSON."""
    files = {path.name for path in directory.glob("t-*.*.*")}
    tensors = [name for name in files if name.endswith(".safetensors")]
    return any(name.endswith(".tmp") for name in files) or any(
        name.replace(".safetensors", ".json") not in files for name in tensors
    )


def make_engine(name: str) -> tuple[Engine, torch.device]:
    if name == "triton":
        from vecparity.training.engines.triton import TritonEngine

        return TritonEngine(), torch.device("cuda")
    return (NativeEngine(threads=2) if name == "native" else VmapEngine()), torch.device("cpu")


class Noting:
    """An engine that notes the parameters that it is given to test, in a file that outlives the process.

    Says when it has trained for the first time: before that, much of what a process does is to load and to trace.
    Writes a byte to ``kept`` when it is asked for more: what it has trained is kept by then.
    """

    def __init__(self, engine: Engine, file: Path, kept: int | None) -> None:
        self.name, self.chunk_runs = engine.name, engine.chunk_runs
        self._engine, self._file, self._kept = engine, os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT), kept
        self._count = 0

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        if self._count == 1 and self._kept is not None:
            os.write(self._kept, b"1")
        metrics = self._engine.advance(ensemble, window)
        if not self._count:
            print("training", flush=True)
        self._count += 1
        return metrics

    def test(self, params: torch.Tensor, test_sets: Sequence[Dataset], hidden_width: int) -> torch.Tensor:
        for one in params.cpu():
            os.write(self._file, f"{hashlib.sha256(one.numpy().tobytes()).hexdigest()}\n".encode())
        return self._engine.test(params, test_sets, hidden_width)


def some_runs() -> list[Run]:
    runs = make_runs(SETTINGS)
    return [*runs[:5], diverging(runs[5]), *runs[6:]]


def train_on(engine: Engine, device: torch.device, directory: Path, kept: int | None = None) -> None:
    checkpoints = Checkpoints(directory, "t", {"engine": engine.name}, seconds=0)
    runs = checkpoints.resume(Training(SETTINGS, torch.float32))
    if runs is None:
        runs = some_runs()
        checkpoints.begin(runs)
    notes = directory / "params"
    windows: list[WindowClosed] = []
    noting = Noting(engine, notes, kept)
    ends = train(runs, SETTINGS, noting, [device], torch.float32, windows.append, checkpoints)
    result = {
        "ends": [asdict(end) for end in ends],
        "windows": [asdict(replace(window, is_shown_again=False)) for window in windows],
        "params": sorted(set(notes.read_text().split())),
    }
    temporary = directory / "results.json.tmp"
    temporary.write_text(json.dumps(result))
    temporary.replace(directory / "results.json")


if __name__ == "__main__":
    main()
