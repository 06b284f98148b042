"""Workers of a Ray cluster, or of a Ray instance of this machine's own, as an executor."""

import importlib.util
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from vecparity.cluster.futures import StoppableFuture, WorkerDiedError
from vecparity.errors import MachineError, UsageError, describe

# Older ones have CVE-2025-62593: any page in a browser could run code in them.
_OLDEST = (2, 52)
# Ray's store of objects; outcomes are small.
_STORE_BYTES = 200 << 20
# Ray has sockets below its directory, whose paths the kernel limits to 107 bytes.
_LONGEST_PLACE = 20
# For an instance of this process's own: one without the other machines of a cluster listens to 127.0.0.1, whatever the
# system; and a token that no file has.
_BY_ITSELF = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


class RayWorkers(Executor):
    """An executor whose calls are tasks of Ray Core, each with its own CPUs, in processes that Ray keeps.

    The machines of a cluster have this package in the same version. Strategies that are not bundled are evaluated in
    sandboxes only. Tasks are given no GPU.

    Args:
        address: ``ray://HOST:PORT``, or ``HOST:PORT`` on a machine of the cluster. By default Ray is started on this
            machine, for its own processes alone: it listens to 127.0.0.1, wants a token that is drawn anew, and its
            files are removed in the end. If this process is connected to Ray already, that connection is used.
        threads: CPUs of each task.

    Attributes:
        num_workers: The number of tasks for which there are CPUs.
        threads: CPUs of each task.
        is_shared: True: others' machines are no place for strategies without a sandbox.

    Raises:
        UsageError: Ray is not installed, or is too old.
        MachineError: There is no such cluster, or Ray cannot be started.
    """

    is_shared = True

    def __init__(self, address: str | None = None, threads: int = 1) -> None:
        self._ray = _ray(is_local=address is None)
        self.threads = threads
        self._stack = ExitStack()
        self._flying: set[StoppableFuture] = set()
        if not self._ray.is_initialized():
            self._stack.enter_context(_own(self._ray) if address is None else _connected(self._ray, address))
        self.num_workers = max(1, int(self._ray.cluster_resources().get("CPU", 1) // threads))
        self._call = self._ray.remote(max_retries=0, num_cpus=threads)(_call)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> StoppableFuture:
        """See `concurrent.futures.Executor`."""
        if not self._ray.is_initialized():
            raise RuntimeError("it was shut down")
        reference = self._call.remote(fn, args, kwargs)
        future = StoppableFuture()
        future.set_running_or_notify_cancel()
        future.when_stopped(partial(self._ray.cancel, reference, force=True))
        future.when_asked(partial(self._ray.cancel, reference))
        self._flying.add(future)
        reference.future().add_done_callback(partial(self._settle, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """See `concurrent.futures.Executor`."""
        for future in list(self._flying):
            if cancel_futures:
                future.stop()
            if wait:
                future.exception()
        self._stack.close()

    def _settle(self, future: StoppableFuture, answer: "Future[Any]") -> None:
        error = answer.exception()
        if error is None:
            future.set_result(answer.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            future.set_exception(getattr(error, "cause", None) or error)
        elif isinstance(error, self._ray.exceptions.RayError):  # of the worker, its node, or the task's end
            future.set_exception(WorkerDiedError(describe(error)))
        else:
            future.set_exception(error)
        self._flying.discard(future)


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


def require_ray() -> None:
    """Checks that Ray is installed.

    Raises:
        UsageError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("workers on Ray need Ray, which is not installed: pip install 'vecparity[cluster]'")


def _ray(*, is_local: bool) -> Any:
    """Imports Ray, which reads only then whether it listens to other machines and wants a token.

    Raises:
        UsageError: It is not installed, or too old.
    """
    require_ray()
    if is_local:
        for name, value in _BY_ITSELF.items():
            os.environ.setdefault(name, value)
    # Otherwise Ray tells of workers that died on standard output, which has metric lines only.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")
    import ray

    if tuple(int(part) for part in ray.__version__.split(".")[:2]) < _OLDEST:
        raise UsageError(
            f"workers on Ray need ray>={'.'.join(map(str, _OLDEST))}, as older ones run code for any web page that a "
            f"browser shows, got {ray.__version__}"
        )
    return ray


@contextmanager
def _own(ray: Any) -> Iterator[None]:
    """Starts Ray for this process and those that it starts, and ends it."""
    place = tempfile.gettempdir()
    directory = tempfile.mkdtemp(prefix="vecparity-ray-", dir=place if len(place) <= _LONGEST_PLACE else "/tmp")
    try:
        with _started(ray, include_dashboard=False, object_store_memory=_STORE_BYTES, _temp_dir=directory):
            yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    with _started(ray, address=address):
        yield


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Puts this process's handlers of signals back: Ray has SIGTERM end it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _started(ray: Any, **options: Any) -> Iterator[None]:
    try:
        with _signals_kept():
            ray.init(log_to_driver=False, logging_level="error", **options)
    except Exception as error:  # of many kinds
        ray.shutdown()
        where = options.get("address", "this machine")
        raise MachineError(f"Ray on {where} cannot be used: {describe(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()
