"""What of an evaluation is kept in checkpoints, and what has to be the same for it to go on."""

import warnings
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Any

import torch

from vecparity import _version
from vecparity.checkpoint import Checkpoints
from vecparity.choice import EngineName, device_name
from vecparity.errors import CheckpointExistsError, UsageError
from vecparity.options import Options
from vecparity.preparation import Prepared, Source
from vecparity.snapshot_coherence import Training, check_notes
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import key_digest


def keep(
    options: Options,
    config: TaskConfig,
    sources: Sequence[Source],
    engine: EngineName,
    device: torch.device,
    stack: ExitStack,
) -> tuple[Checkpoints | None, Prepared | None]:
    """Opens the checkpoints of one configuration's training, and has the stack close them.

    Returns:
        The checkpoints, if any are to be kept, and what they hold of the training, if it is to go on.

    Raises:
        UsageError: Some are there but are not to be gone on from, or cannot be; or another process uses them.
        MachineError: The directory cannot be written.
    """
    if options.checkpoint is None:
        return None, None
    identity = _identity(options, config, sources, engine, device)
    checkpoints = Checkpoints(options.checkpoint, config.label, identity, options.checkpoint_seconds)
    stack.enter_context(closing(checkpoints))
    if not options.resume:
        if checkpoints.exist():
            raise CheckpointExistsError(options.checkpoint, checkpoints.name)
        return checkpoints, None
    runs = checkpoints.resume(Training(config, options.dtype))
    if runs is None:
        return checkpoints, None
    try:
        audits = check_notes(checkpoints.notes, runs, config, [source.index for source in sources])
    except ValueError as error:
        raise UsageError(f"no checkpoint {checkpoints.name} in {options.checkpoint} can be used: {error}") from error
    return checkpoints, Prepared(runs, audits)


def warn_of_nothing_kept(checkpoints: Checkpoints) -> None:
    """Warns that an evaluation which was to go on begins, and how the nearest checkpoint is another's."""
    said = f"there is no checkpoint {checkpoints.name} in {checkpoints.directory} to go on from, the evaluation begins"
    if nearest := checkpoints.describe_nearest():
        said += f"; the nearest is another's, {nearest}"
    warnings.warn(said, stacklevel=2)


def notes_of(prepared: Prepared) -> dict[str, Any]:
    """What is kept of a training beside its runs."""
    return {"audits": [audit.as_json() if audit else None for audit in prepared.audits]}


def _identity(
    options: Options,
    config: TaskConfig,
    sources: Sequence[Source],
    engine: EngineName,
    device: torch.device,
) -> dict[str, Any]:
    """All that decides a training's result to the last bit."""
    identity = {
        "strategies": [source.strategy.sha256 for source in sources],
        "seeds": [source.seeds.seed for source in sources],
        "seal": None if options.seal_key is None else key_digest(options.seal_key),
        "audits": [source.audit for source in sources],
        **asdict(config),
        "init_device": options.init_device,
        "engine": engine,
        "dtype": str(options.dtype),
        "device": device.type,
        "torch": torch.__version__,
        "vecparity": _version.__version__,
    }
    if device.type == "cuda":  # on another GPU, kernels are compiled otherwise
        identity["gpu"] = device_name(device)
    if engine == "vmap":  # how it rounds depends on more
        identity |= {
            "chunk_runs": options.chunk_runs,
            "threads": torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
        }
    return identity
