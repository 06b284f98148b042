"""The same training in JAX: ``jit(vmap(scan))`` over a window's steps."""

import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import CPU, Contender, TrainWindow
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import unpack
from vecparity.task.network import parameter_shapes, unflatten
from vecparity.training.ensemble import Ensemble
from vecparity.training.runs import Run
from vecparity.training.schedule import Schedule


def why_not(device: torch.device) -> str | None:
    if not find_spec("jax"):
        return "pip install -e '.[bench]'"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # preallocation leaves others no GPU memory
    import jax

    if device.type == "cuda" and not any(found.platform == "gpu" for found in jax.devices()):
        return "pip install 'jax[cuda12]'"
    return None


def prepare(runs: Sequence[Run], config: TaskConfig, num_steps: int, device: torch.device) -> TrainWindow:
    import jax
    import jax.numpy as jnp

    # The device that stores and computes everything below.
    jax.config.update("jax_default_device", jax.devices("gpu" if device.type == "cuda" else "cpu")[0])
    # By default XLA uses tf32 for float32 on a GPU, which is not accurate enough.
    jax.config.update("jax_default_matmul_precision", "highest")

    def loss_of(params: Any, x: Any, y: Any, is_row: Any) -> Any:
        hidden = jax.nn.relu(x @ params["0.weight"] + params["0.bias"])
        p = jax.nn.sigmoid(hidden @ params["2.weight"][0] + params["2.bias"][0])
        # Cross-entropy on probabilities, each logarithm at least -100 (contract section 4).
        log_p, log_q = (jnp.maximum(jnp.log(jnp.maximum(q, 1e-45)), -100.0) for q in (p, 1 - p))
        return -jnp.sum(is_row * (y * log_p + (1 - y) * log_q)) / jnp.sum(is_row)

    def train_run(state: Any, h: Any, rows: Any, lengths: Any, t: Any, x: Any, y: Any) -> Any:
        def step(carry: Any, batch: Any) -> Any:
            params, exp_avg, exp_avg_sq = carry
            rows, length, size, root = batch
            is_row = (jnp.arange(config.batch_size) < length).astype(jnp.float32)
            loss, grads = jax.value_and_grad(loss_of)(params, x[rows], y[rows], is_row)

            def update(w: Any, m: Any, v: Any, g: Any) -> Any:
                m = m + (g - m) * h["one_minus_beta1"]
                v = h["beta2"] * v + h["one_minus_beta2"] * g * g
                return w * h["decay"] - size * m / (jnp.sqrt(v) / root + 1e-8), m, v

            new = {name: update(params[name], exp_avg[name], exp_avg_sq[name], g) for name, g in grads.items()}
            return tuple({name: parts[i] for name, parts in new.items()} for i in range(3)), loss

        return jax.lax.scan(step, state, (rows, lengths, *t))

    train = jax.jit(jax.vmap(train_run, in_axes=(0, 0, 0, 0, 0, None, None)), donate_argnums=0)

    shapes = parameter_shapes(config.n_features, config.hidden_width)
    named = unflatten(torch.stack([run.params for run in runs]), shapes)
    params = {name: jnp.array(value.numpy()) for name, value in named.items()}
    # [feature, unit]: XLA's products are twice as fast on a CPU.
    params["0.weight"] = jnp.swapaxes(params["0.weight"], 1, 2).copy()
    state = (params, *({name: jnp.zeros_like(w) for name, w in params.items()} for _ in range(2)))
    lr, wd, beta1, beta2 = (
        torch.tensor([getattr(run.optimizer, name) for run in runs], dtype=torch.float64)
        for name in ("lr", "wd", "beta1", "beta2")
    )
    coefficients = {"decay": 1 - lr * wd, "one_minus_beta1": 1 - beta1, "beta2": beta2, "one_minus_beta2": 1 - beta2}
    h = {name: jnp.array(value.float().numpy()) for name, value in coefficients.items()}
    pool = Ensemble.start(runs, config.hidden_width, CPU)  # runs of one secret share their rows
    x = jnp.array(unpack(pool.data.bits, config.n_features, torch.float32).numpy())
    y = jnp.array(pool.data.labels.float().numpy())
    first_row = pool.first_row.int()[:, None, None]
    schedule = Schedule.of(runs, config.batch_size, iter(lambda: num_steps, None))
    steps_before = 0

    def train_window() -> Tensor:
        nonlocal state, steps_before
        window = next(schedule)
        steps = torch.arange(steps_before + 1, steps_before + num_steps + 1, dtype=torch.float64)
        size = lr[:, None] / (1 - beta1[:, None] ** steps)
        root = (1 - beta2[:, None] ** steps).sqrt()
        rows = jnp.array((window.indices + first_row).numpy())
        t = tuple(jnp.array(value.float().numpy()) for value in (size, root))
        state, losses = train(state, h, rows, jnp.array(window.lengths.numpy()), t, x, y)
        steps_before += num_steps
        return torch.tensor(jax.device_get(losses), dtype=torch.float64).mean(dim=1)

    return train_window


CONTENDERS = [Contender("JAX", why_not, prepare)]
