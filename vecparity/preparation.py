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
class Prepared:
    """What one configuration trains.

    Attributes:
        runs: Those of the evaluations, ordered by (job, secret, ordering), and behind them those of audits.
        audits: One for each job, or None where there is none.
    """

    runs: list[Run]
    audits: list[Audit | None]


class Preparation:
    """Yields the runs of one configuration after the other, and prepares the next ones' while those train.

    Every network of every configuration is initialised before any secret is shown to a strategy, so that no
    initialisation can know one, by whatever way.

    Args:
        jobs: Strategies with where their evaluations' random numbers come from, and how each is audited.
        configs: The settings of each configuration.
        level: How strategies are contained.
        limits: What each of their workers may use.
        init_device: Where ``init_model`` draws.
        strategy_log: A file for what strategies print.
    """

    def __init__(
        self,
        jobs: Sequence[tuple[Strategy, Seeds, AuditMode]],
        configs: Sequence[TaskConfig],
        level: Level,
        limits: Limits,
        init_device: torch.device,
        strategy_log: Path | None = None,
    ) -> None:
        self._configs = configs
        with ExitStack() as stack:
            self._log = stack.enter_context(StrategyLog(strategy_log))
            self._sandboxes = {
                chosen.sha256: stack.enter_context(Sandbox(chosen, level, limits, self._log, init_device))
                for chosen in {chosen.sha256: chosen for chosen, _, _ in jobs}.values()
                if configs  # else there is nothing to ask
            }
            self._background = stack.enter_context(ThreadPoolExecutor(1, "preparation"))
            self._stack = stack.pop_all()
        self._jobs = [(self._sandboxes[chosen.sha256], seeds, mode) for chosen, seeds, mode in jobs if configs]

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
            begun = [[_begin(job, config) for job in self._jobs] for config in self._configs]
            pending = self._background.submit(_prepare, self._jobs, self._configs[0], begun[0])
            for following in range(1, len(self._configs) + 1):
                prepared = pending.result()
                if following < len(self._configs):
                    pending = self._background.submit(_prepare, self._jobs, self._configs[following], begun[following])
                yield prepared


@dataclass(frozen=True)
class _Begun:
    """What a job's runs begin with under one configuration; the rest is for audits."""

    initial: Mapping[tuple[int, int, int], Initial]
    again: Mapping[tuple[int, int, int], Initial]
    sealed_jobs: Sequence[tuple[Author, Seeds]]
    sealed: Mapping[tuple[int, int, int], Initial]


def _begin(job: tuple[Author, Seeds, AuditMode], config: TaskConfig) -> _Begun:
    author, seeds, mode = job
    num_orderings = auditing.num_orderings(config, mode)
    initial = initialise([(author, seeds)], config, num_orderings)
    if mode == "off":
        return _Begun(initial, {}, [], {})
    again = initialise([(author, seeds)], config, num_orderings)
    sealed_jobs = auditing.sealed_jobs(author, seeds, config, mode)
    return _Begun(initial, again, sealed_jobs, initialise(sealed_jobs, config, 1))


def _prepare(jobs: Sequence[tuple[Author, Seeds, AuditMode]], config: TaskConfig, begun: Sequence[_Begun]) -> Prepared:
    made = [
        [
            replace(run, evaluation=index)
            for run in make_runs([(author, seeds)], config, auditing.num_orderings(config, mode), begins.initial)
        ]
        for index, ((author, seeds, mode), begins) in enumerate(zip(jobs, begun, strict=True))
    ]
    runs = [run for ours in made for run in ours if run.order_index < config.num_orderings]
    audits: list[Audit | None] = []
    for index, ((author, seeds, mode), begins) in enumerate(zip(jobs, begun, strict=True)):
        if mode == "off":
            audits.append(None)
            continue
        again = make_runs([(author, seeds)], config, auditing.num_orderings(config, mode), begins.again)
        sealed = make_runs(begins.sealed_jobs, config, 1, begins.sealed)
        more, audit = auditing.prepare(made[index], again, sealed, config, index * config.num_runs, len(runs))
        runs += more
        audits.append(audit)
    return Prepared(runs, audits)
