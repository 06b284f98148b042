import pytest
import torch

from vecparity.training.adamw import adamw_, coefficients

RUNS, PARAMS, STEPS = 5, 37, 60


def per_run(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


LR = per_run(1e-3, 1e-2, 5e-3, 1e-4, 1.0)
WD = per_run(0.0, 0.3, 1.0, 1e-2, 0.5)
BETA1 = per_run(0.9, 0.8, 0.3, 0.99, 0.01)  # below 0.5, torch.lerp takes its other branch
BETA2 = per_run(0.999, 0.95, 0.98, 0.9, 0.5)


def stacked(params: torch.Tensor, grads: torch.Tensor, frozen_from: dict[int, int]) -> tuple[torch.Tensor, ...]:
    """Trains with `adamw_` in windows of 7 steps; some runs are frozen from some step on."""
    state = params.clone(), torch.zeros_like(params), torch.zeros_like(params)
    scratch = params.new_empty(2, *params.shape)
    for start in range(0, STEPS, 7):
        by = coefficients(LR, WD, BETA1, BETA2, start, 7, params.dtype)
        for step in range(min(7, STEPS - start)):
            active = torch.tensor([[start + step < frozen_from.get(run, STEPS)] for run in range(RUNS)])
            adamw_(*state, grads[start + step], by, step, active, scratch)
    return state


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_each_run_follows_torch(dtype: torch.dtype, tolerance: float) -> None:
    torch.manual_seed(0)
    params = torch.randn(RUNS, PARAMS, dtype=dtype)
    grads = torch.randn(STEPS, RUNS, PARAMS, dtype=dtype)
    ours, _, _ = stacked(params, grads, {})
    for run in range(RUNS):
        theirs = torch.nn.Parameter(params[run].clone())
        betas = (BETA1[run].item(), BETA2[run].item())
        optimizer = torch.optim.AdamW([theirs], LR[run].item(), betas, 1e-8, WD[run].item())
        for step in range(STEPS):
            theirs.grad = grads[step, run]
            optimizer.step()
        torch.testing.assert_close(ours[run], theirs.detach(), rtol=tolerance, atol=tolerance)


def test_frozen_runs_keep_every_bit() -> None:
    torch.manual_seed(1)
    params = torch.randn(RUNS, PARAMS)
    params[:, :3] = torch.tensor([-0.0, 0.0, 1e-45])
    grads = torch.randn(STEPS, RUNS, PARAMS)
    grads[20:, 1] = torch.nan  # what a run is frozen for
    grads[0, :, 5] = -0.0
    frozen = stacked(params, grads, {1: 20, 3: 0})
    until = stacked(params, grads[:20].repeat(3, 1, 1), {1: 20, 3: 0})
    for state, expected in zip(frozen, until, strict=True):
        assert torch.equal(state[1].view(torch.int32), expected[1].view(torch.int32))
    assert torch.equal(frozen[0][3].view(torch.int32), params[3].view(torch.int32))
    assert not frozen[1][3].any()
    assert frozen[0].isfinite().all()
