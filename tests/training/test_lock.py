"""The lock: one holder at a time, whatever files are removed meanwhile, and no holder that has ended."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from vecparity.errors import UsageError
from vecparity.training.checkpoints.lock import Lock


def test_another_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.lock"
    lock = Lock(path)
    lock.acquire()
    lock.acquire()  # it is held already
    with pytest.raises(UsageError) as refused:
        Lock(path).acquire()
    assert str(refused.value) == (
        f"{path} is in use by another evaluation, pid {os.getpid()}: wait until it ends, or stop it"
    )
    assert refused.value.exit_status == 2
    assert lock.is_held()
    path.write_text("")  # on a full disk nobody is named
    with pytest.raises(UsageError, match="in use by another evaluation: wait"):
        Lock(path).acquire()
    lock.release()
    assert not lock.is_held() and not path.exists()
    lock.release()


HOLDER = """
import subprocess, sys, time
from pathlib import Path
from vecparity.training.checkpoints.lock import Lock
Lock(Path(sys.argv[1])).acquire()
print(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid, flush=True)
time.sleep(60)
"""


def test_who_is_killed_holds_it_no_longer_though_its_children_live(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        try:
            with pytest.raises(UsageError, match=f"pid {holder.pid}:"):
                Lock(path).acquire()
            holder.kill()
            holder.wait()
            os.kill(child, 0)  # it lives
            lock = Lock(path)
            lock.acquire()
            assert path.read_text() == f"{os.getpid()}\n"
            lock.release()
        finally:
            holder.kill()
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def test_a_forked_child_does_not_hold_it_on_after_a_release(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "a.lock")
    lock.acquire()
    assert lock._descriptor is not None
    shared = os.dup(lock._descriptor)  # as a fork shares it
    lock.release()
    lock.acquire()
    lock.release()
    os.close(shared)


def test_one_whose_file_is_gone_is_not_held_and_spares_anothers(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    lock, other = Lock(path), Lock(path)
    lock.acquire()
    path.unlink()
    assert not lock.is_held()
    other.acquire()
    lock.release()
    assert other.is_held() and path.exists()
    other.release()


@pytest.mark.parametrize("gone", ["file", "directory"])
def test_what_is_removed_between_two_system_calls_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    path = tmp_path / "made" / "a.lock"
    function = {"file": fcntl.flock, "directory": os.open}[gone]
    left = [3]

    def removed_first(*arguments: int) -> object:
        left[0] -= 1
        if left[0] >= 0:
            path.unlink(missing_ok=True)
            path.parent.rmdir()
        return function(*arguments)  # type: ignore[operator]

    monkeypatch.setattr(fcntl if gone == "file" else os, function.__name__, removed_first)
    lock = Lock(path)
    lock.acquire()
    assert lock.is_held() and left[0] == -1
    lock.release()


@pytest.mark.parametrize("what", ["a file where the directory is to be", "no parent"])
def test_what_stays_in_the_way_is_an_error(tmp_path: Path, what: str) -> None:
    if what == "no parent":
        with pytest.raises(FileNotFoundError):
            Lock(tmp_path / "no" / "no" / "a.lock").acquire()
    else:
        (tmp_path / "file").touch()
        with pytest.raises(FileExistsError):
            Lock(tmp_path / "file" / "a.lock").acquire()


def test_a_file_system_that_cannot_lock_is_done_with_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    lock = Lock(tmp_path / "a.lock")
    with pytest.warns(UserWarning, match=r"a.lock cannot be locked, .* No locks available"):
        lock.acquire()
    assert lock.is_held()
    lock.acquire()
    lock.release()
    assert not lock.path.exists()


def test_many_at_once_hold_it_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "made" / "a.lock"
    inside: list[int] = []
    most: list[int] = []

    def contend(worker: int) -> None:
        lock, left = Lock(path), 40
        while left:
            try:
                lock.acquire()
            except UsageError:
                continue
            inside.append(worker)
            most.append(len(inside))
            inside.remove(worker)
            left -= 1
            lock.release()
            with suppress(OSError):
                path.parent.rmdir()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(contend, range(4)))
    assert len(most) == 160 and set(most) == {1}
    assert not list(tmp_path.iterdir())
