"""Workers of this machine: processes of our own, each with a pipe, so that one that dies takes one call with it."""

import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import psutil

from vecparity.cluster.futures import StoppableFuture, WorkerDiedError
from vecparity.errors import UsageError

_END_SECONDS = 10.0


class LocalWorkers(Executor):
    """An executor of a fixed number of processes, which end with it and with the process that made it.

        with LocalWorkers(2) as workers, Evaluator(executor=workers) as evaluator:
            ...

    A process that dies ends its own call with a `WorkerDiedError`, and another takes its place. One that gets a SIGTERM
    hands its work back, with a checkpoint if it keeps any, and ends. The functions that processes call are pickled by
    their names in modules, and nothing of ``__main__`` is executed in them.

    Args:
        count: The number of processes.

    Attributes:
        num_workers: The number of processes.
        hands_back: True: one that gets a signal may hand its work back.
    """

    hands_back = True

    def __init__(self, count: int) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise UsageError(f"workers must be a whole number of at least 1, got {count!r}")
        self.num_workers = count
        self._calls: queue.SimpleQueue[tuple[StoppableFuture, bytes] | None] = queue.SimpleQueue()
        self._is_shut_down = False
        self._submitting = threading.Lock()
        self._workers = [_Worker(self._calls) for _ in range(count)]

    @property
    def pids(self) -> list[int]:
        """The processes that run now."""
        return [process.pid for worker in self._workers if (process := worker.process) and process.poll() is None]

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> StoppableFuture:
        """See `concurrent.futures.Executor`."""
        call = pickle.dumps((fn, args, kwargs))
        future = StoppableFuture()
        with self._submitting:
            if self._is_shut_down:
                raise RuntimeError("it was shut down")
            self._calls.put((future, call))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor`."""
        with self._submitting:
            if not self._is_shut_down:
                self._is_shut_down = True
                if cancel_futures:
                    self._cancel_waiting()
                for _ in self._workers:
                    self._calls.put(None)
        if wait:
            for worker in self._workers:
                worker.thread.join()

    def _cancel_waiting(self) -> None:
        with suppress(queue.Empty):
            while item := self._calls.get_nowait():
                item[0].cancel()


class _Worker:
    """Makes one call after another in a process of its own.

    Attributes:
        thread: Starts the process, and lives as long as the worker: the kernel ends a process with such a thread.
        process: The process, if one was started.
    """

    def __init__(self, calls: "queue.SimpleQueue[tuple[StoppableFuture, bytes] | None]") -> None:
        self._calls = calls
        self._ending = threading.Lock()
        self._current: StoppableFuture | None = None
        self._pipe: Connection | None = None
        self._is_ready = False
        self.process: subprocess.Popen[bytes] | None = None
        self.thread = threading.Thread(target=self._serve, name="worker", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        self._start()
        while (item := self._calls.get()) is not None:
            future, call = item
            if self.process is None or self.process.poll() is not None:  # it ended while it had nothing to do
                self._close()
                self._start()
            future.when_stopped(partial(self._signal, future, signal.SIGKILL))
            future.when_asked(partial(self._signal, future, signal.SIGTERM))
            future.when_looked_at(partial(self._is_frozen, future))
            with self._ending:
                is_wanted = future.set_running_or_notify_cancel()
                self._current = future if is_wanted else None
            if is_wanted:
                self._make(future, call)
        self._close()

    def _make(self, future: StoppableFuture, call: bytes) -> None:
        """Has the process make a call; where it dies at it, starts another."""
        is_last = False
        try:
            is_result, value, is_last = self._exchange(call)
        except (OSError, EOFError):
            is_result, value = False, WorkerDiedError(f"a worker's process {self._close()} before it answered")
            self._start()
        except Exception as error:  # the answer cannot be read
            is_result, value = False, error
        with self._ending:
            self._current = None
        if is_result:
            future.set_result(value)
        else:
            future.set_exception(value)
        if is_last:
            self._close()

    def _exchange(self, call: bytes) -> tuple[bool, Any, bool]:
        if self._pipe is None:
            raise EOFError
        if not self._is_ready:
            self._pipe.recv_bytes()
            self._is_ready = True
        self._pipe.send_bytes(call)
        answer: tuple[bool, Any, bool] = pickle.loads(self._pipe.recv_bytes())
        return answer

    def _start(self) -> None:
        """Starts a process and does not wait for it; without one, the next call fails."""
        self._is_ready = False
        self._pipe, theirs = Pipe()
        code = f"import sys; sys.path[:] = {sys.path}; from vecparity.cluster.local_process import main; main()"
        try:
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", code, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,  # an interrupt from the keyboard goes to the driver only
                )
        except OSError:
            self._pipe.close()
            self._pipe = self.process = None

    def _signal(self, future: StoppableFuture, number: signal.Signals) -> None:
        """Sends the process a signal if it is still at this call."""
        with self._ending:
            if self._current is future and self.process is not None:
                self.process.send_signal(number)

    def _is_frozen(self, future: StoppableFuture) -> bool:
        """Returns True if the process is still at this call, and was stopped by a signal."""
        with self._ending, suppress(psutil.Error):
            if self._current is future and self.process is not None:
                return psutil.Process(self.process.pid).status() == psutil.STATUS_STOPPED
        return False

    def _close(self) -> str:
        """Ends the process, and says how it ended."""
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self.process is None:
            return "could not be started"
        if not self._is_ready:
            self.process.kill()
        try:
            status = self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
