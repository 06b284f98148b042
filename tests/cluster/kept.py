"""The steps of workers' checkpoints."""

import json
from contextlib import suppress
from pathlib import Path

from processes import await_that


def kept_steps(directory: Path) -> dict[Path, int]:
    """Returns the newest steps of all jobs' checkpoints; such as are being removed are left out."""
    steps: dict[Path, int] = {}
    for path in directory.rglob("*.state-*.json"):
        with suppress(OSError):
            step = json.loads(path.read_text())["content"]["values"]["step"]
            steps[path.parent] = max(step, steps.get(path.parent, 0))
    return steps


def await_steps(directory: Path, least: int, count: int = 1) -> None:
    """Waits until so many jobs have checkpoints of such steps."""
    await_that(lambda: sum(step >= least for step in kept_steps(directory).values()) >= count)
