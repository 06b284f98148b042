"""Evaluations under random seeds, several at once, killed at random moments and resumed, into one directory.

    killed_evaluations.py DIRECTORY [EVALUATIONS [AT_ONCE]]

Prints as JSON the numbers of evaluations, of kills, of resumptions and of fresh starts.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from processes import await_that

SETTINGS = (
    "--strategy default_4096 --num-hidden-secrets 2 --num-orderings 2 --max-steps 6000 --log-interval 50 "
    "--hidden-width 64 --test-set-size 64 --checkpoint-seconds 0 --containment limits --no-history --no-progress"
)
# Many are killed before there is anything to be kept; the others while they train, which takes about as long.
_STARTING_SECONDS = 6.0
_TRAINING_SECONDS = 0.6


def kill_and_go_on(directory: Path, evaluations: int = 100, at_once: int = 4) -> Counter[str]:
    """Has every evaluation end, and returns counts.

    Raises:
        AssertionError: A result is missing or is not that of an evaluation never interrupted, or something is left.
    """
    temporary = directory / "tmp"
    temporary.mkdir(parents=True)
    chance = random.Random(0)
    seeds = [chance.randrange(2**31) for _ in range(evaluations)]
    results = directory / "results"
    with ThreadPoolExecutor(at_once) as pool:
        counted = pool.map(lambda seed: _until_it_ends(seed, results, temporary), seeds)
        counts = sum(counted, Counter(evaluations=evaluations))
    assert sorted(path.name for path in results.iterdir()) == sorted(f"eval_seed{seed}.json" for seed in seeds)
    for seed in seeds[:3]:
        with _started(seed, directory / "expected", temporary) as process:
            process.communicate()
        assert _result(seed, results) == _result(seed, directory / "expected"), seed
    await_that(lambda: not any(temporary.iterdir()))  # a fork server that loads torch yet has to notice
    return counts


def _until_it_ends(seed: int, results: Path, temporary: Path) -> Counter[str]:
    chance, counts = random.Random(seed), Counter[str]()
    flags: list[str] = []
    kills = chance.choice([1, 1, 1, 2])
    while True:
        with _started(seed, results, temporary, *flags) as process:
            if counts["kills"] < kills:
                _wait(process, chance)
                process.kill()
            said = process.communicate()[1]
        counts["begun again" if "the evaluation starts from the beginning" in said else "gone on"] += bool(flags)
        if process.returncode == 0:
            return counts
        assert process.returncode == -9, said
        counts["kills"] += 1
        flags = ["--resume"]


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


def _started(seed: int, results: Path, temporary: Path, *flags: str) -> "subprocess.Popen[str]":
    arguments = f"{SETTINGS} --seed {seed} --output-dir {results} --threads 1"
    return subprocess.Popen(
        [sys.executable, "-m", "vecparity.eval", *arguments.split(), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )


def _result(seed: int, directory: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((directory / f"eval_seed{seed}.json").read_text())
    del content["provenance"]["wall_seconds"]
    return content


if __name__ == "__main__":
    print(json.dumps(kill_and_go_on(Path(sys.argv[1]), *map(int, sys.argv[2:]))))
