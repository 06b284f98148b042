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


def await_steps(directory: Path, least: int, count: int = 1) -> None:
    """Waits until so many jobs have checkpoints of such steps."""
    await_that(lambda: sum(step >= least for step in kept_steps(directory).values()) >= count)
