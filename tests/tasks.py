"""Tasks and their preparation without a pipeline around them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from conftest import CPU

from vecparity.audits.mode import AuditMode
from vecparity.evaluation.job import Job, Task
from vecparity.evaluation.preparation import Member, Preparation, Prepared
from vecparity.sandbox.levels import Level
from vecparity.sandbox.limits import Limits
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.pool import Pool
from vecparity.strategy import parameters
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import PublicSeeds

Groups = Sequence[tuple[TaskConfig, Sequence[Task]]]


def make_task(
    chosen: str | Path | Strategy, config: TaskConfig, audit: AuditMode = "off", *, index: int = 0, seed: int = 1
) -> Task:
    strategy = chosen if isinstance(chosen, Strategy) else load(chosen)
    resolved = parameters.resolve(strategy, {})
    return Task(index, Job(strategy, config, seed), strategy, resolved, config, "custom", PublicSeeds(seed), audit)


def prepare(groups: Groups, level: Level = "none", limits: Limits | None = None) -> Iterator[Prepared]:
    """Prepares all groups as one batch, one after the other."""
    with StrategyLog() as log, Pool(level, limits or Limits(), log, CPU) as pool:
        preparation = Preparation(pool, log, fails_fast=True)
        batch = [[Member(position, task) for position, task in enumerate(tasks)] for _, tasks in groups]
        for begun, (config, _) in zip(preparation.begin(batch), groups, strict=True):
            yield preparation.finish(begun, config)
