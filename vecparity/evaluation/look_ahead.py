"""Plans and prepares the groups of a run, one ahead of the group that trains."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from vecparity.evaluation import modules
from vecparity.evaluation.callbacks import Asked
from vecparity.evaluation.groups import Group, Planned, Recall, batches, group, plan, plan_or_fail
from vecparity.evaluation.job import Task
from vecparity.evaluation.options import Options
from vecparity.evaluation.preparation import Preparation, Prepared, TaskCalls
from vecparity.evaluation.resumption import warn_of_nothing_kept
from vecparity.sandbox.levels import Level
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.pool import Pool
from vecparity.task.config import TaskConfig
from vecparity.training import random_streams
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.undisturbed import undisturbed

_TICK_SECONDS = 0.1


@dataclass(frozen=True)
class Resources:
    """Everything that a pipeline keeps from one run to the next.

    Attributes:
        options: The options.
        devices: The devices that train.
        level: The containment of strategies.
        log: Receives what strategies print.
        pool: Runs the strategies.
        background: One thread, which calls the strategies.
    """

    options: Options
    devices: Sequence[torch.device]
    level: Level
    log: StrategyLog
    pool: Pool
    background: ThreadPoolExecutor


class LookAhead:
    """The groups of one run, planned and prepared one ahead of the group that trains.

    Args:
        resources: The pipeline's resources.
        tasks: The tasks.
        most_runs: See `Pipeline.run`.
        recall: See `Pipeline.run`.
        fails_fast: See `Pipeline.run`.

    Attributes:
        checkpoints: The checkpoints of the groups planned so far.
    """

    def __init__(
        self, resources: Resources, tasks: Sequence[Task], most_runs: int | None, recall: Recall, *, fails_fast: bool
    ) -> None:
        self._resources, self._recall, self._fails_fast = resources, recall, fails_fast
        self._batches = batches(group(tasks, most_runs))
        self._preparation = Preparation(resources.pool, resources.log, fails_fast=fails_fast)
        self.checkpoints: list[Checkpoints] = []
        self._futures: list[Future[Any]] = []
        self._has_begun = False

    def open(self, stack: ExitStack) -> None:
        """Has the stack close checkpoints, and end what is still being prepared."""
        self._stack = stack
        stack.callback(self._end_preparing)
        self._coming = self._plan_all()

    @property
    def asked(self) -> Asked | None:
        """The request that a strategy is answering, or answered last; None before the first."""
        return self._preparation.asked

    def next(self) -> "tuple[Planned, Future[Prepared] | None] | None":
        """Plans the next group and begins to prepare it; returns None after the last."""
        return next(self._coming, None)

    def _plan_all(self) -> "Iterator[tuple[Planned, Future[Prepared] | None]]":
        for batch in self._batches:
            plans = [self._plan(group) for group in batch]
            self.checkpoints += [planned.checkpoints for planned in plans if planned.checkpoints is not None]
            if not self._has_begun:
                self._warn(plans)
                self._has_begun = True
            missing = [[] if planned.kept else planned.missing for planned in plans]
            self._resources.pool.meanwhile(partial(_load_modules, plans))
            calls = self._submit(self._preparation.begin, missing) if any(missing) else None
            for index, planned in enumerate(plans):
                future = None
                if calls is not None and missing[index]:
                    future = self._submit(self._finish, calls, index, planned.config)
                yield planned, future

    def _plan(self, group: Group) -> Planned:
        resources = self._resources
        make = plan if self._fails_fast else plan_or_fail
        return make(group, resources.options, resources.devices, resources.level, self._recall, self._stack)

    def _warn(self, plans: Sequence[Planned]) -> None:
        first = next((planned for planned in plans if planned.missing), None)
        # Later groups may not have begun when the first was interrupted, nor any of many jobs.
        goes_on = self._resources.options.resume and self._fails_fast
        if first and goes_on and first.checkpoints is not None and first.kept is None:
            warn_of_nothing_kept(first.checkpoints)
        if first:
            random_streams.warn_of_others()

    def _finish(self, calls: "Future[list[list[TaskCalls] | None]]", index: int, config: TaskConfig) -> Prepared:
        batch = calls.result()
        own, batch[index] = batch[index], None  # its networks are needed no more
        assert own is not None
        return self._preparation.finish(own, config)

    def _submit(self, call: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        future = self._resources.background.submit(call, *arguments)
        self._futures = [*(other for other in self._futures if not other.done()), future]
        return future

    def _end_preparing(self) -> None:
        """Ends a preparation in progress, by ending its worker."""
        self._preparation.stop()
        for future in self._futures:
            future.cancel()
        while any(not future.done() for future in self._futures):
            self._resources.pool.interrupt()
            with undisturbed():
                wait(self._futures, timeout=_TICK_SECONDS)


def _load_modules(plans: Sequence[Planned]) -> None:
    """Imports all that the evaluations will use, before a strategy could plant it."""
    modules.load({planned.engine for planned in plans if planned.missing})
