"""AdamW over stacked runs, each with its own hyperparameters.

Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2; the order of roundings
is torch.optim.AdamW's, as contract section 4 writes it.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float64
from torch import Tensor

EPS = 1e-8


@dataclass(frozen=True)
class Coefficients:
    """What AdamW multiplies by, per run, rounded once from double precision to the parameters' dtype.

    Attributes:
        decay: ``1 - lr * wd``.
        one_minus_beta1: ``1 - beta1``.
        beta2: ``beta2``.
        one_minus_beta2: ``1 - beta2``.
        step_size: ``lr / (1 - beta1^t)`` for each step t of a window.
        root_correction2: ``sqrt(1 - beta2^t)`` likewise.
    """

    decay: Float[Tensor, "run 1"]
    one_minus_beta1: Float[Tensor, "run 1"]
    beta2: Float[Tensor, "run 1"]
    one_minus_beta2: Float[Tensor, "run 1"]
    step_size: Float[Tensor, "step run 1"]
    root_correction2: Float[Tensor, "step run 1"]


def coefficients(
    lr: Float64[Tensor, " run"],
    wd: Float64[Tensor, " run"],
    beta1: Float64[Tensor, " run"],
    beta2: Float64[Tensor, " run"],
    steps_before: int,
    num_steps: int,
    dtype: torch.dtype,
) -> Coefficients:
    """Computes the coefficients of steps ``steps_before + 1`` to ``steps_before + num_steps``."""
    lr, wd, beta1, beta2 = (rearrange(value, "run -> run 1") for value in (lr, wd, beta1, beta2))
    t = torch.arange(steps_before + 1, steps_before + num_steps + 1, dtype=torch.float64, device=lr.device)
    t = rearrange(t, "step -> step 1 1")
    return Coefficients(
        decay=(1 - lr * wd).to(dtype),
        one_minus_beta1=(1 - beta1).to(dtype),
        beta2=beta2.to(dtype),
        one_minus_beta2=(1 - beta2).to(dtype),
        step_size=(lr / (1 - beta1**t)).to(dtype),
        root_correction2=(1 - beta2**t).sqrt().to(dtype),
    )


def adamw_(
    params: Float[Tensor, "run param"],
    exp_avg: Float[Tensor, "run param"],
    exp_avg_sq: Float[Tensor, "run param"],
    grads: Float[Tensor, "run param"],
    by: Coefficients,
    step: int,
    active: Bool[Tensor, "run 1"],
    scratch: Float[Tensor, "2 run param"],
) -> None:
    """Makes one update in place, where ``active``; other runs keep every bit of their state.

    Args:
        params: Updated.
        exp_avg: Updated.
        exp_avg_sq: Updated.
        grads: Gradients of each run's own loss.
        by: The window's coefficients.
        step: Which step of the window, from 0.
        active: Which runs are updated.
        scratch: Overwritten. Fresh temporaries of this size would cost more in page faults than the arithmetic.
    """
    new, other = scratch
    torch.lerp(exp_avg, grads, by.one_minus_beta1, out=new)
    torch.where(active, new, exp_avg, out=exp_avg)

    torch.mul(grads, by.one_minus_beta2, out=other)
    torch.mul(exp_avg_sq, by.beta2, out=new).addcmul_(other, grads)
    torch.where(active, new, exp_avg_sq, out=exp_avg_sq)

    torch.sqrt(exp_avg_sq, out=other).div_(by.root_correction2[step]).add_(EPS)
    torch.mul(exp_avg, by.step_size[step], out=new).div_(other)
    torch.mul(params, by.decay, out=other).sub_(new)
    torch.where(active, other, params, out=params)
