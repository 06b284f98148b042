"""Mutated files of each kind: some in this process, and thousands in a separate process that may crash."""

import subprocess
import sys
from pathlib import Path

import fuzzing
import pytest
from reading import SECONDS

PROGRAM = Path(fuzzing.__file__)


@pytest.mark.parametrize(("kind", "examples"), [("document", 40), ("history", 25), ("strategy", 50), ("key", 50)])
def test_some(kind: str, examples: int, tmp_path: Path) -> None:
    assert fuzzing.fuzz(kind, tmp_path, examples, seed=0) < SECONDS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "examples"), [("document", 2000), ("history", 500), ("strategy", 500), ("key", 500), ("checkpoint", 600)]
)
def test_many(kind: str, examples: int) -> None:
    command = [sys.executable, str(PROGRAM), kind, str(examples), "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
    assert float(done.stdout) < SECONDS
