"""Everything that strategies are asked for, ahead of the training."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import torch

from vecparity import auditing
from vecparity.auditing import Audit, AuditMode
from vecparity.containment.levels import Level
from vecparity.containment.limits import Limits
from vecparity.containment.log import StrategyLog
from vecparity.containment.sandbox import Sandbox
from vecparity.runs import Author, Initial, Run, initialise, make_runs
from vecparity.seeds import Seeds
from vecparity.spec import TaskConfig
from vecparity.strategy import Strategy


@dataclass(frozen=True)
class Source:
    """What one evaluation is made of.

    Attributes:
        index: Of the evaluation, among all of the command's.
        strategy: Its file.
        seeds: Where its random numbers come from.
        audit: How it is audited.
    """

    index: int
    strategy: Strategy
    seeds: Seeds
    audit: AuditMode


@dataclass(frozen=True)
class Prepared:
    """What one configuration trains.

    Attributes:
        runs: Those of the evaluations, ordered by (evaluation, secret, ordering), and behind them those of audits.
        audits: One for each evaluation, or None where there is none.
    """

    runs: list[Run]
    audits: list[Audit | None]


class Preparation:
    """Yields the runs of one configuration after the other, and prepares the next ones' while those train.

    Every network of every configuration is initialised before any secret is shown to a strategy, so that no
    initialisation can know one, by whatever way.

    Args:
        plan: The settings of each configuration, and the evaluations to be made under them.
        level: How strategies are contained.
        limits: What each of their workers may use.
        init_device: Where ``init_model`` draws.
        strategy_log: A file for what strategies print.
    """

    def __init__(
        self,
        plan: Sequence[tuple[TaskConfig, Sequence[Source]]],
        level: Level,
        limits: Limits,
        init_device: torch.device,
        strategy_log: Path | None = None,
    ) -> None:
        chosen = {source.strategy.sha256: source.strategy for _, sources in plan for source in sources}
        with ExitStack() as stack:
            self._log = stack.enter_context(StrategyLog(strategy_log))
            self._sandboxes = {
                sha256: stack.enter_context(Sandbox(strategy, level, limits, self._log, init_device))
                for sha256, strategy in chosen.items()
            }
            self._background = stack.enter_context(ThreadPoolExecutor(1, "preparation"))
            self._stack = stack.pop_all()
        self._plan = [
            (config, [(source, self._sandboxes[source.strategy.sha256]) for source in sources])
            for config, sources in plan
        ]

    def __enter__(self) -> "Preparation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sandbox in self._sandboxes.values():  # what is being prepared ends with its workers
            sandbox.kill()
        self._stack.close()

    def __iter__(self) -> Iterator[Prepared]:
        """Yields what each configuration trains.

        Raises:
            InvalidStrategyError: A strategy does not load, or returned what the contract refuses.
            StrategyFailedError: A function raised, hit a limit, or ended its process.
            MachineError: A sandbox does not work.
        """
        with self._log.noted():
            begun = [[_begin(source, author, config) for source, author in jobs] for config, jobs in self._plan]
            pending = self._background.submit(_prepare, *self._plan[0], begun[0])
            for following in range(1, len(self._plan) + 1):
                prepared = pending.result()
                if following < len(self._plan):
                    pending = self._background.submit(_prepare, *self._plan[following], begun[following])
                yield prepared


@dataclass(frozen=True)
class _Begun:
    """What a job's runs begin with under one configuration; the rest is for audits."""

    initial: Mapping[tuple[int, int, int], Initial]
    again: Mapping[tuple[int, int, int], Initial]
    sealed_jobs: Sequence[tuple[Author, Seeds]]
    sealed: Mapping[tuple[int, int, int], Initial]


def _begin(source: Source, author: Author, config: TaskConfig) -> _Begun:
    seeds, mode = source.seeds, source.audit
    num_orderings = auditing.num_orderings(config, mode)
    initial = initialise([(author, seeds)], config, num_orderings)
    if mode == "off":
        return _Begun(initial, {}, [], {})
    again = initialise([(author, seeds)], config, num_orderings)
    sealed_jobs = auditing.sealed_jobs(author, seeds, config, mode)
    return _Begun(initial, again, sealed_jobs, initialise(sealed_jobs, config, 1))


def _prepare(config: TaskConfig, jobs: Sequence[tuple[Source, Author]], begun: Sequence[_Begun]) -> Prepared:
    made = [
        [
            replace(run, evaluation=source.index)
            for run in make_runs(
                [(author, source.seeds)], config, auditing.num_orderings(config, source.audit), begins.initial
            )
        ]
        for (source, author), begins in zip(jobs, begun, strict=True)
    ]
    runs = [run for ours in made for run in ours if run.order_index < config.num_orderings]
    audits: list[Audit | None] = []
    for position, ((source, author), begins) in enumerate(zip(jobs, begun, strict=True)):
        if source.audit == "off":
            audits.append(None)
            continue
        num_orderings = auditing.num_orderings(config, source.audit)
        again = make_runs([(author, source.seeds)], config, num_orderings, begins.again)
        sealed = make_runs(begins.sealed_jobs, config, 1, begins.sealed)
        own = position * config.num_runs
        more, audit = auditing.prepare(made[position], again, sealed, config, own, len(runs))
        runs += more
        audits.append(audit)
    return Prepared(runs, audits)
