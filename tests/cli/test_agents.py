"""The characters that an agent reads while it works in pipes, where they are what it pays for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vecparity.strategy.source import load

# 40% of what it read for an iteration before there were shorter lines and tables.
MOST_CHARACTERS = 2_840


@pytest.mark.slow
def test_an_iteration_has_few_characters(tmp_path: Path) -> None:
    """Of check, an evaluation of all configurations and the history, on average over five."""

    def characters(*words: str) -> int:
        environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        command = [sys.executable, "-m", "vecparity", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return len(done.stdout) + len(done.stderr)

    source, counts = load("isolated_cube").source, []
    for iteration in range(5):
        (tmp_path / "mine.py").write_bytes(source + f"# {iteration}\n".encode())
        evaluation = characters("eval", "mine.py", "--all-configs", "--smoke", "--log", "json")
        counts.append(characters("check", "mine.py") + evaluation + characters("history"))
    assert 1_000 < sum(counts) / len(counts) <= MOST_CHARACTERS, counts
