"""Containment levels: the levels that this machine supports, and the command that starts a contained process."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from vecparity.errors import UsageError
from vecparity.sandbox.installation import DEVICES, SYSTEM, directories, executable, search_path
from vecparity.sandbox.limits import Limits, num_cpus
from vecparity.sandbox.privileges import pid_namespace

# The strongest first.
Level = Literal["bwrap", "landlock", "limits", "none"]
Containment = Literal["auto", "bwrap", "landlock", "limits", "none"]
LEVELS: tuple[Level, ...] = get_args(Level)
# Levels with separate namespaces for processes, network and files.
WITH_NAMESPACES: tuple[Level, ...] = ("bwrap", "landlock")
# Levels at which a strategy cannot read the user's files, such as the key of a sealed evaluation.
HIDES_FILES: tuple[Level, ...] = WITH_NAMESPACES

_UNSHARE = (
    *("setpriv", "--pdeathsig", "KILL"),  # ends with the evaluator, and all that is within with it
    *("unshare", "--user", "--map-root-user", "--net", "--ipc", "--uts", "--pid", "--mount"),
    *("--fork", "--kill-child=KILL", "sh", "-ec"),
)
_MOUNT_PROC = "mount -t proc proc"
_MOUNT_MEMORY = "mount -t tmpfs -o mode=755,size="
_WITHOUT_CAPABILITIES = "setpriv --no-new-privs --inh-caps=-all --bounding-set=-all"
_BWRAP = (
    *("bwrap", "--unshare-all", "--unshare-user", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
    *("--proc", "/proc", "--dev", "/dev"),
)
_SCRATCH = "/scratch"
# Directories that most machines have and that a sandbox does not need.
_UNNEEDED = ("/mnt", "/media", "/srv", "/boot", "/home", "/opt", "/root", "/var/tmp", "/tmp", "/run", "/var")
# Time limit for the test whether namespaces can be made.
_TRY_SECONDS = 20
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Environment variables that a strategy may see.
_ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    *_THREADS,
)


def choose(
    containment: Containment, require: Level | None = None, *, needs_cuda: bool = False, is_sealed: bool = False
) -> Level:
    """Chooses the level: the strongest that the machine supports, or the requested level.

    Args:
        containment: ``auto`` or a level.
        require: The weakest acceptable level.
        needs_cuda: Whether ``init_model`` draws on a GPU; landlock gives no access to one.
        is_sealed: Whether a strategy must not read the evaluation's key, which lies among the user's files.

    Raises:
        UsageError: The machine does not support the requested level, or any acceptable level.
    """
    if containment not in get_args(Containment):
        raise UsageError(f"containment must be one of {', '.join(get_args(Containment))}, got {containment!r}")
    if require is not None and require not in LEVELS:
        raise UsageError(f"require-containment must be one of {', '.join(LEVELS)}, got {require!r}")
    if containment == "auto":
        without = ("landlock",) if needs_cuda else ()
        level = next(level for level in LEVELS if level not in without and why_not(level) is None)
    else:
        level = containment
        if problem := why_not(level):
            raise UsageError(f"containment {level} {problem}")
        if level == "landlock" and needs_cuda:
            raise UsageError("containment landlock hides the GPU: expected --init-device cpu, got cuda")
    if require is not None and LEVELS.index(level) > LEVELS.index(require):
        raise UsageError(f"containment must be at least {require}, got {level}{_what_is_missing()}")
    if is_sealed and level not in HIDES_FILES:
        raise UsageError(
            f"a sealed evaluation needs containment {' or '.join(HIDES_FILES)}, as elsewhere a strategy can read the "
            f"user's files and so the key: got {level}{_what_is_missing()}"
        )
    return level


def _what_is_missing() -> str:
    """Returns what stronger levels need that the machine lacks, in brackets; empty if it has them all."""
    problems = "; ".join(f"{level} {problem}" for level in LEVELS if (problem := why_not(level)))
    return f" ({problems})" if problems else ""


@cache
def why_not(level: Level) -> str | None:
    """Returns the reason why the machine does not support a level, with the remedy; None if it supports the level."""
    if level == "none":
        return None
    if not sys.platform.startswith("linux"):
        return f"needs Linux, got {sys.platform}"
    if level == "bwrap":
        if not shutil.which("bwrap"):
            return "needs bubblewrap, which is not installed (apt install bubblewrap)"
        return _try([*_BWRAP, "--ro-bind", "/", "/", "true"])
    if level == "landlock":
        if not find_spec("landlockpy"):
            return "needs landlockpy, which is not installed (pip install landlockpy)"
        from vecparity.sandbox.landlock import is_supported

        if not is_supported():
            return "needs a kernel with Landlock (5.13 or newer, listed in /sys/kernel/security/lsm)"
        if not all(map(shutil.which, ("unshare", "setpriv", "mount", "chroot"))):
            return "needs unshare, setpriv, mount and chroot, which are not installed (apt install util-linux mount)"
        if (place := _mount_point()) is None:
            return f"needs an unused directory to mount on (mkdir {_UNNEEDED[0]})"
        return _try([*_UNSHARE, f"{_MOUNT_PROC} /proc; {_MOUNT_MEMORY}4k root {place}; {_WITHOUT_CAPABILITIES} true"])
    return None


def _try(command: Sequence[str]) -> str | None:
    try:
        tried = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=_TRY_SECONDS)
    except subprocess.TimeoutExpired:
        return f"cannot create namespaces: {command[0]} did not finish within {_TRY_SECONDS} s"
    except OSError as error:
        return f"cannot create namespaces: {error}"
    if tried.returncode == 0:
        return None
    return f"cannot create namespaces: {' '.join(tried.stderr.split()) or f'status {tried.returncode}'}"


def _mount_point() -> str | None:
    """Finds a directory to mount the new root on, in the sandbox's mount namespace, that hides no needed path."""
    needed = [os.path.realpath(path) for path in (*SYSTEM, *directories(), *os.get_exec_path())]
    for place in filter(os.path.isdir, _UNNEEDED):
        hidden = os.path.realpath(place)
        if not any(path == hidden or path.startswith(f"{hidden}/") for path in needed):
            return hidden
    return None


def command(level: Level, control_fd: int, scratch: Path | None, limits: Limits, *, needs_cuda: bool) -> list[str]:
    """Builds the command that starts a contained fork server.

    Args:
        level: The containment.
        control_fd: The server's socket to the evaluator.
        scratch: The path prefix of the workers' directories; None if they are inside the sandbox's namespaces.
        limits: The limits of workers.
        needs_cuda: Whether ``init_model`` draws on a GPU.
    """
    # -I isolates: nothing is imported because of the environment or from the current directory.
    python = [executable(), "-I", "-u", "-c", f"import sys; sys.path[:0] = {search_path()}; {_START}"]
    python += [str(control_fd), level, str(scratch or f"{_SCRATCH}/worker-"), pid_namespace()]
    if level == "bwrap":
        return [*_BWRAP, *_mounts(limits, needs_cuda), "--", *python]
    if level == "landlock":
        return [*_UNSHARE, "; ".join(_new_root(limits)), "sh", *python]
    return python


_START = (
    "import gc; gc.disable(); "  # until all is imported, and none of it is garbage
    "from vecparity.sandbox.privileges import end_with_parent; end_with_parent(int(sys.argv[1])); "
    "from vecparity.sandbox.server import main; main(int(sys.argv[1]), *sys.argv[2:])"
)


def environment(scratch: Path | None, *, needs_cuda: bool) -> dict[str, str]:
    """Returns the environment of a fork server and its children; a worker's home is its own directory.

    Args:
        scratch: See `command`.
        needs_cuda: See `command`. If false, the sandbox sees no GPU: its memory and time belong to the training.
    """
    home = str(scratch.parent) if scratch else _SCRATCH
    variables = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    for name in _THREADS:  # threads that the user's environment asks for must not count against the strategy
        if variables.get(name, "").isdecimal():
            variables[name] = str(min(int(variables[name]), num_cpus()))
    if not needs_cuda:
        variables["CUDA_VISIBLE_DEVICES"] = ""
    # Each worker makes its threads anew, and they share the CPUs with the training: threads that wait must not spin.
    variables["OMP_WAIT_POLICY"] = "passive"
    return variables | {"HOME": home, "TMPDIR": home, "USER": "strategy", "LOGNAME": "strategy"}


def _mounts(limits: Limits, needs_cuda: bool) -> list[str]:
    size = str(limits.file_bytes)
    mounts = ["--size", size, "--tmpfs", "/dev/shm", "--size", size, "--tmpfs", _SCRATCH]
    for path in (*SYSTEM, *directories()):
        if os.path.islink(path):
            mounts += ["--symlink", os.readlink(path), path]
        elif os.path.exists(path):
            mounts += ["--ro-bind", path, path]
    if needs_cuda:
        for device in sorted(Path("/dev").glob("nvidia*")):
            mounts += ["--dev-bind", str(device), str(device)]
    return [*mounts, "--remount-ro", "/", "--chdir", "/"]


def _new_root(limits: Limits) -> list[str]:
    """Returns shell commands that enter a root directory in memory that holds only the installation.

    Landlock alone would leave sockets reachable: before ABI 9 it does not restrict sockets that have a path.
    """
    place = _mount_point()
    # The directories of the user's PATH may not exist in the new root.
    commands = ['PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin"', f"{_MOUNT_MEMORY}1m root {place}", f"cd {place}"]
    commands += [f"mkdir -p proc dev/shm .{_SCRATCH}", f"{_MOUNT_PROC} proc"]
    commands += [f"{_MOUNT_MEMORY}{limits.file_bytes} memory {place}" for place in ("dev/shm", f".{_SCRATCH}")]
    for path in (*DEVICES, *SYSTEM, *directories()):
        source, target = shlex.quote(path), shlex.quote(f".{path}")
        if not os.path.exists(path):
            continue
        commands += [f"mkdir -p {shlex.quote(f'.{os.path.dirname(path)}')}"]
        if os.path.islink(path):
            commands += [f"ln -s {shlex.quote(os.readlink(path))} {target}"]
        else:
            make = "mkdir -p" if os.path.isdir(path) else "touch"
            commands += [f"{make} {target}", f"mount --rbind {source} {target}"]
            if path not in DEVICES:  # Landlock does not restrict changes of file modes and times
                commands += [f"mount -o remount,bind,ro {target}"]
    return [*commands, f'exec chroot . {_WITHOUT_CAPABILITIES} "$@"']
