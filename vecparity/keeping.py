"""What of an evaluation is kept in checkpoints, and what has to be the same for it to go on."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vecparity.checkpoint import Checkpoints
from vecparity.choice import EngineName
from vecparity.errors import UsageError
from vecparity.options import Options
from vecparity.preparation import Prepared, Source
from vecparity.seeds import key_digest
from vecparity.snapshot_coherence import Training, check_notes
from vecparity.spec import TaskConfig


def keep(
    options: Options,
    config: TaskConfig,
    sources: Sequence[Source],
    engine: EngineName,
    device: torch.device,
) -> tuple[Checkpoints | None, Prepared | None]:
    """Opens the checkpoints of one configuration's training.

    Returns:
        The checkpoints, if any are to be kept, and what they hold of the training, if it is to go on.

    Raises:
        UsageError: Some are there but are not to be gone on from, or cannot be.
        MachineError: The directory cannot be written.
    """
    if options.checkpoint is None:
        return None, None
    name = config.label
    identity = _identity(options, config, sources, engine, device)
    checkpoints = Checkpoints(options.checkpoint, name, identity, options.checkpoint_seconds)
    if not options.resume:
        if checkpoints.exist():
            raise UsageError(
                f"{options.checkpoint} holds a checkpoint of {name}: --resume goes on from it, and to begin anew it "
                "has to be removed"
            )
        return checkpoints, None
    runs = checkpoints.resume(Training(config, options.dtype))
    if runs is None:
        return checkpoints, None
    try:
        audits = check_notes(checkpoints.notes, runs, config, [source.index for source in sources])
    except ValueError as error:
        raise UsageError(f"no checkpoint of {name} in {options.checkpoint} can be used: {error}") from error
    return checkpoints, Prepared(runs, audits)


def discard(directory: Path, config: TaskConfig) -> None:
    """Removes the checkpoints of one configuration's training."""
    Checkpoints(directory, config.label, {}).end()


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
    }
    if engine == "vmap":  # how it rounds depends on more
        identity |= {
            "chunk_runs": options.chunk_runs,
            "threads": torch.get_num_threads(),
            "capability": torch.backends.cpu.get_cpu_capability(),
        }
    return identity
