"""The work that travels to a worker, without the key of a seal, and the results that come back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from vecparity import machine
from vecparity.audits import plan as audit_plan
from vecparity.errors import UsageError
from vecparity.evaluation.job import Job, Outcome, Task
from vecparity.evaluation.options import Options
from vecparity.sandbox.levels import HIDES_FILES, WITH_NAMESPACES, Level
from vecparity.strategy.source import Strategy
from vecparity.task.given_seeds import written_out


@dataclass(frozen=True)
class Work:
    """Tasks with equal settings, to be evaluated together.

    Attributes:
        options: The options, see `options_for_workers`.
        tasks: The tasks, without the key of a seal.
        is_shared: Whether the worker's machine may be others', see `require_sandbox`.
        hands_back: Whether a signal has the worker hand the work back, see `preemption`.
        draws: The kind of torch's draws where the tasks come from, see `machine.draws`.
        versions: The versions there, see `machine.versions`.
        checkpoint: The directory for checkpoints of this work, from which it goes on, or None.
    """

    options: Options
    tasks: tuple[Task, ...]
    is_shared: bool = False
    hands_back: bool = False
    draws: str = field(default_factory=machine.draws)
    versions: str = field(default_factory=machine.versions)
    checkpoint: Path | None = None


@dataclass(frozen=True)
class WorkDone:
    """The results of some work.

    Attributes:
        outcomes: One outcome for each task, in order.
        seconds: The seconds that the work took.
        warnings: Texts of the warnings given.
    """

    outcomes: list[Outcome]
    seconds: float
    warnings: list[str]


def options_for_workers(options: Options, threads: int) -> Options:
    """Returns the options as workers get them: without a key, and with the containment that a seal demands.

    Directories for checkpoints travel with the work: a worker keeps its sandboxes as long as its options are the same.

    Args:
        options: The options.
        threads: The CPU threads of a worker, where the options do not say.
    """
    required = options.require_containment
    if options.seal_key is not None and required not in HIDES_FILES:
        required = HIDES_FILES[-1]
    return replace(
        options,
        threads=options.threads or threads,
        require_containment=required,
        seal_key=None,
        draw=None,
        same_draw=False,
        checkpoint=None,
        checkpoint_if_possible=False,
        resume=False,
    )


def require_sandbox(strategy: Strategy, level: Level | Literal["auto"]) -> None:
    """Refuses to call a stranger's strategy without a sandbox on a machine that may be others'.

    Raises:
        UsageError: The containment is too weak for a strategy that is not bundled.
    """
    if not strategy.is_bundled and level not in ("auto", *WITH_NAMESPACES):
        raise UsageError(
            f"on Ray, strategies that are not bundled need containment {' or '.join(WITH_NAMESPACES)}: got {level} for "
            f"{strategy.name}"
        )


def to_work(
    tasks: Sequence[Task],
    options: Options,
    *,
    is_shared: bool = False,
    hands_back: bool = False,
    checkpoint: Path | None = None,
) -> Work:
    """Returns tasks as they travel: each source once, and sealed seeds written out.

    Args:
        tasks: Tasks with equal settings.
        options: The options of workers.
        is_shared: See `Work`.
        hands_back: See `Work`.
        checkpoint: See `Work`.
    """
    sources: dict[Strategy, Strategy] = {}
    travelling = []
    for task in tasks:
        strategy = sources.setdefault(task.strategy, task.strategy)
        job = Job(strategy, task.config, task.seeds.seed)  # the caller's own may hold anything
        travelling.append(replace(_without_key(task), strategy=strategy, job=job))
    return Work(options, tuple(travelling), is_shared, hands_back, checkpoint=checkpoint)


def _without_key(task: Task) -> Task:
    if task.seeds.seal is None:
        return task
    config = task.config
    num_orderings = audit_plan.num_orderings(config, task.audit)
    further = num_orderings - config.num_orderings
    counts = [config.num_runs, further * config.num_hidden_secrets]
    return replace(task, seeds=written_out(task.seeds, config, num_orderings, counts))
