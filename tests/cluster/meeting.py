"""A call that workers make together: each of them has loaded all that evaluations need when it ends."""

import os
from pathlib import Path

from processes import await_that

import vecparity.cluster.worker  # noqa: F401  # takes seconds


def met(directory: str, count: int) -> int:
    """Waits until so many calls run at once; returns the node's process, whose child the worker is."""
    Path(directory, str(os.getpid())).touch()
    await_that(lambda: len(list(Path(directory).iterdir())) == count)
    return os.getppid()
