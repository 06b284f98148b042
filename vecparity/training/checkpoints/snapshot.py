"""Conversion of runs and training progress to snapshots of tensors and plain values, and back."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from vecparity.task.config import OptimizerConfig
from vecparity.task.dataset import Dataset
from vecparity.training.curve import Curve
from vecparity.training.engines.interface import Engine, WindowMetrics
from vecparity.training.ensemble import Ensemble
from vecparity.training.progress import Progress, Trained
from vecparity.training.runs import Run

_DATASETS = ("dataset", "test_set", "fresh_test_set")
_STATE = ("params", "exp_avg", "exp_avg_sq", "active")
_SUMS = ("loss", "accuracy", "num_batches")


@dataclass(frozen=True)
class Snapshot:
    """The content of a checkpoint: the values that JSON can represent exactly, and the tensors."""

    values: dict[str, Any]
    tensors: dict[str, Tensor]


def of_runs(runs: Sequence[Run]) -> Snapshot:
    """Converts runs to a snapshot. A dataset shared by several runs is stored once."""
    of_run = ((getattr(run, name) for name in _DATASETS) for run in runs)
    datasets = list({id(data): data for datasets in of_run for data in datasets if data is not None}.values())
    index: dict[int, int | None] = {id(data): position for position, data in enumerate(datasets)}
    index[id(None)] = None
    tensors = {"params": torch.stack([run.params for run in runs])}
    for position, data in enumerate(datasets):
        tensors |= {f"bits.{position}": data.bits, f"labels.{position}": data.labels}
    special = ("params", "optimizer", *_DATASETS)
    plain = [field.name for field in fields(Run) if field.name not in special]
    described = [
        {name: getattr(run, name) for name in plain}
        | {name: index[id(getattr(run, name))] for name in _DATASETS}
        | {"optimizer": asdict(run.optimizer)}
        for run in runs
    ]
    return Snapshot({"n_features": [data.n_features for data in datasets], "runs": described}, tensors)


def to_runs(snapshot: Snapshot) -> list[Run]:
    """Restores runs from a snapshot, bitwise equal and sharing datasets as before."""
    tensors = snapshot.tensors
    datasets = [
        Dataset(tensors[f"bits.{position}"], tensors[f"labels.{position}"], n_features)
        for position, n_features in enumerate(snapshot.values["n_features"])
    ]
    return [
        Run(
            **described
            | {name: None if (index := described[name]) is None else datasets[index] for name in _DATASETS}
            | {"optimizer": OptimizerConfig(**described["optimizer"]), "params": params}
        )
        for described, params in zip(snapshot.values["runs"], tensors["params"], strict=True)
    ]


def of_progress(progress: Progress, engine: Engine) -> Snapshot:
    """Converts the state of a training, without its runs, to a snapshot that is independent of the number of devices.

    With one device, the tensors are the ensemble's own, which training continues to change.
    """
    curves = progress.curves
    tensors = {name: _joined(progress.parts, name) for name in _STATE}
    if progress.sums is not None:
        tensors |= {f"sums.{name}": _joined(progress.sums, name) for name in _SUMS}
    # With short windows, curves are too long for JSON.
    tensors |= {
        "curve.windows": torch.tensor([len(curve.step) for curve in curves], dtype=torch.int64),
        "curve.step": torch.tensor([step for curve in curves for step in curve.step], dtype=torch.int64),
        "curve.loss": torch.tensor([loss for curve in curves for loss in curve.loss], dtype=torch.float64),
        "curve.accuracy": torch.tensor([share for curve in curves for share in curve.accuracy], dtype=torch.float64),
    }
    values = {
        "step": progress.step,
        "opened": progress.opened,
        "live": list(progress.live),
        "good_windows": list(progress.good_windows),
        "trained": [
            [run, end.steps, end.test_accuracy, end.first_layer, end.fresh_accuracy]
            for run, end in progress.trained.items()
        ],
        "chunk_runs": engine.chunk_runs,
    }
    return Snapshot(values, tensors)


def restore(snapshot: Snapshot, progress: Progress, engine: Engine) -> None:
    """Restores a snapshot into a training of the same runs that has just started."""
    values, tensors = snapshot.values, snapshot.tensors
    progress.take(values["live"])
    sizes = [part.num_runs for part in progress.parts]
    for name in _STATE:
        for part, own in zip(progress.parts, tensors[name].split(sizes), strict=True):
            assert own.dtype == getattr(part, name).dtype
            setattr(part, name, own.to(part.device, copy=True))
    for part in progress.parts:
        part.step = values["step"]
    progress.opened, progress.good_windows = values["opened"], list(values["good_windows"])
    if "sums.loss" in tensors:
        sums = zip(*(tensors[f"sums.{name}"].split(sizes) for name in _SUMS), strict=True)
        progress.sums = [
            WindowMetrics(*(own.to(part.device) for own in of_part))
            for part, of_part in zip(progress.parts, sums, strict=True)
        ]
    windows = tensors["curve.windows"].tolist()
    columns = [tensors[f"curve.{name}"].split(windows) for name in ("step", "loss", "accuracy")]
    progress.curves = [Curve(*(part.tolist() for part in parts)) for parts in zip(*columns, strict=True)]
    progress.trained = {
        run: Trained(steps, share, progress.curves[run], first_layer, fresh_share)
        for run, steps, share, first_layer, fresh_share in values["trained"]
    }
    engine.chunk_runs = values["chunk_runs"]


def _joined(parts: Sequence[Ensemble] | Sequence[WindowMetrics], name: str) -> Tensor:
    tensors = [getattr(part, name) for part in parts]
    return tensors[0] if len(tensors) == 1 else torch.cat([tensor.cpu() for tensor in tensors])
