"""The state of all runs that train together: one batched parameter tensor and its two AdamW moments."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from vecparity.task.dataset import Dataset, concatenate, unpack, used_features
from vecparity.task.network import parameter_shapes, unflatten
from vecparity.training.adamw import Coefficients, coefficients
from vecparity.training.runs import Run


@dataclass
class Ensemble:
    """Runs in training, independent of their evaluations. The run axis is always axis 0.

    Attributes:
        params: Every run's parameters, flat, in the order of `network.parameter_shapes`.
        exp_avg: AdamW's first moments.
        exp_avg_sq: AdamW's second moments.
        step: Updates made so far, the same for all runs.
        active: False for a frozen run, whose state engines leave exactly as it is.
        lr: Learning rates.
        wd: Weight decays.
        beta1: Decay rates of the first moment.
        beta2: Decay rates of the second moment.
        first_row: Index in ``data`` of the first row of each run's dataset.
        used: Features that are on in at least one row of each run's dataset, packed like a row.
        data: All datasets, one after the other.
        hidden_width: W.
        num_started: Number of runs at the start, including those that have stopped.
    """

    params: Float[Tensor, "run param"]
    exp_avg: Float[Tensor, "run param"]
    exp_avg_sq: Float[Tensor, "run param"]
    step: int
    active: Bool[Tensor, " run"]
    lr: Float64[Tensor, " run"]
    wd: Float64[Tensor, " run"]
    beta1: Float64[Tensor, " run"]
    beta2: Float64[Tensor, " run"]
    first_row: Int64[Tensor, " run"]
    used: Int64[Tensor, "run word"]
    data: Dataset
    hidden_width: int
    num_started: int

    @classmethod
    def start(
        cls, runs: Sequence[Run], hidden_width: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> "Ensemble":
        """Stacks runs before their first step. Runs that share a dataset object share its rows."""
        datasets = {id(run.dataset): run.dataset for run in runs}
        ends = torch.tensor([dataset.num_examples for dataset in datasets.values()]).cumsum(0)
        starts = dict(zip(datasets, [0, *ends.tolist()], strict=False))
        used = {key: used_features(dataset) for key, dataset in datasets.items()}
        data = concatenate(list(datasets.values()))
        params = torch.stack([run.params for run in runs]).to(device, dtype)

        def per_run(name: str) -> Float64[Tensor, " run"]:
            values = [getattr(run.optimizer, name) for run in runs]
            return torch.tensor(values, dtype=torch.float64, device=device)

        return cls(
            params=params,
            exp_avg=torch.zeros_like(params),
            exp_avg_sq=torch.zeros_like(params),
            step=0,
            active=torch.ones(len(runs), dtype=torch.bool, device=device),
            lr=per_run("lr"),
            wd=per_run("wd"),
            beta1=per_run("beta1"),
            beta2=per_run("beta2"),
            first_row=torch.tensor([starts[id(run.dataset)] for run in runs], device=device),
            used=torch.stack([used[id(run.dataset)] for run in runs]).to(device),
            data=data.to(device),
            hidden_width=hidden_width,
            num_started=len(runs),
        )

    @property
    def num_runs(self) -> int:
        return len(self.params)

    @property
    def device(self) -> torch.device:
        return self.params.device

    @property
    def n_features(self) -> int:
        return self.data.n_features

    @property
    def parameters(self) -> dict[str, Float[Tensor, "run ..."]]:
        """The network's named parameters, stacked, as views of ``params``."""
        return unflatten(self.params, parameter_shapes(self.n_features, self.hidden_width))

    @cached_property
    def trained_features(self) -> Int64[Tensor, "run word"]:
        """The features whose weights an engine must train, packed like a row; other weights only decay.

        These are the features that are on in at least one row. If decay makes weights grow (``lr * wd > 2``), they are
        all features, since a weight that overflows must make the run's loss NaN. Bits past ``n_features`` may be set.
        """
        grows = rearrange(self.lr * self.wd > 2, "run -> run 1")
        return torch.where(grows, -1, self.used)

    @cached_property
    def most_trained_features(self) -> int:
        """The largest number of `trained_features` of any run; the first access waits for the device."""
        return int(unpack(self.trained_features, self.n_features, torch.float32).sum(dim=-1).max())

    def coefficients(self, num_steps: int, runs: slice = slice(None)) -> Coefficients:
        """Computes AdamW's coefficients for the next ``num_steps`` steps of some of the runs."""
        hyperparameters = (self.lr[runs], self.wd[runs], self.beta1[runs], self.beta2[runs])
        return coefficients(*hyperparameters, self.step, num_steps, self.params.dtype)

    def take(self, runs: Int64[Tensor, " kept"]) -> "Ensemble":
        """Returns an ensemble of some of the runs, in the order given."""
        runs = runs.to(self.params.device)
        per_run = ["params", "exp_avg", "exp_avg_sq", "active", "lr", "wd", "beta1", "beta2", "first_row", "used"]
        return replace(self, **{name: getattr(self, name)[runs] for name in per_run})
