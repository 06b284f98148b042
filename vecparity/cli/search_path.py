"""Keeps the command from finding modules in the current directory, in which a strategy may have put some."""

import os
import sys
from importlib.util import find_spec

# Modules of Python's own, and of the packages that the command is installed with.
_NEEDED = ("sqlite3", "cyclopts", "rich", "torch", "scipy")


def leave_current_directory() -> None:
    """Takes the current directory off the module search path, unless modules that the command needs lie only there.

    ``python -m`` puts it first. A package that is imported already, as this one from a source checkout, still finds its
    own modules.
    """
    try:
        here = os.path.realpath(os.getcwd())
    except FileNotFoundError:  # it has been removed
        return
    before = sys.path[:]
    sys.path[:] = [path for path in before if os.path.realpath(path) != here]
    if any(find_spec(name) is None for name in _NEEDED):
        sys.path[:] = before
