"""The steps of workers' checkpoints."""

import fnmatch
import json
import os
from contextlib import suppress
from pathlib import Path

from processes import await_that


def kept_steps(directory: Path) -> dict[Path, int]:
    """Returns the newest steps of all jobs' checkpoints; such as are being removed are left out."""
    steps: dict[Path, int] = {}
    for job, _, names in os.walk(directory):  # which passes over a directory that is gone, as rglob does not
        for name in fnmatch.filter(names, "*.state-*.json"):
            with suppress(OSError):
                step = json.loads(Path(job, name).read_text())["content"]["values"]["step"]
                steps[Path(job)] = max(step, steps.get(Path(job), 0))
    return steps


def in_training(directory: Path, since: dict[Path, int], most: int) -> list[Path]:
    """Returns the directories of those jobs in the middle of their training that have a newer checkpoint.

    Args:
        directory: The checkpoints of all jobs.
        since: The steps of earlier checkpoints.
        most: Checkpoints of more steps are left out: such a job may have ended before anybody can act.
    """
    return [job for job, step in kept_steps(directory).items() if since.get(job, 0) < step <= most]


def worker_of(job: Path) -> int:
    """Returns the process number of the worker that trains a job."""
    (lock,) = job.glob("*.lock")
    return int(lock.read_text())


def await_steps(directory: Path, least: int, count: int = 1) -> None:
    """Waits until so many jobs have checkpoints of such steps."""
    await_that(lambda: sum(step >= least for step in kept_steps(directory).values()) >= count)
