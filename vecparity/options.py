"""How evaluations are made."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

import torch

from vecparity.auditing import AuditMode
from vecparity.choice import DeviceName, EngineName
from vecparity.containment.levels import Containment, Level
from vecparity.containment.limits import Limits
from vecparity.errors import UsageError
from vecparity.seeds import PublicSeeds, SealedSeeds, Seeds


@dataclass(frozen=True, kw_only=True)
class Options:
    """How evaluations are made, whatever they mean.

    Attributes:
        engine: What computes the windows. ``auto`` takes the fastest that the machine can run.
        device: Where. ``auto`` takes CUDA if there is one.
        init_device: Where ``init_model`` draws. ``cuda`` reproduces the original's draws there.
        chunk_runs: The most runs that train together (by default as many as suit the machine); only `vmap` has a use
            for it.
        dtype: Of parameters, moments and gradients.
        containment: How strategies are contained. ``auto`` takes the strongest that the machine has.
        require_containment: The weakest containment that will do.
        limits: What each of a strategy's workers may use.
        strategy_log: A file for what strategies print.
        seal_key: Makes it a sealed evaluation: everything random comes from streams under this key, so that nothing
            that a strategy sees tells it anything (`seeds.new_key` draws one).
        audit: ``report`` adds what audits find, ``strict`` takes the score from an evaluation that fails one. By
            default strategies that are not bundled are reported on where the seeds are public.
        checkpoint: A directory for checkpoints of the training. The `reference` engine keeps none.
        checkpoint_seconds: The least time between two of them.
        resume: Go on from what is kept there.

    Raises:
        UsageError: A value that cannot be.
    """

    engine: EngineName = "auto"
    device: DeviceName = "auto"
    init_device: Literal["cpu", "cuda"] = "cpu"
    chunk_runs: int | None = None
    dtype: torch.dtype = torch.float32
    containment: Containment = "auto"
    require_containment: Level | None = None
    limits: Limits = field(default_factory=Limits)
    strategy_log: Path | None = None
    seal_key: bytes | None = None
    audit: AuditMode | None = None
    checkpoint: Path | None = None
    checkpoint_seconds: float = 60.0
    resume: bool = False

    def __post_init__(self) -> None:
        if self.chunk_runs is not None and self.chunk_runs < 1:
            raise UsageError(f"chunk_runs must be at least 1, got {self.chunk_runs}")
        if self.audit not in (None, *get_args(AuditMode)):
            raise UsageError(f"audit must be one of {', '.join(get_args(AuditMode))}, got {self.audit!r}")

        if self.resume and self.checkpoint is None:
            raise UsageError("resume goes with checkpoint, the directory to go on from: got none")
        if self.checkpoint is not None and self.engine == "reference":
            raise UsageError("the reference engine keeps no checkpoints: got one to keep them in")

    def seeds(self, seed: int) -> Seeds:
        """Where the random numbers of an evaluation under a top-level seed come from."""
        return PublicSeeds(seed) if self.seal_key is None else SealedSeeds(self.seal_key, seed)
