"""Resumption: the parts of an evaluation that checkpoints keep, and the inputs that must be equal to resume."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from typing import Any

import torch
from msgspec import Struct, convert

from vecparity import _version
from vecparity.audits.plan import Audit
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.options import Options
from vecparity.evaluation.preparation import Member, Prepared
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import SealedSeeds
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.checkpoints.snapshot_coherence import Training, require
from vecparity.training.engines.names import EngineName, version_of
from vecparity.training.engines.select import device_name
from vecparity.training.runs import NO_EVALUATION, Run

# The way to resume: an argument in Python, a flag of the command.
_RESUME = "resume=True (--resume)"


def keep(
    options: Options,
    config: TaskConfig,
    members: Sequence[Member],
    engine: EngineName,
    devices: Sequence[torch.device],
    stack: ExitStack,
) -> tuple[Checkpoints | None, Prepared | None]:
    """Opens the checkpoints of one configuration's training, and has the stack close them.

    Returns:
        The checkpoints, or None if none are kept; and the restored runs and audits, or None if nothing is resumed.

    Raises:
        UsageError: Checkpoints exist and are to be resumed but not usable, or another process uses them.
        MachineError: The directory cannot be written.
    """
    if options.checkpoint is None:
        return None, None
    identity = _identity(options, config, members, engine, devices)
    at_once = not options.checkpoint_if_possible
    try:
        checkpoints = Checkpoints(
            options.checkpoint, config.label, identity, options.checkpoint_seconds, at_once=at_once
        )
    except (UsageError, MachineError) as error:
        if not options.checkpoint_if_possible or options.resume:
            raise
        warnings.warn(f"no checkpoints are kept: {error}", stacklevel=2)
        return None, None
    stack.enter_context(closing(checkpoints))
    if not options.resume:
        if checkpoints.exist():
            warnings.warn(
                f"the evaluation starts from the beginning and replaces its checkpoint {checkpoints.name} in "
                f"{checkpoints.directory}, from which {_RESUME} would have gone on",
                stacklevel=2,
            )
        return checkpoints, None
    runs = checkpoints.resume(Training(config, options.dtype))
    if runs is None:
        return checkpoints, None
    try:
        notes = check_notes(checkpoints.notes, runs, config, [member.position for member in members])
        members = [_with_draw(member, draw, options) for member, draw in zip(members, notes.draws, strict=True)]
        _require_ordering_seeds(runs, config, members)
    except ValueError as error:
        raise UsageError(
            f"the checkpoint {checkpoints.name} in {options.checkpoint} cannot be used: {error}"
        ) from error
    return checkpoints, Prepared(members, runs, notes.audits)


def warn_of_nothing_kept(checkpoints: Checkpoints) -> None:
    """Warns that an evaluation starts anew instead of resuming, and tells how the nearest checkpoint differs."""
    said = f"no checkpoint {checkpoints.name} in {checkpoints.directory}: the evaluation starts from the beginning"
    if nearest := checkpoints.describe_nearest():
        said += f"; the nearest checkpoint is of another evaluation, {nearest}"
    warnings.warn(said, stacklevel=2)


def notes_of(prepared: Prepared) -> dict[str, Any]:
    """Returns the notes that a checkpoint keeps beside the runs."""
    return {
        "audits": [audit.as_json() if audit else None for audit in prepared.audits],
        "draws": [member.task.seeds.draw for member in prepared.members],
    }


class Notes(Struct):
    """The notes kept beside the runs.

    Attributes:
        audits: Each evaluation's audits, or None if it has none.
        draws: Each evaluation's draw, see `SealedSeeds`.
    """

    audits: list[Audit | None]
    draws: list[str | None]


def check_notes(notes: Any, runs: Sequence[Run], config: TaskConfig, evaluations: Sequence[int]) -> Notes:
    """Checks that runs belong to the given evaluations, and reads the notes kept beside them.

    Args:
        notes: The notes, as `notes_of` makes them.
        runs: The runs read from the same file.
        config: The settings.
        evaluations: The evaluations' indices, in order.

    Raises:
        ValueError: Runs or notes do not match; the text says what was expected and what was got.
    """
    expected = [
        (evaluation, i, j)
        for evaluation in evaluations
        for i in range(config.num_hidden_secrets)
        for j in range(config.num_orderings)
    ]
    own = [(run.evaluation, run.secret_index, run.order_index) for run in runs[: len(expected)]]
    require(own == expected, f"the {len(expected)} runs of the evaluations first, in order", "others")
    further = {run.evaluation for run in runs[len(expected) :]}
    require(further <= {NO_EVALUATION}, "further runs of audits only", sorted(further))
    read = convert(notes, Notes)
    for name in ("audits", "draws"):
        require(len(getattr(read, name)) == len(evaluations), f"{name}: {len(evaluations)}", len(getattr(read, name)))
    for audit in filter(None, read.audits):
        for name in ("own", "straight", "crossed", "public", "sealed"):
            for run in getattr(audit, name):
                require(0 <= run < len(runs), f"a run in {name}: 0 to {len(runs) - 1}", run)
        require(len(audit.crossed) == len(audit.straight), f"{len(audit.straight)} crossed runs", len(audit.crossed))
        require(len(audit.straight) % 2 == 0, "straight runs in pairs", len(audit.straight))
        for finding in audit.settled:
            require(f"{finding.name}{finding.summary}".isprintable(), "findings that can be printed", finding.name)
    return read


def _with_draw(member: Member, draw: str | None, options: Options) -> Member:
    """Returns a task with the draw under which its checkpoint began."""
    if options.seal_key is None:
        return member
    seeds = SealedSeeds(options.seal_key, member.task.seeds.seed, draw)
    return replace(member, task=replace(member.task, seeds=seeds))


def _require_ordering_seeds(runs: Sequence[Run], config: TaskConfig, members: Sequence[Member]) -> None:
    for member, first in zip(members, range(0, len(runs), config.num_runs), strict=False):
        for run in runs[first : first + config.num_runs]:
            expected = member.task.seeds.ordering_seed(config, run.secret_index, run.order_index)
            require(run.ordering_seed == expected, f"the ordering_seed of {run.name}: its seed's", run.ordering_seed)


def _identity(
    options: Options,
    config: TaskConfig,
    members: Sequence[Member],
    engine: EngineName,
    devices: Sequence[torch.device],
) -> dict[str, Any]:
    """Returns every value that decides a training's result to the last bit."""
    identity = {
        "strategies": [member.task.strategy.sha256 for member in members],
        "params": [member.task.parameters.values for member in members],
        "seeds": [member.task.seeds.seed for member in members],
        "seal": members[0].task.seeds.seal,
        # Where the key is not, seeds are written out, and each job trains by itself under its draw.
        "draw": "own" if options.has_own_draws else members[0].task.seeds.draw,
        "audits": [member.task.audit for member in members],
        **asdict(config),
        "init_device": options.init_device,
        "engine": engine,
        "dtype": str(options.dtype),
        "device": devices[0].type,
        "torch": torch.__version__,
        "vecparity": _version.__version__,
    }
    if (version := version_of(engine)) > 1:  # the first was recorded nowhere
        identity["engine_version"] = version
    if devices[0].type == "cuda":  # kernels compile differently on another GPU model; the number of GPUs is irrelevant
        identity["gpu"] = " and ".join(sorted({device_name([device]) for device in devices}))
    if engine == "vmap":  # its rounding depends on more
        identity |= {
            "devices": len(devices),
            "chunk_runs": options.chunk_runs,
            "threads": options.threads or torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
        }
    return identity
