"""The workers that a command line names."""

import re
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from vecparity.cluster.local import LocalWorkers
from vecparity.errors import UsageError


def require_workers(text: str | None) -> None:
    """Checks that a text names workers, before anything is evaluated.

    Raises:
        UsageError: It does not.
    """
    if text is not None and not re.fullmatch(r"[1-9][0-9]{0,3}", text):
        raise UsageError(f"workers must be a number of processes, as in --workers 8, got {text!r}")


@contextmanager
def opened_workers(text: str | None) -> Iterator[Executor | None]:
    """Opens the workers that a text names, and ends them; None for evaluations in this process.

    Raises:
        UsageError: See `require_workers`.
    """
    require_workers(text)
    if text is None:
        yield None
        return
    with LocalWorkers(int(text)) as workers:
        yield workers
