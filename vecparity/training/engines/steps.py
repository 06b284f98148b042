"""The `vmap` engine's step on buffers with fixed addresses, so that CUDA can replay the step as a graph."""

from collections.abc import Callable
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor

from vecparity.task.dataset import unpack
from vecparity.training.adamw import adamw_, coefficients
from vecparity.training.engines.interface import WindowMetrics
from vecparity.training.ensemble import Ensemble
from vecparity.training.schedule import Window

Gradients = Callable[..., tuple[Tensor, Tensor, Tensor]]


class Steps:
    """Buffers for the state of some runs and the batches of a window, and the training step on these buffers.

    Buffers hold everything that a step needs, including the step's index, so the host neither decides nor waits during
    a window. If there are fewer runs than ``num_runs``, the rest is frozen padding.

    Args:
        ensemble: An ensemble with the shapes, dtype and device to train.
        num_runs: The maximum number of runs.
        num_steps: The maximum number of steps in a window.
        batch_size: Rows in a full batch.
        gradients: See `vecparity.training.engines.vmap.stacked_gradients`.
    """

    def __init__(
        self, ensemble: Ensemble, num_runs: int, num_steps: int, batch_size: int, gradients: Gradients
    ) -> None:
        new = ensemble.params.new_zeros
        self._gradients = gradients
        self._n_features = ensemble.n_features
        self._params, self._exp_avg, self._exp_avg_sq = new(3, num_runs, ensemble.params.shape[1])
        self._scratch = new(2, num_runs, ensemble.params.shape[1])
        self._active = new(num_runs, dtype=torch.bool)
        shape = (num_steps, num_runs, batch_size)
        self._bits = new(*shape, ensemble.data.bits.shape[1], dtype=torch.int64)
        self._y, self._is_row = new(2, *shape)
        self._lengths = new(num_steps, num_runs) + 1
        half = new(num_runs, dtype=torch.float64) + 0.5
        self._by = coefficients(half, half, half, half, 0, num_steps, ensemble.params.dtype)
        self._step = new(1, dtype=torch.int64)
        self._sums = new(2, num_runs, dtype=torch.float64)
        self._num_batches = new(num_runs, dtype=torch.int64)
        self._graph: torch.cuda.CUDAGraph | None = None

    def capture(self) -> None:
        """Records a step with CUDA, for `advance` to replay from now on.

        Raises:
            RuntimeError: CUDA cannot record the step.
        """
        aside = torch.cuda.Stream(self._params.device)
        aside.wait_stream(torch.cuda.current_stream(self._params.device))
        with torch.cuda.stream(aside):
            for _ in range(3):  # finish first-use allocations and choices before recording
                self._step.zero_()
                self._make_step()
        torch.cuda.current_stream(self._params.device).wait_stream(aside)
        self._step.zero_()
        graph = torch.cuda.CUDAGraph()
        # Another thread may allocate during the recording, as the schedule's does for the next window.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            self._make_step()
        self._graph = graph

    def advance(self, ensemble: Ensemble, window: Window, runs: slice) -> WindowMetrics:
        """Trains some of an ensemble's runs through a window, changing the ensemble's state only at the end."""
        num_runs = self._load(ensemble, window, runs)
        for _ in range(window.num_steps):
            if self._graph is None:
                self._make_step()
            else:
                self._graph.replay()
        ensemble.params[runs], ensemble.exp_avg[runs], ensemble.exp_avg_sq[runs], ensemble.active[runs] = (
            state[:num_runs] for state in (self._params, self._exp_avg, self._exp_avg_sq, self._active)
        )
        loss, accuracy = self._sums[:, :num_runs].clone()
        return WindowMetrics(loss, accuracy, self._num_batches[:num_runs].clone())

    def _load(self, ensemble: Ensemble, window: Window, runs: slice) -> int:
        device, dtype = ensemble.params.device, ensemble.params.dtype
        num_runs, num_steps = len(ensemble.params[runs]), window.num_steps
        for static, state in (
            (self._params, ensemble.params),
            (self._exp_avg, ensemble.exp_avg),
            (self._exp_avg_sq, ensemble.exp_avg_sq),
        ):
            static[:num_runs] = state[runs]
        self._active.zero_()
        self._active[:num_runs] = ensemble.active[runs]
        by = ensemble.coefficients(num_steps, runs)
        for name, buffer in vars(self._by).items():
            if buffer.dim() == 2:
                buffer[:num_runs] = getattr(by, name)
            else:
                buffer[:num_steps, :num_runs] = getattr(by, name)

        first_row = rearrange(ensemble.first_row[runs], "run -> run 1 1")
        rows = rearrange(window.indices[runs].to(device) + first_row, "run step batch -> step run batch")
        lengths = rearrange(window.lengths[runs].to(device), "run step -> step run 1")
        self._bits[:num_steps, :num_runs] = ensemble.data.bits[rows]
        self._y[:num_steps, :num_runs] = ensemble.data.labels[rows].to(dtype)
        self._is_row[:num_steps, :num_runs] = (torch.arange(rows.shape[-1], device=device) < lengths).to(dtype)
        self._lengths[:num_steps, :num_runs] = lengths[..., 0].to(dtype)
        for sums in (self._step, self._sums, self._num_batches):
            sums.zero_()
        return num_runs

    def _make_step(self) -> None:
        bits, y, is_row, lengths, step_size, root_correction2 = (
            of_steps.index_select(0, self._step)
            for of_steps in (
                *(self._bits, self._y, self._is_row, self._lengths),
                *(self._by.step_size, self._by.root_correction2),
            )
        )
        x = unpack(bits[0], self._n_features, self._params.dtype)
        grads, loss, accuracy = self._gradients(self._params, x, y[0], is_row[0], lengths[0])
        self._active &= loss.isfinite()
        by = replace(self._by, step_size=step_size, root_correction2=root_correction2)
        active = rearrange(self._active, "run -> run 1")
        adamw_(self._params, self._exp_avg, self._exp_avg_sq, grads, by, 0, active, self._scratch)
        self._sums += torch.where(self._active, torch.stack([loss, accuracy]), 0)
        self._num_batches += self._active
        self._step += 1
