"""AdamW over stacked runs, each with its own hyperparameters.

Source: Loshchilov & Hutter, "Decoupled Weight Decay Regularization" (2019), algorithm 2. Roundings follow the order of
torch.optim.AdamW, as written in contract section 4.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float64
from torch import Tensor

EPS = 1e-8


@dataclass(frozen=True)
class Coefficients:
    """AdamW's factors per run, rounded once from double precision to the parameters' dtype.

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
    """Makes one in-place update of the ``active`` runs; other runs keep every bit of their state.

    Args:
        params: Updated.
        exp_avg: Updated.
        exp_avg_sq: Updated.
        grads: Gradients of each run's own loss.
        by: The window's coefficients.
        step: Index of the step within the window, from 0.
        active: True for the runs to update.
        scratch: Overwritten. Fresh temporaries of this size would cost more in page faults than the arithmetic.
    """
    # Frozen runs get coefficients that change nothing; this costs less than selecting between old and new state.
    grads = torch.where(active, grads, grads.new_zeros(()), out=scratch[0])
    one_minus_beta1, step_size = (torch.where(active, c, 0) for c in (by.one_minus_beta1, by.step_size[step]))
    beta2, decay = (torch.where(active, c, 1) for c in (by.beta2, by.decay))

    exp_avg.lerp_(grads, one_minus_beta1)
    exp_avg_sq.mul_(beta2).addcmul_(torch.mul(grads, by.one_minus_beta2, out=scratch[1]), grads)
    change, root = scratch  # grads is no longer needed
    torch.sqrt(exp_avg_sq, out=root).div_(by.root_correction2[step]).add_(EPS)
    torch.mul(exp_avg, step_size, out=change).div_(root)
    params.mul_(decay).sub_(change)
