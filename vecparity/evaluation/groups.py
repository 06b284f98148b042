"""Groups of tasks whose runs train together, and the plan for each group: what is known, what resumes, what trains."""

import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch

from vecparity import _version, machine
from vecparity.errors import MachineError, UsageError, VecparityError
from vecparity.evaluation.job import Task
from vecparity.evaluation.options import Options
from vecparity.evaluation.preparation import Member, Prepared
from vecparity.evaluation.result import Evaluation, Provenance
from vecparity.evaluation.resumption import keep
from vecparity.sandbox.levels import Level
from vecparity.task.config import TaskConfig
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.engines.names import EngineName, version_of
from vecparity.training.engines.select import choose_engine, device_name

Recall = Callable[[TaskConfig, Provenance], Evaluation | None]

# The networks of one batch are held in memory until they train: 70 to 140 kB a run.
_MOST_RUNS_IN_BATCH = 4_000


@dataclass(frozen=True)
class Group:
    """Tasks with equal settings.

    Attributes:
        config: The settings.
        members: The tasks.
    """

    config: TaskConfig
    members: list[Member]

    @property
    def num_runs(self) -> int:
        return len(self.members) * self.config.num_runs


def group(tasks: Sequence[Task], most_runs: int | None) -> list[Group]:
    """Groups tasks by their settings, in the order in which these first appear.

    Args:
        tasks: The tasks.
        most_runs: Maximum number of runs in a group of several tasks; None for no maximum.
    """
    by_config: dict[TaskConfig, list[Task]] = {}
    for task in tasks:
        by_config.setdefault(task.config, []).append(task)
    groups = []
    for config, own in by_config.items():
        size = len(own) if most_runs is None else max(1, most_runs // config.num_runs)
        for first in range(0, len(own), size):
            members = [Member(position, task) for position, task in enumerate(own[first : first + size])]
            groups.append(Group(config, members))
    return groups


def batches(groups: Sequence[Group]) -> Iterator[list[Group]]:
    """Divides groups, in order, into batches whose networks are all made before any of their secrets is shown."""
    batch: list[Group] = []
    for each in groups:
        if batch and sum(other.num_runs for other in batch) + each.num_runs > _MOST_RUNS_IN_BATCH:
            yield batch
            batch = []
        batch.append(each)
    if batch:
        yield batch


@dataclass
class Planned:
    """The plan for one group.

    Attributes:
        group: The group.
        engine: The engine that trains.
        stamps: Every task's provenance, without the wall time.
        known: Evaluations that are already known, by position.
        missing: The tasks that need an evaluation.
        failures: The errors of tasks that cannot be evaluated, by position.
        checkpoints: The checkpoints of the training, if any.
        kept: The runs and audits restored from a checkpoint, if the training resumes.
    """

    group: Group
    engine: EngineName
    stamps: list[Provenance]
    known: dict[int, Evaluation]
    missing: list[Member]
    failures: dict[int, VecparityError] = field(default_factory=dict)
    checkpoints: Checkpoints | None = None
    kept: Prepared | None = None

    @property
    def config(self) -> TaskConfig:
        return self.group.config


def plan(
    members_of: Group, options: Options, devices: Sequence[torch.device], level: Level, recall: Recall, stack: ExitStack
) -> Planned:
    """Plans one group.

    Args:
        members_of: The group.
        options: The options.
        devices: The devices that train.
        level: The containment.
        recall: See `pipeline.Pipeline.run`.
        stack: Closes the checkpoints.

    Raises:
        UsageError: No engine suits, or checkpoints exist and are not to be resumed or not usable.
        MachineError: The checkpoints' directory cannot be written.
    """
    config, members = members_of.config, members_of.members
    engine = choose_engine(options.engine, devices, options.dtype, config)
    stamps = [_stamp(member.task, options, engine, devices, level) for member in members]
    recalled = {member.position: recall(config, stamp) for member, stamp in zip(members, stamps, strict=True)}
    known = {position: evaluation for position, evaluation in recalled.items() if evaluation is not None}
    missing = [member for member in members if member.position not in known]
    planned = Planned(members_of, engine, stamps, known, missing)
    if missing or options.resume:  # an interrupted command may have recorded everything but not removed its checkpoint
        planned.checkpoints, planned.kept = keep(options, config, missing or members, engine, devices, stack)
    for member in planned.kept.members if planned.kept else []:  # a sealed evaluation resumes under its own draw
        stamps[member.position] = _stamp(member.task, options, engine, devices, level)
    return planned


def plan_or_fail(
    members_of: Group, options: Options, devices: Sequence[torch.device], level: Level, recall: Recall, stack: ExitStack
) -> Planned:
    """Plans one group; an error becomes the failure of each of its tasks. Arguments are those of `plan`."""
    try:
        return plan(members_of, options, devices, level, recall, stack)
    except (UsageError, MachineError) as error:
        failures: dict[int, VecparityError] = {member.position: error for member in members_of.members}
        return Planned(members_of, "vmap", [], {}, [], failures)


def recalled(
    tasks: Sequence[Task], options: Options, devices: Sequence[torch.device], level: Level, recall: Recall
) -> Iterator[tuple[Task, Evaluation | None]]:
    """Yields each task with its evaluation if that is known already, read as it is asked for; see `plan`."""
    for task in tasks:
        try:
            engine = choose_engine(options.engine, devices, options.dtype, task.config)
        except UsageError:  # none is known, and whoever evaluates the task says why
            yield task, None
        else:
            yield task, recall(task.config, _stamp(task, options, engine, devices, level))


def _stamp(
    task: Task, options: Options, engine: EngineName, devices: Sequence[torch.device], level: Level
) -> Provenance:
    return Provenance(
        vecparity=_version.__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        engine=engine,
        device=device_name(devices),
        device_type=devices[0].type,
        dtype=str(options.dtype).removeprefix("torch."),
        strategy=task.strategy.name,
        strategy_sha256=task.strategy.sha256,
        seed=task.seeds.seed,
        protocol=task.protocol,
        init_device=options.init_device,
        containment=level,
        audit=task.audit,
        seal=task.seeds.seal,
        wall_seconds=0.0,
        params=task.parameters.values,
        origin=task.strategy.origin,
        draw=task.seeds.draw,
        engine_version=version_of(engine),
        host=machine.host(),
        capability=machine.capability(),
    )
