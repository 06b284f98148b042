"""Workers of a Ray cluster, or of a Ray instance of this machine's own, as an executor."""

import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import ExitStack
from functools import partial
from typing import Any

from vecparity.cluster import ray_instance
from vecparity.cluster.futures import StoppableFuture, WorkerDiedError
from vecparity.cluster.nodes import Node, require_alike, this_node
from vecparity.errors import MachineError, UsageError, describe

# A machine's first process of Ray imports torch before it answers.
_ANSWER_SECONDS = 120.0


class RayWorkers(Executor):
    """An executor whose calls are tasks of Ray Core, each with its own CPUs, in processes that Ray keeps.

    The machines of a cluster have this package and torch in the same versions, for which an `Evaluator` asks them
    first. A warning names those whose initial weights are not those of this machine. Strategies that are not
    bundled are evaluated in sandboxes only.

    Args:
        address: ``ray://HOST:PORT``, or ``HOST:PORT`` on a machine of the cluster. By default Ray is started on this
            machine, for its own processes alone: it listens to 127.0.0.1, wants a token that is drawn anew, and in the
            end, also if this process is killed, its processes end and its files are removed. If this process is
            connected to Ray already, that connection is used.
        threads: CPUs of each task.
        gpus: GPUs of each task, 0 or 1. Evaluations on a GPU (``device="cuda"``) need 1, others 0.

    Attributes:
        num_workers: The number of tasks for which there are CPUs, and GPUs if they need any.
        threads: CPUs of each task.
        gpus: GPUs of each task.
        is_shared: True: others' machines are no place for strategies without a sandbox.
        hands_back: True: a task that gets a signal may hand its work back.
        dashboard: Host and port of the cluster's dashboard, if it is known to have one.
        warnings: Warnings that were given about machines.

    Raises:
        UsageError: Ray is not installed, or is too old, or the number of GPUs is another.
        MachineError: There is no such cluster, Ray cannot be started, or no machine has the GPU of a task.
    """

    is_shared = hands_back = True

    def __init__(self, address: str | None = None, threads: int = 1, gpus: int = 0) -> None:
        if gpus not in (0, 1):
            raise UsageError(f"a task on Ray trains on one GPU or none: expected 0 or 1 as gpus, got {gpus!r}")
        self.threads, self.gpus = threads, gpus
        self.warnings: list[str] = []
        self._flying: set[StoppableFuture] = set()
        with ExitStack() as stack:
            is_own = address is None and not ray_instance.is_connected()
            begun = ray_instance.own() if is_own else ray_instance.connected(address)
            self._ray, self.dashboard = stack.enter_context(begun)
            self._call = self._ray.remote(max_retries=0, num_cpus=threads, num_gpus=gpus)(_call)
            self.num_workers = self._count()
            self._are_alike = is_own  # its machine is this one
            self._stack = stack.pop_all()

    def nodes(self) -> dict[str, Node]:
        """Asks every machine that may get a task, and returns their descriptions by their addresses.

        Raises:
            MachineError: One does not answer.
        """
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        asked = {}
        for node in self._ray.nodes():
            if node["Alive"] and self._tasks_for(node["Resources"]):
                place = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False)
                remote = self._ray.remote(max_retries=0, num_cpus=0, scheduling_strategy=place)(_call)
                address = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
                asked[address] = node["NodeID"], remote.remote(this_node, (), {})
        found = {}
        for address, (id_, reference) in asked.items():
            try:
                found[address] = self._answer(address, reference)
            except MachineError:
                if self._is_alive(id_):  # one that has ended meanwhile gets no task
                    raise
        return found

    def require_alike(self) -> None:
        """Asks the machines of a cluster, once, whether their evaluations are those here; warns where they are not.

        Raises:
            MachineError: One does not answer, or has another version of vecparity or torch.
        """
        if self._are_alike:
            return
        self.warnings += require_alike(self.nodes(), this_node())
        self._are_alike = True
        for words in self.warnings:
            warnings.warn(words, stacklevel=3)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> StoppableFuture:
        """See `concurrent.futures.Executor`."""
        if not self._ray.is_initialized():
            raise RuntimeError("it was shut down")
        try:
            reference = self._call.remote(fn, args, kwargs)
        except (ConnectionError, self._ray.exceptions.RayError) as error:
            raise BrokenExecutor(describe(error)) from error
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

    def _count(self) -> int:
        """Returns the number of tasks that run at once; at least one if the cluster may grow.

        Raises:
            MachineError: Tasks need GPUs, and there are none.
        """
        resources = self._ray.cluster_resources()
        if self.gpus and not resources.get("GPU"):
            raise MachineError("training on cuda on Ray needs machines with GPUs in the cluster, got none")
        return max(1, sum(self._tasks_for(node["Resources"]) for node in self._ray.nodes() if node["Alive"]))

    def _tasks_for(self, resources: dict[str, float]) -> int:
        """Returns the number of tasks for which a machine has room."""
        counts = [int(resources.get("CPU", 0) // self.threads)]
        return min([*counts, int(resources.get("GPU", 0) // self.gpus)] if self.gpus else counts)

    def _is_alive(self, id_: str) -> bool:
        return any(node["Alive"] and node["NodeID"] == id_ for node in self._ray.nodes())

    def _answer(self, address: str, reference: Any) -> Node:
        try:
            node: Node = self._ray.get(reference, timeout=_ANSWER_SECONDS)
        except Exception as error:  # of many kinds, as of a machine without this package
            raise MachineError(
                f"a machine of the cluster, {address}, must say with what it evaluates, got {describe(error)}: install "
                "vecparity there in the version of this machine, or take it out of the cluster"
            ) from error
        return node

    def _settle(self, future: StoppableFuture, answer: "Future[Any]") -> None:
        error = answer.exception()
        if error is None:
            future.set_result(answer.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            future.set_exception(getattr(error, "cause", None) or error)
        elif isinstance(error, (ConnectionError, self._ray.exceptions.RayError)):  # of the worker, its node, or the end
            future.set_exception(WorkerDiedError(describe(error)))
        else:
            future.set_exception(error)
        self._flying.discard(future)


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)
