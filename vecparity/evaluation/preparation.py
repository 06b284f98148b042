"""Prepares runs: makes all calls to strategies ahead of the training."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from typing import Literal

from vecparity.audits import plan as audit_plan
from vecparity.audits.findings import dataset_digest, network_digests
from vecparity.audits.plan import Audit, SealedRuns
from vecparity.errors import InterruptedTrainingError, InvalidStrategyError, StrategyFailedError, VecparityError
from vecparity.evaluation.callbacks import Asked
from vecparity.evaluation.job import Task
from vecparity.evaluation.shared_calls import Shared, SharedCalls, calls_of
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.pool import Pool, Sandbox
from vecparity.task.config import TaskConfig
from vecparity.training.runs import Author, Initial, Run, initialise, make_runs


@dataclass(frozen=True)
class Member:
    """One task of an ensemble.

    Attributes:
        position: The task's position among all tasks of its ensemble, known or not: its runs' ``evaluation``.
        task: The task.
    """

    position: int
    task: Task


@dataclass(frozen=True)
class Prepared:
    """The runs that train together, and their audits.

    Attributes:
        members: The tasks that have runs.
        runs: The tasks' runs, ordered by (task, secret, ordering), followed by the audits' runs.
        audits: One audit for each of the tasks, or None if it is not audited.
        failures: The errors of the tasks that have no runs, by position.
    """

    members: list[Member]
    runs: list[Run]
    audits: list[Audit | None]
    failures: dict[int, VecparityError] = field(default_factory=dict)


class Preparation:
    """Makes the calls for one ensemble after another.

    An audited strategy's calls are repeated in servers of their own. A call that was made before for a task of the same
    batch, with the same arguments, is not made again: its result is shared.

    Args:
        pool: Runs the strategies.
        log: Receives what strategies print.
        fails_fast: Whether to raise the first error of a strategy, instead of going on without its task.

    Attributes:
        asked: What a strategy is being asked for, or was last; None before the first request for an ensemble.
    """

    def __init__(self, pool: Pool, log: StrategyLog, *, fails_fast: bool) -> None:
        self._pool, self._log, self._fails_fast = pool, log, fails_fast
        self._shared, self._shared_again = Shared(keeps_all=True), Shared(keeps_all=False)
        self._is_stopped = False
        self.asked: Asked | None = None

    def stop(self) -> None:
        """Makes no further calls; the thread that makes them gets an error before the next."""
        self._is_stopped = True

    def begin(self, batch: Sequence[Sequence[Member]]) -> "list[list[TaskCalls]]":
        """Initialises every network of a batch of ensembles, before a strategy sees any secret of the batch.

        Raises:
            InvalidStrategyError: A strategy does not load, or returned a value that the contract refuses.
            StrategyFailedError: A function raised, hit a limit, or ended its process.
            MachineError: A sandbox does not work.
        """
        for shared in (self._shared, self._shared_again):
            shared.begin(member.task for members in batch for member in members)
        calls = [[TaskCalls(member, *self._sandboxes(member.task)) for member in members] for members in batch]
        self._expect("networks", sum(task.num_networks for task in chain.from_iterable(calls)))
        for task in chain.from_iterable(calls):
            self._attempt(task, task.begin)
        for task in chain.from_iterable(calls):
            self._attempt(task, task.begin_again)
        return calls

    def finish(self, calls: "Sequence[TaskCalls]", config: TaskConfig) -> Prepared:
        """Makes the training sets of one ensemble; raises what `begin` does."""
        self._expect("data", sum(task.num_datasets for task in calls))
        for task in calls:
            self._attempt(task, task.make_runs, shows_secrets=True)
        for task in calls:
            self._attempt(task, task.make_datasets_again, shows_secrets=True)
        whole = [task for task in calls if task.error is None]
        runs = [run for task in whole for run in task.runs if run.order_index < config.num_orderings]
        audits: list[Audit | None] = []
        for index, task in enumerate(whole):
            if task.repeater is None:
                audits.append(None)
                continue
            own = index * config.num_runs
            more, audit = audit_plan.prepare(task.runs, task.digests, task.sealed_runs, config, own, len(runs))
            runs += more
            audits.append(audit)
        failures = {task.member.position: task.error for task in calls if task.error is not None}
        return Prepared([task.member for task in whole], runs, audits, failures)

    def _sandboxes(self, task: Task) -> tuple[Author, Author | None, "Shared"]:
        strategy, arguments = task.strategy, task.parameters.arguments
        note = partial(self._note, strategy.name)
        author = SharedCalls(Sandbox(self._pool, strategy, arguments), task, self._shared, note)
        if task.audit == "off":
            return author, None, self._shared
        repeater = SharedCalls(Sandbox(self._pool, strategy, arguments, again=True), task, self._shared_again, note)
        return author, repeater, self._shared

    def _expect(self, what: Literal["networks", "data"], count: int) -> None:
        self._what: Literal["networks", "data"] = what
        self._number, self._of = 0, count
        self.asked = None

    def _note(self, strategy: str, count: int) -> None:
        """Notes that a strategy is asked for so many more networks or training sets."""
        self._number += count
        self.asked = Asked(strategy, self._what, self._number, self._of)

    def _attempt(self, calls: "TaskCalls", step: Callable[[], None], *, shows_secrets: bool = False) -> None:
        if calls.error is not None:
            return
        if self._is_stopped:
            raise InterruptedTrainingError("interrupted before training: nothing is kept", resumable=False)
        task = calls.member.task
        is_hidden = shows_secrets and task.seeds.seal is not None
        hiding = without_words(self._log, task.strategy.path) if is_hidden else nullcontext()
        try:
            with self._log.noted(task.strategy.sha256), hiding:
                step()
        except (InvalidStrategyError, StrategyFailedError) as error:
            if self._fails_fast:
                raise
            calls.error = error


class TaskCalls:
    """The calls for one task, step by step, and what has come of them.

    Args:
        member: The task in its ensemble.
        author: Makes the calls.
        repeater: Makes the calls again, or None if the task is not audited.
        shared: The results that several tasks share.

    Attributes:
        error: The error that ended the preparation, or None.
        runs: The runs, with those of further orderings for an audit.
        sealed_runs: The runs of sealed secrets for an audit.
        digests: Digests of the calls made again (`findings.call_digests`).
    """

    def __init__(self, member: Member, author: Author, repeater: Author | None, shared: Shared) -> None:
        self.member, self.repeater = member, repeater
        self._author, self._shared = author, shared
        self.error: VecparityError | None = None
        self.runs: list[Run] = []
        self.sealed_runs: list[Run] = []
        self.digests: dict[str, str] = {}
        self._initial: Mapping[tuple[int, int, int], Initial] = {}
        self._sealed_initial: Sequence[Initial] = []

    @property
    def num_networks(self) -> int:
        """The number of networks that `begin` and `begin_again` ask for."""
        task = self.member.task
        own = audit_plan.num_orderings(task.config, task.audit) * task.config.num_hidden_secrets
        return own if self.repeater is None else 2 * own + self._sealed.count

    @property
    def num_datasets(self) -> int:
        """The number of training sets that `make_runs` and `make_datasets_again` ask for."""
        own = self.member.task.config.num_hidden_secrets
        return own if self.repeater is None else 2 * own + self._sealed.count

    def begin(self) -> None:
        """Initialises the networks of the runs, and of the sealed runs for an audit."""
        task = self.member.task
        num_orderings = audit_plan.num_orderings(task.config, task.audit)
        self._initial = initialise([(self._author, task.seeds)], task.config, num_orderings)
        if self.repeater is not None:
            self._sealed_initial = self._sealed.initialise(self._author)

    def begin_again(self) -> None:
        """Initialises the networks a second time, and digests them."""
        task = self.member.task
        if self.repeater is None:
            return
        num_orderings = audit_plan.num_orderings(task.config, task.audit)
        calls = calls_of(task, "init_model", "get_optimizer_config"), task.config, task.seeds, num_orderings
        if calls not in self._shared.digests:
            with called_again():
                initial = initialise([(self.repeater, task.seeds)], task.config, num_orderings)
            networks = {(i, j): begins for (_, i, j), begins in initial.items()}
            self._shared.digests[calls] = network_digests(networks)
        self.digests |= self._shared.digests[calls]

    def make_runs(self) -> None:
        """Makes the training sets, and builds the runs."""
        task = self.member.task
        num_orderings = audit_plan.num_orderings(task.config, task.audit)
        runs = make_runs([(self._author, task.seeds)], task.config, num_orderings, self._initial)
        if self.repeater is not None:
            runs = audit_plan.with_fresh_test_sets(runs, task.seeds, task.config)
        self.runs = [replace(run, evaluation=self.member.position) for run in runs]

    def make_datasets_again(self) -> None:
        """Makes the training sets a second time, digests each before making the next, and builds the sealed runs."""
        task = self.member.task
        if self.repeater is None:
            return
        repeater, seeds, config = self.repeater, task.seeds, task.config
        calls = calls_of(task, "make_dataset"), config, seeds
        if calls not in self._shared.digests:
            with called_again():
                self._shared.digests[calls] = dict(
                    dataset_digest(i, repeater.training_set(config, secret, seeds.dataset_seed(config, i)))
                    for i, secret in enumerate(seeds.secrets(config))
                )
        self.digests |= self._shared.digests[calls]
        if task.audit == "report" and audit_plan.takes_much_memory(self.runs, len(self._sealed_initial)):
            return
        self.sealed_runs = self._sealed.make(self._author, self._sealed_initial)

    @cached_property
    def _sealed(self) -> SealedRuns:
        """The audit's sealed runs. They are drawn once for all variants of a source under the same seeds."""
        task = self.member.task
        group = task.strategy.sha256, task.config, task.seeds, task.audit
        if group not in self._shared.sealed:
            count = audit_plan.num_sealed(task.seeds, task.config, task.audit)
            self._shared.sealed[group] = SealedRuns(count, task.seeds.seed, task.config)
        return self._shared.sealed[group]


@contextmanager
def without_words(log: StrategyLog, path: str) -> Iterator[None]:
    """Keeps words of a strategy that saw a sealed secret from errors, whose readers may include the strategy's author.

    What it prints, raises or returns may tell the secret, and so may the figures of the limits that it reached.

    Args:
        log: Receives the words.
        path: The strategy's path.
    """
    log.withhold()
    try:
        yield
    except (InvalidStrategyError, StrategyFailedError) as error:
        log.note(str(error))
        did = "returned what is refused" if isinstance(error, InvalidStrategyError) else "failed"
        raise type(error)(
            f"{path}: make_dataset {did}; under a seal, what says more of a training set is not shown "
            "(--strategy-log FILE receives it)"
        ) from None


@contextmanager
def called_again() -> Iterator[None]:
    """Adds to an error that it came from a repeated call, whose first call returned."""
    try:
        yield
    except (InvalidStrategyError, StrategyFailedError) as error:
        raise type(error)(
            f"{error} (in the repeatability audit, which repeats the call: the first call returned)"
        ) from error
