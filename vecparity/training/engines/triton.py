"""The `triton` engine: one program of a persistent kernel takes one run through a whole window, on CUDA.

See `kernels.triton.train_window`. Runs share nothing, so a run's result does not depend on other runs.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from einops import rearrange
from jaxtyping import Float, Float64
from torch import Tensor

from vecparity.errors import MachineError, UsageError
from vecparity.kernels.triton.train_window import train_window
from vecparity.task.dataset import Dataset
from vecparity.training.adamw import EPS
from vecparity.training.engines.interface import WindowMetrics
from vecparity.training.engines.vmap import VmapEngine
from vecparity.training.ensemble import Ensemble
from vecparity.training.schedule import Window

_MOST_FEATURES = 256
_MOST_ROWS = 256
_WORD_BITS = 32
# Triton's interpreter multiplies bfloat16 bit patterns as if they were integers.
_DOT_TYPE = tl.float32 if triton.knobs.runtime.interpret else tl.bfloat16


class TritonEngine:
    """Trains all runs at once, float32 on CUDA; `Engine.test` is the `vmap` engine's."""

    name = "triton"
    chunk_runs: int | None = None

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        """See `Engine.advance`.

        Raises:
            UsageError: The ensemble has another dtype, or a shape for which the kernel has no tiles.
            MachineError: Out of memory.
        """
        problem = why_not(ensemble.n_features, ensemble.hidden_width, window.indices.shape[-1], ensemble.params.dtype)
        if problem:
            raise UsageError(f"the triton engine {problem}")
        try:
            metrics = _launch(ensemble, window)
        except torch.OutOfMemoryError as error:
            reason = str(error).splitlines()[0]
            raise MachineError(f"out of memory with {ensemble.num_runs} runs in training: {reason}") from error
        ensemble.step += window.num_steps
        return metrics

    def test(
        self, params: Float[Tensor, "run param"], test_sets: Sequence[Dataset], hidden_width: int
    ) -> Float64[Tensor, " run"]:
        """See `Engine.test`."""
        return VmapEngine().test(params, test_sets, hidden_width)


def _launch(ensemble: Ensemble, window: Window) -> WindowMetrics:
    device, num_runs, num_steps = ensemble.params.device, ensemble.num_runs, window.num_steps
    by = ensemble.coefficients(num_steps)
    per_step = [rearrange(c, "step run 1 -> run step").contiguous() for c in (by.step_size, by.root_correction2)]
    metrics = WindowMetrics.empty(num_runs, device)
    batch_size, hidden_width = window.indices.shape[-1], ensemble.hidden_width
    block_rows = max(16, triton.next_power_of_2(batch_size))
    positive = torch.empty(num_runs, hidden_width, block_rows, dtype=torch.int8, device=device)
    train_window[(num_runs,)](
        *(ensemble.params, ensemble.exp_avg, ensemble.exp_avg_sq, ensemble.active.view(torch.uint8)),
        *(by.decay, by.one_minus_beta1, by.beta2, by.one_minus_beta2, *per_step),
        *(ensemble.first_row, ensemble.data.bits.view(torch.int32), ensemble.data.labels),
        *(window.indices.to(device), window.lengths.to(device), positive),
        *(metrics.loss, metrics.accuracy, metrics.num_batches),
        num_steps,
        n_features=ensemble.n_features,
        hidden_width=hidden_width,
        batch_size=batch_size,
        row_words=2 * ensemble.data.bits.shape[1],
        block_features=max(_WORD_BITS, triton.next_power_of_2(ensemble.n_features)),
        block_rows=block_rows,
        tile=next(tile for tile in (64, 32, 16) if hidden_width % tile == 0),
        eps=EPS,
        dot_type=_DOT_TYPE,
        num_warps=8,
        enable_fp_fusion=False,  # round products before adding, except where the code says fma
    )
    return metrics


def why_not(n_features: int, hidden_width: int, batch_size: int, dtype: torch.dtype) -> str | None:
    """Says why the kernel cannot train such networks; None if it can."""
    if dtype != torch.float32:
        return f"trains float32, got {dtype}"
    if n_features > _MOST_FEATURES:
        return f"trains up to {_MOST_FEATURES} features, got n_features={n_features}"
    if hidden_width % 16:
        return f"trains multiples of 16 hidden units, got hidden_width={hidden_width}"
    if batch_size > _MOST_ROWS:
        return f"trains batches of up to {_MOST_ROWS} rows, got batch_size={batch_size}"
    return None
