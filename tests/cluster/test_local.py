"""Processes of this machine as an executor."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest
from processes import Child, await_end, await_that, is_alive

from vecparity import LocalWorkers
from vecparity.cluster.futures import WorkerDiedError
from vecparity.errors import UsageError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalWorkers]:
    with LocalWorkers(2) as workers:
        yield workers


def test_results_and_errors(workers: LocalWorkers) -> None:
    assert workers.submit(pow, 2, 10).result() == 1024
    assert list(workers.map(int, ["1", "2", "3"])) == [1, 2, 3]
    with pytest.raises(ValueError, match="invalid literal for int"):
        workers.submit(int, "x").result()
    with pytest.raises(TypeError, match="expected a result that can be pickled"):
        workers.submit(memoryview, b"").result()
    assert workers.submit(os.getpid).result() in workers.pids


def test_a_process_that_dies_ends_its_own_call_alone(workers: LocalWorkers) -> None:
    other = workers.submit(time.sleep, 2)
    with pytest.raises(WorkerDiedError, match="ended with status 3 before it answered"):
        workers.submit(os._exit, 3).result()
    with pytest.raises(WorkerDiedError, match="was ended by signal 9"):
        workers.submit(signal.raise_signal, signal.SIGKILL).result()
    assert other.result() is None
    assert len(set(workers.map(_pid_after, [1.0, 1.0]))) == 2


def _pid_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_one_that_died_with_nothing_to_do_costs_no_call(workers: LocalWorkers) -> None:
    for pid in workers.pids:
        os.kill(pid, signal.SIGKILL)
    await_that(lambda: not workers.pids)
    assert list(workers.map(abs, range(-4, 0))) == [4, 3, 2, 1]


def test_a_call_in_progress_is_stopped_with_its_process(workers: LocalWorkers) -> None:
    future = workers.submit(time.sleep, 1000)
    await_that(future.running)
    future.stop()
    with pytest.raises(WorkerDiedError):
        future.result()
    assert workers.submit(abs, -1).result() == 1


def wait_for(path: Path) -> None:
    await_that(path.exists)


def test_a_call_that_waits_is_cancelled(tmp_path: Path) -> None:
    with LocalWorkers(1) as workers:
        first, second = workers.submit(time.sleep, 0.5), workers.submit(time.sleep, 1000)
        second.stop()
        with pytest.raises(CancelledError):
            second.result()
        assert first.result() is None
        third, fourth = workers.submit(wait_for, tmp_path / "file"), workers.submit(time.sleep, 1000)
        await_that(third.running)
        workers.shutdown(wait=False, cancel_futures=True)
        assert fourth.cancelled()
        (tmp_path / "file").touch()
        assert third.result() is None
    with pytest.raises(RuntimeError, match="was shut down"):
        workers.submit(abs, -1)
    assert workers.pids == []


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_a_count_that_is_none(count: int) -> None:
    with pytest.raises(UsageError, match="workers must be a whole number of at least 1"):
        LocalWorkers(count)


DRIVER = """
import time
from vecparity import LocalWorkers
workers = LocalWorkers(2)
busy = workers.submit(time.sleep, 1000)
workers.submit(abs, -1).result()
print(*workers.pids, flush=True)
time.sleep(1000)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_processes_end_with_the_one_that_made_them(number: signal.Signals) -> None:
    with Child([sys.executable, "-c", DRIVER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as driver:
        assert driver.stdout is not None
        pids = [int(pid) for pid in driver.stdout.readline().split()]
        assert len(pids) == 2
        assert all(map(is_alive, pids))
        driver.send_signal(number)
    await_end(pids)


def test_a_driver_that_forgets_them_ends() -> None:
    code = "from vecparity.cluster.local import LocalWorkers; print(LocalWorkers(1).submit(abs, -2).result())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"
