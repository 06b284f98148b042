"""Evaluations under random seeds, several at once, killed at random moments and resumed, into one directory.

    killed_evaluations.py DIRECTORY [LEVEL [EVALUATIONS [AT_ONCE]]]

Prints as JSON the numbers of evaluations, of kills, of resumptions and of fresh starts, and the longest time in
milliseconds from a kill until no process and no file of the evaluation's was left.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from processes import await_that

SETTINGS = (
    "--strategy default_4096 --num-hidden-secrets 2 --num-orderings 2 --max-steps 3000 --log-interval 50 "
    "--hidden-width 64 --test-set-size 64 --checkpoint-seconds 0 --no-history --no-progress --threads 1"
)
# Many are killed before there is anything to be kept; the others while they train, which takes about as long.
_STARTING_SECONDS = 4.0
_TRAINING_SECONDS = 0.4
_SHARED = Path("/dev/shm")


def kill_and_go_on(directory: Path, level: str = "limits", evaluations: int = 100, at_once: int = 4) -> Counter[str]:
    """Has every evaluation end, and returns counts.

    Raises:
        AssertionError: A result is missing or is not that of an evaluation never interrupted, or something is left.
    """
    temporary = directory / "tmp"
    temporary.mkdir(parents=True)
    chance = random.Random(0)
    seeds = [chance.randrange(2**31) for _ in range(evaluations)]
    results, expected = directory / "results", directory / "expected"
    counts = Counter(evaluations=evaluations)
    with ThreadPoolExecutor(at_once) as pool:
        for each in pool.map(lambda seed: _until_it_ends(level, seed, results, temporary), seeds):
            slowest = max(counts["slowest end"], each.pop("slowest end", 0))
            counts.update(each)
            counts["slowest end"] = slowest
    names = sorted(f"eval_seed{seed}.json" for seed in seeds)
    assert sorted(path.name for path in results.iterdir()) == names
    with _started(level, seeds, expected, temporary) as process:
        _, said = process.communicate()
    assert process.returncode == 0, said
    for seed in seeds:
        assert _result(seed, results) == _result(seed, expected), seed
    assert not [path for each in temporary.iterdir() for path in each.iterdir()]
    return counts


def _until_it_ends(level: str, seed: int, results: Path, temporary: Path) -> Counter[str]:
    chance, counts = random.Random(seed), Counter[str]()
    flags: list[str] = []
    kills = chance.choice([1, 1, 1, 2])
    while True:
        shared = _files_in_memory()
        with _started(level, [seed], results, temporary, *flags) as process:
            if counts["kills"] < kills:
                _wait(process, chance)
                process.kill()
            said = process.communicate()[1]
        counts["begun again" if "the evaluation starts from the beginning" in said else "gone on"] += bool(flags)
        if process.returncode == 0:
            return counts
        assert process.returncode == -9, said
        began = time.monotonic()
        await_that(partial(_is_gone, temporary / str(seed), shared))
        counts["slowest end"] = max(counts["slowest end"], round(1000 * (time.monotonic() - began)))
        counts["kills"] += 1
        flags = ["--resume"]


def _is_gone(own: Path, shared: set[Path]) -> bool:
    """Returns True if no process and no file is left of an evaluation with a temporary directory of its own."""
    if any(own.iterdir()) or any("vecparity" in path.name for path in _files_in_memory() - shared):
        return False
    for pid in psutil.pids():
        with suppress(OSError):
            if str(own).encode() in Path(f"/proc/{pid}/environ").read_bytes():
                return False
    return True


def _files_in_memory() -> set[Path]:
    return set(_SHARED.iterdir()) if _SHARED.exists() else set()


def _wait(process: "subprocess.Popen[str]", chance: random.Random) -> None:
    """Waits until some moment, half of the times while it trains."""
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, _STARTING_SECONDS))
        return
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("TRAIN_METRICS"):
            time.sleep(chance.uniform(0, _TRAINING_SECONDS))
            return


def _started(level: str, seeds: list[int], results: Path, temporary: Path, *flags: str) -> "subprocess.Popen[str]":
    """Starts an evaluation whose every process has its temporary directory in the PATH, the best-known variable."""
    own = temporary / str(seeds[0])
    own.mkdir(exist_ok=True)
    arguments = f"{SETTINGS} --containment {level} --output-dir {results} --seed".split()
    return subprocess.Popen(
        [sys.executable, "-m", "vecparity.eval", *arguments, *map(str, seeds), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(own), "PATH": f"{os.environ['PATH']}:{own}"},
    )


def _result(seed: int, directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / f"eval_seed{seed}.json").read_text())
    del content["provenance"]["wall_seconds"]
    return content


if __name__ == "__main__":
    level, *counts = sys.argv[2:] or ["limits"]
    print(json.dumps(kill_and_go_on(Path(sys.argv[1]), level, *map(int, counts))))
