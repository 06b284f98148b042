"""The command on file systems that are full, read-only, or gone."""

import subprocess
import sys
from pathlib import Path

import pytest
from disks import SHORT, mounted, needs_mount
from processes import Child


@pytest.mark.slow
@needs_mount
def test_a_full_disk_loses_no_results_and_leaves_no_torn_file(tmp_path: Path) -> None:
    done = mounted("size=8k", tmp_path, "--max-steps 600 --log-interval 2 --checkpoint-seconds 0")
    assert done.returncode == 6
    assert done.stdout.splitlines()[-1].startswith("TEST_METRICS")
    assert done.stderr.count("no checkpoint could be written to") == 1
    assert "results could not be written to" in done.stderr and "No space left on device" in done.stderr
    assert done.stderr.endswith("LEFT\n"), "no file is left"


@pytest.mark.slow
@needs_mount
def test_a_read_only_disk_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    done = mounted("ro", tmp_path, "--max-steps 1")
    assert (done.returncode, done.stdout) == (6, "")
    assert "output-dir must be a directory that can be written" in done.stderr


@pytest.mark.slow
def test_a_directory_that_vanishes_loses_no_results(tmp_path: Path) -> None:
    directory = tmp_path / "results"
    arguments = f"{SHORT} --max-steps 4000 --log-interval 10 --checkpoint-seconds 0 --output-dir {directory}"
    with Child(
        [sys.executable, "-m", "vecparity.eval", *arguments.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(10)]
        directory.rename(tmp_path / "elsewhere")
        rest, err = process.communicate()
    assert process.returncode == 6
    assert lines[0].startswith("TASK_CONFIG")
    assert rest.splitlines()[-1].startswith("TEST_METRICS")
    assert "results could not be written to" in err
