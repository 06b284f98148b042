"""Paths of the Python installation and its dependencies, which a contained strategy can read."""

import os
import sys
import sysconfig
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# Packages that a worker imports. A strategy may import anything else that is installed in the same directories.
_PACKAGES = ("vecparity", "torch", "numpy", "einops", "jaxtyping", "psutil", "landlockpy", "cloudpickle")
_SHARED = ("site-packages", "dist-packages")
# System paths that libraries read when they start.
SYSTEM = ("/lib", "/lib32", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/sys/devices/system")
# The only devices in a contained /dev.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


@cache
def executable() -> str:
    """Returns Python's path inside the sandbox: the virtual environment's own if its links resolve inside, too."""
    path = first = _in_real_directory(sys.executable)
    while os.path.islink(path):
        if not any(path.startswith(f"{directory}/") for directory in directories()):
            return os.path.realpath(path)
        path = _in_real_directory(os.path.join(os.path.dirname(path), os.readlink(path)))
    return first


def _in_real_directory(path: str) -> str:
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


@cache
def directories() -> tuple[str, ...]:
    """Returns the directories of the Python installation, of its installed packages, and of this package."""
    found = {"/usr", sys.prefix, sys.base_prefix, sys.exec_prefix, os.path.dirname(os.path.realpath(sys.executable))}
    found |= {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    for package, parent in _package_parents().items():
        # If a package lies in a user's project, only the package is visible, not the project.
        found.add(str(parent) if parent.name in _SHARED else str(parent / package))
    found = {path for path in found if path == os.path.normpath(path)} | {os.path.realpath(path) for path in found}
    existing = sorted(path for path in found if path != "/" and os.path.isdir(path))
    return tuple(path for path in existing if not any(path.startswith(f"{other}/") for other in existing))


def search_path() -> list[str]:
    """Returns the directories in which a worker finds the packages that it imports."""
    return list(dict.fromkeys(str(parent) for parent in _package_parents().values()))


@cache
def _package_parents() -> dict[str, Path]:
    specs = ((package, find_spec(package)) for package in _PACKAGES)
    return {package: Path(spec.origin).parent.parent.resolve() for package, spec in specs if spec and spec.origin}
