"""Stacked training with plain torch.func: every run in one stack, rows dense.

Eager, and through torch.compile.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.functional import binary_cross_entropy

from benchmarks.cases import Contender, TrainWindow
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import unpack
from vecparity.task.network import build_network, parameter_shapes, unflatten
from vecparity.training.ensemble import Ensemble
from vecparity.training.runs import Run
from vecparity.training.schedule import Schedule

Parameters = dict[str, Tensor]


def _build_step(network: nn.Module) -> Callable[..., Tensor]:
    """Builds the function that trains all runs by one step, in place."""

    def loss_of(params: Parameters, x: Tensor, y: Tensor, is_row: Tensor) -> Tensor:
        p = functional_call(network, params, (x,)).squeeze(-1)
        return binary_cross_entropy(p, y, weight=is_row, reduction="sum") / is_row.sum()

    gradients = vmap(grad_and_value(loss_of))

    def step(
        params: Parameters,
        exp_avg: Parameters,
        exp_avg_sq: Parameters,
        t: Tensor,
        hyperparameters: dict[str, Tensor],
        batch: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:
        grads, loss = gradients(params, *batch)
        assert isinstance(loss, Tensor)
        for name, grad in grads.items():
            h = {key: value.view(-1, *[1] * (grad.dim() - 1)) for key, value in hyperparameters.items()}
            w, m, v = params[name], exp_avg[name], exp_avg_sq[name]
            w.mul_((1 - h["lr"] * h["wd"]).float())
            m.add_((grad - m) * (1 - h["beta1"]).float())
            v.mul_(h["beta2"].float()).add_((1 - h["beta2"]).float() * grad * grad)
            size = (h["lr"] / (1 - h["beta1"] ** t)).float()
            root = (1 - h["beta2"] ** t).sqrt().float()
            w.sub_(size * m / (v.sqrt() / root + 1e-8))
        return loss

    return step


def prepare_with(is_compiled: bool) -> Callable[[Sequence[Run], TaskConfig, int, torch.device], TrainWindow]:
    def prepare(runs: Sequence[Run], config: TaskConfig, num_steps: int, device: torch.device) -> TrainWindow:
        shapes = parameter_shapes(config.n_features, config.hidden_width)
        networks = [build_network(config.n_features, config.hidden_width) for _ in runs]
        for network, run in zip(networks, runs, strict=True):
            network.load_state_dict(unflatten(run.params, shapes))
        stacked, _ = stack_module_state(networks)
        params = {name: value.detach().to(device, copy=True) for name, value in stacked.items()}
        exp_avg, exp_avg_sq = ({name: torch.zeros_like(w) for name, w in params.items()} for _ in range(2))
        hyperparameters = {
            name: torch.tensor([getattr(run.optimizer, name) for run in runs], dtype=torch.float64, device=device)
            for name in ("lr", "wd", "beta1", "beta2")
        }
        pool = Ensemble.start(runs, config.hidden_width, device)  # runs of one secret share their rows
        x, y = unpack(pool.data.bits, config.n_features, torch.float32), pool.data.labels.float()
        first_row = pool.first_row[:, None]
        schedule = Schedule.of(runs, config.batch_size, iter(lambda: num_steps, None))
        position = torch.arange(config.batch_size, device=device)
        step = _build_step(build_network(config.n_features, config.hidden_width))
        if is_compiled:
            # Otherwise torch stops compiling the same code for other shapes after a number of cases.
            torch.compiler.reset()
            step = torch.compile(step, dynamic=False)
        t = torch.zeros((), dtype=torch.float64, device=device)

        def train_window() -> Tensor:
            window = next(schedule)
            losses = torch.zeros(len(runs), dtype=torch.float64, device=device)
            indices, lengths = window.indices.to(device), window.lengths.to(device)
            for index in range(num_steps):
                t.add_(1)
                rows = indices[:, index] + first_row
                is_row = (position < lengths[:, index, None]).float()
                losses += step(params, exp_avg, exp_avg_sq, t, hyperparameters, (x[rows], y[rows], is_row))
            return (losses / num_steps).cpu()

        return train_window

    return prepare


CONTENDERS = [
    Contender("torch.func", lambda device: None, prepare_with(is_compiled=False)),
    Contender("torch.compile", lambda device: None, prepare_with(is_compiled=True)),
]
