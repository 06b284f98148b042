"""Calls of strategies that several tasks of a batch share: made once, for all of them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from weakref import WeakValueDictionary

from vecparity.audits.plan import SealedRuns
from vecparity.errors import InvalidStrategyError, StrategyFailedError
from vecparity.evaluation.job import Task
from vecparity.sandbox.pool import Sandbox
from vecparity.task.config import Secret, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.training.runs import Initial


class Shared:
    """Results of calls that several tasks share.

    Args:
        keeps_all: Whether to keep networks that only one task has asked for so far.

    Attributes:
        networks: Initial networks and hyperparameters, by call.
        datasets: Training sets that some run still uses, by call.
        digests: Digests of calls that were made again, by the calls.
        variants: The tasks of a batch that share networks, by everything else that decides the calls for them.
        sealed: The sealed runs of audits, by the task's source, settings and seeds.
    """

    def __init__(self, *, keeps_all: bool) -> None:
        self.keeps_all = keeps_all
        self.networks: dict[Any, Sequence[Initial]] = {}
        self.datasets: WeakValueDictionary[Any, Dataset] = WeakValueDictionary()
        self.digests: dict[Any, dict[str, str]] = {}
        self.variants: dict[Any, list[Task]] = {}
        self.sealed: dict[Any, SealedRuns] = {}

    def begin(self, tasks: Iterable[Task]) -> None:
        """Begins a batch: forgets what only one batch shares. Datasets are forgotten when no run uses them any more."""
        for results in (self.networks, self.digests, self.variants, self.sealed):
            results.clear()
        for task in tasks:
            self.variants.setdefault(_variants_key(task), []).append(task)


class SharedCalls:
    """An author whose calls with equal arguments are made once.

    Args:
        sandbox: Makes the calls.
        task: The task.
        shared: The results.
        note: Called with each number of networks or training sets that is asked for, made before or not.
    """

    def __init__(self, sandbox: Sandbox, task: Task, shared: Shared, note: Callable[[int], None]) -> None:
        self._sandbox, self._task, self._shared, self._note = sandbox, task, shared, note

    def initialise(self, config: TaskConfig, run_seeds: Sequence[int]) -> Sequence[Initial]:
        """See `Author`."""
        call = _networks(self._task, config, run_seeds)
        self._note(len(run_seeds))
        if call not in self._shared.networks and (variants := self._variants()):
            self._initialise_variants(config, run_seeds, variants)
        if call in self._shared.networks:
            return self._shared.networks[call]
        initial = self._sandbox.initialise(config, run_seeds)
        if self._shared.keeps_all:
            self._shared.networks[call] = initial
        return initial

    def _variants(self) -> list[Task]:
        """Returns the tasks of the batch that differ in arguments of ``get_optimizer_config`` alone, if several do."""
        tasks = self._shared.variants[_variants_key(self._task)]
        by_arguments = {repr(task.parameters.arguments["get_optimizer_config"]): task for task in tasks}
        return list(by_arguments.values()) if len(by_arguments) > 1 else []

    def _initialise_variants(self, config: TaskConfig, run_seeds: Sequence[int], tasks: Sequence[Task]) -> None:
        """Makes the networks of all variants in one call; if that fails, each makes its own, with its own error."""
        variants = [task.parameters.arguments["get_optimizer_config"] for task in tasks]
        try:
            made = self._sandbox.initialise_variants(config, run_seeds, variants)
        except (InvalidStrategyError, StrategyFailedError):
            self._shared.variants[_variants_key(self._task)] = []
            return
        for task, initial in zip(tasks, made, strict=True):
            self._shared.networks[_networks(task, config, run_seeds)] = initial

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> Dataset:
        """See `Author`."""
        call = (calls_of(self._task, "make_dataset"), config, secret, dataset_seed)
        self._note(1)
        dataset = self._shared.datasets.get(call)
        if dataset is None:
            dataset = self._shared.datasets[call] = self._sandbox.training_set(config, secret, dataset_seed)
        return dataset


def _networks(task: Task, config: TaskConfig, run_seeds: Sequence[int]) -> Any:
    return calls_of(task, "init_model", "get_optimizer_config"), config, tuple(run_seeds)


def _variants_key(task: Task) -> Any:
    return calls_of(task, "init_model"), task.config, task.seeds, task.audit


def calls_of(task: Task, *functions: str) -> Any:
    """Returns a key that two tasks share if calls of these functions run the same code with the same arguments."""
    # The path is in tracebacks and errors. Equal numbers of different types are different arguments.
    arguments = [repr(sorted(task.parameters.arguments[function].items())) for function in functions]
    return task.strategy.path, task.strategy.sha256, *arguments
