"""Confines a process and all its children to its directories with Landlock, permanently.

Source: https://docs.kernel.org/userspace-api/landlock.html
"""

from pathlib import Path

from landlockpy import AccessFS, Ruleset, Scope, supported

from vecparity.sandbox.installation import DEVICES, SYSTEM, directories

_READ = AccessFS.READ_FILE | AccessFS.READ_DIR | AccessFS.EXECUTE


def is_supported() -> bool:
    return supported()


def confine(scratch: str) -> None:
    """Restricts this process to reading the Python installation, writing to ``scratch`` and sharing memory."""
    everything = AccessFS(0)
    for access in AccessFS:
        everything |= access
    with Ruleset(handled_fs=everything, scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL) as ruleset:
        for path in (*directories(), *SYSTEM, "/proc"):  # /proc lists only the sandbox's own processes
            if Path(path).is_dir():
                ruleset.allow_path(path, _READ)
            elif Path(path).exists():
                ruleset.allow_path(path, AccessFS.READ_FILE)
        for device in DEVICES:
            ruleset.allow_path(device, AccessFS.READ_FILE | AccessFS.WRITE_FILE)
        for directory in (scratch, "/dev/shm"):
            ruleset.allow_path(directory, everything)
        ruleset.restrict()
