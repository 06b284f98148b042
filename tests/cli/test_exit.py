"""The command ends as soon as it has nothing more to say."""

import subprocess
import sys
import time

import pytest
from conftest import SHORT_FLAGS


def seconds_after_the_last_line() -> float:
    """Runs an evaluation, and returns the time from its last line to its end."""
    command = [sys.executable, "-m", "vecparity.eval", *SHORT_FLAGS.split(), "--no-history"]
    last = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        for _ in process.stdout:
            last = time.perf_counter()
        process.wait()
        ended = time.perf_counter()
    assert process.returncode == 0 and last
    return ended - last


@pytest.mark.alone
def test_nothing_is_waited_for_after_the_last_line() -> None:
    assert any(seconds_after_the_last_line() <= 0.10 for _ in range(15))  # the quickest of all: others were disturbed
