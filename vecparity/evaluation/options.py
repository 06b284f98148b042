"""Options of evaluations."""

import math
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path
from typing import Literal, get_args

import torch

from vecparity.audits.mode import AuditMode
from vecparity.errors import UsageError
from vecparity.files import to_path
from vecparity.sandbox.levels import Containment, Level
from vecparity.sandbox.limits import Limits
from vecparity.task.seeds import PublicSeeds, SealedSeeds, Seeds, check_draw, new_draw
from vecparity.training.engines.names import DEVICES, DeviceName, EngineName, is_device

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_CHOICES: dict[str, tuple[str | None, ...]] = {
    "engine": get_args(EngineName),
    "init_device": ("cpu", "cuda"),
    "containment": get_args(Containment),
    "require_containment": (*get_args(Level), None),
    "audit": (*get_args(AuditMode), None),
}
_PATHS = ("strategy_log", "checkpoint")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options that decide how evaluations run, apart from the task settings.

    Attributes:
        engine: The engine that computes the windows. ``auto`` takes the fastest that the machine can run.
        device: The device that trains. ``auto`` takes CUDA if available; ``cuda:1`` is one of several GPUs, and
            ``cuda:all`` shares the runs among all GPUs.
        init_device: The device on which ``init_model`` draws. ``cuda`` reproduces the original's draws on CUDA.
        chunk_runs: Maximum number of runs that train together (by default as many as suit the machine); only `vmap`
            uses it.
        threads: Number of CPU threads (by default torch's, ``torch.get_num_threads()``).
        dtype: Type of parameters, moments and gradients: ``torch.float32`` or ``torch.float64``, or its name.
        containment: Containment of strategies. ``auto`` takes the strongest that the machine supports.
        require_containment: The weakest acceptable containment.
        limits: Limits of each of a strategy's workers.
        strategy_log: File for the output of strategies: a path, or its text.
        seal_key: Key of a sealed evaluation: all randomness comes from streams under this key, so that a strategy can
            infer nothing from the values that it sees (`seeds.new_key` draws a key). The containment must be `bwrap` or
            `landlock`.
        draw: The draw of a sealed evaluation to repeat, from its provenance. By default every evaluation has a draw of
            its own under the key, so that nothing learnt in one is worth anything in another.
        same_draw: Use the draw that is common to all evaluations under the key. What authors learn about it, if only
            from their scores, accumulates.
        audit: ``report`` adds the findings of audits; ``strict`` withholds the score if an audit fails. The default is
            a report for strategies that are not bundled if the seeds are public.
        checkpoint: Directory for checkpoints of the training (a path, or its text); other evaluations may use the same
            directory. The checkpoints are removed when the evaluation is done. The `reference` engine keeps none. With
            an executor, all its processes must see the directory.
        checkpoint_if_possible: Whether the evaluation may do without checkpoints, if their directory cannot be written
            or another process keeps those of the same evaluation; nothing is written before one is due.
        checkpoint_seconds: Minimum time between two checkpoints in seconds; 0 for as many as possible.
        resume: Go on from the checkpoint of the same evaluation; if there is none, warn and start from the beginning.
            Without it a checkpoint of the same evaluation is replaced, with a warning.

    Raises:
        UsageError: A value is invalid.
    """

    engine: EngineName = "auto"
    device: DeviceName = "auto"
    init_device: Literal["cpu", "cuda"] = "cpu"
    chunk_runs: int | None = None
    threads: int | None = None
    dtype: torch.dtype = torch.float32
    containment: Containment = "auto"
    require_containment: Level | None = None
    limits: Limits = field(default_factory=Limits)
    strategy_log: Path | None = None
    seal_key: bytes | None = None
    draw: str | None = None
    same_draw: bool = False
    audit: AuditMode | None = None
    checkpoint: Path | None = None
    checkpoint_if_possible: bool = False
    checkpoint_seconds: float = 60.0
    resume: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            is_one = isinstance(getattr(self, name), str | None) and getattr(self, name) in choices
            self._require(is_one, name, f"one of {', '.join(filter(None, choices))}")
        self._require(is_device(self.device), "device", f"one of {DEVICES}")
        dtype = _DTYPES.get(str(self.dtype).removeprefix("torch."))
        self._require(dtype is not None, "dtype", f"one of {', '.join(_DTYPES)}")
        counts = {name: getattr(self, name) for name in ("chunk_runs", "threads")}
        for name, count in counts.items():
            self._require(count is None or _is_number(count, Integral), name, "an integer")
            self._require(count is None or count >= 1, name, "at least 1")
        seconds = self.checkpoint_seconds
        is_time = _is_number(seconds, Real) and math.isfinite(seconds) and seconds >= 0
        self._require(is_time, "checkpoint_seconds", "a finite number, at least 0")
        self._require(isinstance(self.limits, Limits), "limits", "Limits (vecparity.sandbox.limits)")
        for name in ("resume", "same_draw", "checkpoint_if_possible"):
            self._require(isinstance(getattr(self, name), bool), name, "True or False")
        if self.seal_key is not None and not isinstance(self.seal_key, bytes):  # an error must not show the key
            raise UsageError(f"seal_key must be bytes (seeds.read_key reads them), got {type(self.seal_key).__name__}")
        paths = {name: to_path(path, name) for name in _PATHS if (path := getattr(self, name)) is not None}
        numbers = {name: count and int(count) for name, count in counts.items()}
        numbers |= {"checkpoint_seconds": float(seconds)}
        for name, value in {"dtype": dtype, **numbers, **paths}.items():
            object.__setattr__(self, name, value)

        self._check_draw()
        if self.resume and self.checkpoint is None:
            raise UsageError("resume needs checkpoint, the directory to resume from, got none")
        if self.engine == "reference" and self.device == "cuda:all":
            raise UsageError("the reference engine trains on one device, got cuda:all")
        if self.checkpoint is not None and self.engine == "reference":
            raise UsageError("the reference engine writes no checkpoints, got a directory for them")

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise UsageError(f"{name} must be {expected}, got {getattr(self, name)!r}")

    def _check_draw(self) -> None:
        if self.draw is not None:
            check_draw(self.draw)
        if self.draw is not None and self.same_draw:
            raise UsageError(f"draw and same_draw exclude each other, got both: {self.draw}")
        if self.seal_key is None and (self.draw is not None or self.same_draw):
            raise UsageError("draw and same_draw are of sealed evaluations: expected a seal_key, got none")

    @property
    def has_own_draws(self) -> bool:
        """True if every evaluation is sealed under a new draw, and so repeats no other."""
        return self.seal_key is not None and self.draw is None and not self.same_draw

    def seeds(self, seed: int) -> Seeds:
        """Returns the source of random numbers for an evaluation under a top-level seed."""
        if self.seal_key is None:
            return PublicSeeds(seed)
        return SealedSeeds(self.seal_key, seed, new_draw() if self.has_own_draws else self.draw)


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
