"""Prepares runs: makes all calls to strategies ahead of the training."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import torch

from vecparity.audits import plan as audit_plan
from vecparity.audits.findings import dataset_digest, network_digests
from vecparity.audits.mode import AuditMode
from vecparity.audits.plan import Audit
from vecparity.errors import InvalidStrategyError, StrategyFailedError
from vecparity.sandbox.client import Sandbox
from vecparity.sandbox.levels import Level
from vecparity.sandbox.limits import Limits
from vecparity.sandbox.log import StrategyLog
from vecparity.strategy.source import Strategy
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import Seeds
from vecparity.training.runs import Author, Initial, Run, initialise, make_runs


@dataclass(frozen=True)
class Source:
    """The inputs of one evaluation.

    Attributes:
        index: The evaluation's index among all evaluations of the command.
        strategy: The strategy.
        seeds: The source of random numbers.
        audit: The audit mode.
    """

    index: int
    strategy: Strategy
    seeds: Seeds
    audit: AuditMode


@dataclass(frozen=True)
class Prepared:
    """The runs that one configuration trains, and its audits.

    Attributes:
        runs: The evaluations' runs, ordered by (evaluation, secret, ordering), followed by the audits' runs.
        audits: One audit for each evaluation, or None if it is not audited.
    """

    runs: list[Run]
    audits: list[Audit | None]


class Preparation:
    """Yields the runs of one configuration after another, and prepares the next configuration's while these train.

    Every network of every configuration is initialised before a strategy sees any secret, so that no initialisation
    can depend on one in any way. An audited strategy has a second sandbox, in which its calls are repeated.

    Args:
        plan: The settings of each configuration, and the evaluations under them.
        level: The containment of strategies.
        limits: The limits of each worker.
        init_device: The device on which ``init_model`` draws.
        strategy_log: A file for the output of strategies.
    """

    def __init__(
        self,
        plan: Sequence[tuple[TaskConfig, Sequence[Source]]],
        level: Level,
        limits: Limits,
        init_device: torch.device,
        strategy_log: Path | None = None,
    ) -> None:
        sources = [source for _, sources in plan for source in sources]
        chosen = {source.strategy.sha256: source.strategy for source in sources}
        audited = {source.strategy.sha256: source.strategy for source in sources if source.audit != "off"}
        with ExitStack() as stack:
            self._log = stack.enter_context(StrategyLog(strategy_log))

            def start(strategy: Strategy, *, again: bool) -> Sandbox:
                return stack.enter_context(Sandbox(strategy, level, limits, self._log, init_device, again=again))

            authors = {sha256: start(strategy, again=False) for sha256, strategy in chosen.items()}
            repeaters = {sha256: start(strategy, again=True) for sha256, strategy in audited.items()}
            self._background = stack.enter_context(ThreadPoolExecutor(1, "preparation"))
            self._stack = stack.pop_all()
        self._sandboxes = [*authors.values(), *repeaters.values()]

        def job(source: Source) -> _Job:
            sha256 = source.strategy.sha256
            return _Job(source, authors[sha256], None if source.audit == "off" else repeaters[sha256])

        self._plan = [(config, [job(source) for source in sources]) for config, sources in plan]

    def __enter__(self) -> "Preparation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sandbox in self._sandboxes:  # killing the workers ends a preparation in progress
            sandbox.kill()
        self._stack.close()

    def __iter__(self) -> Iterator[Prepared]:
        """Yields the runs and audits of each configuration.

        Raises:
            InvalidStrategyError: A strategy does not load, or returned a value that the contract refuses.
            StrategyFailedError: A function raised, hit a limit, or ended its process.
            MachineError: A sandbox does not work.
        """
        with self._log.noted():
            begun = [[_begin(job, config) for job in jobs] for config, jobs in self._plan]
            again = [[_begin_again(job, config) for job in jobs] for config, jobs in self._plan]
            pending = self._background.submit(_prepare, *self._plan[0], begun[0], again[0])
            for following in range(1, len(self._plan) + 1):
                prepared = pending.result()
                if following < len(self._plan):
                    pending = self._background.submit(
                        _prepare, *self._plan[following], begun[following], again[following]
                    )
                yield prepared


@dataclass(frozen=True)
class _Job:
    """One evaluation to prepare.

    Attributes:
        source: The evaluation's inputs.
        author: The strategy's sandbox.
        repeater: The sandbox in which the calls are repeated, or None if the evaluation is not audited.
    """

    source: Source
    author: Author
    repeater: Author | None


@dataclass(frozen=True)
class _Begun:
    """The initial networks of a job's runs under one configuration; the sealed ones are for an audit."""

    initial: Mapping[tuple[int, int, int], Initial]
    sealed_jobs: Sequence[tuple[Author, Seeds]]
    sealed: Mapping[tuple[int, int, int], Initial]


def _begin(job: _Job, config: TaskConfig) -> _Begun:
    seeds, mode = job.source.seeds, job.source.audit
    initial = initialise([(job.author, seeds)], config, audit_plan.num_orderings(config, mode))
    if mode == "off":
        return _Begun(initial, [], {})
    sealed_jobs = audit_plan.sealed_jobs(job.author, seeds, config, mode)
    return _Begun(initial, sealed_jobs, initialise(sealed_jobs, config, 1))


def _begin_again(job: _Job, config: TaskConfig) -> dict[str, str]:
    """Repeats the calls for a job's networks, and digests the results (`findings.call_digests`)."""
    if job.repeater is None:
        return {}
    jobs = [(job.repeater, job.source.seeds)]
    num_orderings = audit_plan.num_orderings(config, job.source.audit)
    with called_again():
        initial = initialise(jobs, config, num_orderings)
    return network_digests({(i, j): begins for (_, i, j), begins in initial.items()})


def _prepare(
    config: TaskConfig, jobs: Sequence[_Job], begun: Sequence[_Begun], again: Sequence[dict[str, str]]
) -> Prepared:
    made = [
        [
            replace(run, evaluation=job.source.index)
            for run in make_runs(
                [(job.author, job.source.seeds)],
                config,
                audit_plan.num_orderings(config, job.source.audit),
                begins.initial,
            )
        ]
        for job, begins in zip(jobs, begun, strict=True)
    ]
    runs = [run for ours in made for run in ours if run.order_index < config.num_orderings]
    audits: list[Audit | None] = []
    for position, (job, begins, networks_again) in enumerate(zip(jobs, begun, again, strict=True)):
        if job.repeater is None:
            audits.append(None)
            continue
        digests = networks_again | _datasets_again(job.repeater, job.source.seeds, config)
        sealed = make_runs(begins.sealed_jobs, config, 1, begins.sealed)
        own = position * config.num_runs
        more, waiting = audit_plan.prepare(made[position], digests, sealed, config, own, len(runs))
        runs += more
        audits.append(waiting)
    return Prepared(runs, audits)


def _datasets_again(repeater: Author, seeds: Seeds, config: TaskConfig) -> dict[str, str]:
    """Makes the training sets a second time, and digests each before making the next."""
    with called_again():
        return dict(
            dataset_digest(i, repeater.training_set(config, secret, seeds.dataset_seed(config, i)))
            for i, secret in enumerate(seeds.secrets(config))
        )


@contextmanager
def called_again() -> Iterator[None]:
    """Adds to an error that it came from a repeated call, whose first call returned."""
    try:
        yield
    except (InvalidStrategyError, StrategyFailedError) as error:
        raise type(error)(
            f"{error} (in the repeatability audit, which repeats the call: the first call returned)"
        ) from error
