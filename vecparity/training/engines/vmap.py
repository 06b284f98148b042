"""The `vmap` engine: ``torch.func`` through the real network, on any device, in any dtype.

This engine defines the results that other engines must match. ``vmap(grad_and_value(...))`` of one run's loss is traced
into batched operations, once for each number of runs. Replaying the trace costs a fifth of interpreting the function,
so that stacks small enough for a CPU's cache are worthwhile.
"""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import ceil

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.func import functional_call, grad_and_value, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.functional import binary_cross_entropy

from vecparity.errors import MachineError
from vecparity.task.dataset import Dataset, unpack
from vecparity.task.network import build_skeleton, parameter_shapes, unflatten
from vecparity.training.engines.interface import WindowMetrics
from vecparity.training.engines.steps import Gradients, Steps
from vecparity.training.ensemble import Ensemble
from vecparity.training.schedule import Window

# Bytes of parameters, moments, gradients and activations that train together on a CPU. A stack larger than the caches
# is slower per run than a single run.
_CPU_CHUNK_BYTES = 6 << 20
# Rows of a test set predicted at a time: on a CPU so that activations stay in cache, else to launch few kernels, within
# some bytes of hidden units.
_CPU_TEST_ROWS, _TEST_ROWS = 1024, 1 << 16
_TEST_BYTES = 256 << 20

# On CUDA, windows of up to this many steps share one recording.
_CAPTURED_STEPS = 250


class VmapEngine:
    """Trains runs stacked in chunks.

    Args:
        chunk_runs: The maximum number of runs that train together; by default as many as fit a CPU's caches, or all
            of them on CUDA. Halved, with a warning, when memory runs out.
    """

    name = "vmap"

    def __init__(self, chunk_runs: int | None = None) -> None:
        self.chunk_runs = chunk_runs
        self._traced: dict[tuple[object, ...], Gradients] = {}
        self._captured: dict[tuple[object, ...], Steps] = {}

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        """See `Engine.advance`."""
        chunk_runs = self.chunk_runs or _default_chunk_runs(ensemble, window)
        trained: dict[int, WindowMetrics] = {}  # key: the chunk's first run
        pending = _chunks(slice(0, ensemble.num_runs), chunk_runs)
        while pending:
            failed: list[slice] = []
            for runs, outcome in zip(pending, self._advance_chunks(ensemble, window, pending), strict=True):
                if isinstance(outcome, WindowMetrics):
                    trained[runs.start] = outcome
                    continue
                if chunk_runs == 1:
                    reason = str(outcome).splitlines()[0]
                    raise MachineError(f"out of memory with --chunk-runs 1: {reason}") from outcome
                failed.append(runs)
            if failed:
                self._captured.clear()  # recordings of larger chunks hold memory
                self.chunk_runs = chunk_runs = min(chunk_runs, ensemble.num_runs) // 2
                warnings.warn(f"out of memory: continuing with --chunk-runs {chunk_runs}", stacklevel=2)
            pending = [part for runs in failed for part in _chunks(runs, chunk_runs)]
        ensemble.step += window.num_steps
        return WindowMetrics.concatenate([trained[start] for start in sorted(trained)])

    def test(
        self, params: Float[Tensor, "run param"], test_sets: Sequence[Dataset], hidden_width: int
    ) -> Float64[Tensor, " run"]:
        """See `Engine.test`."""
        correct = torch.zeros(len(params), dtype=torch.int64, device=params.device)
        num_rows = [data.num_examples for data in test_sets]
        for data, runs in _by_test_set(test_sets):
            _count_correct(correct, params, runs, data.to(params.device), hidden_width)
        return correct.cpu() / torch.tensor(num_rows, dtype=torch.float64)

    def _advance_chunks(
        self, ensemble: Ensemble, window: Window, chunks: Sequence[slice]
    ) -> list[WindowMetrics | Exception]:
        """Trains each chunk if memory suffices; returns its metrics or its out-of-memory error.

        On a CPU each thread takes a chunk. If threads shared every operation of one chunk, they would spend much of
        their time waiting for each other on matrices this small, and nearly all of it on a busy machine.
        """

        def attempt(runs: slice) -> WindowMetrics | Exception:
            try:
                return self._advance_chunk(ensemble, window, runs)
            except (MemoryError, RuntimeError) as error:
                if not _is_out_of_memory(error):
                    raise
                return error.with_traceback(None)  # its frames would keep earlier allocations alive

        threads = torch.get_num_threads() if ensemble.params.device.type == "cpu" else 1
        if min(threads, len(chunks)) == 1:
            return [attempt(runs) for runs in chunks]
        # Tracing temporarily replaces parts of torch, so it must end before threads start.
        for num_runs in {runs.stop - runs.start for runs in chunks}:
            self._gradients(ensemble, num_runs, window.indices.shape[-1])
        torch.set_num_threads(1)  # threads per operation, in threads started from now on
        try:
            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(attempt, chunks))
        finally:
            torch.set_num_threads(threads)

    def _advance_chunk(self, ensemble: Ensemble, window: Window, runs: slice) -> WindowMetrics:
        """Trains some runs on a copy of their state, written back at the end; a failed chunk changes nothing."""
        num_runs = len(ensemble.params[runs])
        if ensemble.params.device.type != "cuda":
            return self._new_steps(ensemble, window, num_runs, window.num_steps).advance(ensemble, window, runs)
        # A graph serves one number of runs. As runs stop, a new graph is recorded only at every halving of the number
        # at the start, so that a training resumed from a checkpoint rounds as it would have without interruption.
        full = min(self.chunk_runs or ensemble.num_started, ensemble.num_started)
        while full // 2 >= num_runs:
            full //= 2
        num_steps = max(window.num_steps, _CAPTURED_STEPS)
        shapes = (full, num_steps, window.indices.shape[-1], *ensemble.params.shape[1:])
        key = (*shapes, ensemble.params.dtype, ensemble.device)
        if key not in self._captured:
            steps = self._new_steps(ensemble, window, full, num_steps)
            try:
                steps.capture()
            except RuntimeError as error:
                if _is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0]
                warnings.warn(f"CUDA cannot record a step, which makes vmap slower: {reason}", stacklevel=2)
            self._captured[key] = steps
        return self._captured[key].advance(ensemble, window, runs)

    def _new_steps(self, ensemble: Ensemble, window: Window, num_runs: int, num_steps: int) -> Steps:
        batch_size = window.indices.shape[-1]
        return Steps(ensemble, num_runs, num_steps, batch_size, self._gradients(ensemble, num_runs, batch_size))

    def _gradients(self, ensemble: Ensemble, num_runs: int, batch_size: int) -> Gradients:
        """Returns `stacked_gradients`, traced for inputs of these sizes."""
        params, n_features = ensemble.params, ensemble.n_features
        key = (num_runs, batch_size, n_features, ensemble.hidden_width, params.dtype, params.device)
        if key not in self._traced:
            shapes = [(params.shape[1],), (batch_size, n_features), (batch_size,), (batch_size,), ()]
            inputs = [params.new_ones(num_runs, *shape) for shape in shapes]
            self._traced[key] = make_fx(stacked_gradients(n_features, ensemble.hidden_width))(*inputs)
        return self._traced[key]


def stacked_gradients(n_features: int, hidden_width: int) -> Gradients:
    """Builds the function that computes gradients, losses and accuracies from stacked parameters and batches.

    The function takes params [run, param], x [run, batch, feature], y [run, batch], is_row [run, batch] (1.0 where
    a short batch has a row, else 0.0) and lengths [run] (the number of rows), all of one floating dtype. It returns
    grads [run, param], loss [run] in nats and accuracy [run].
    """
    network = build_skeleton(n_features, hidden_width)
    shapes = parameter_shapes(n_features, hidden_width)

    def run_loss(
        params: Float[Tensor, " param"],
        x: Float[Tensor, "batch feature"],
        y: Float[Tensor, " batch"],
        is_row: Float[Tensor, " batch"],
        length: Float[Tensor, ""],
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        p = functional_call(network, unflatten(params, shapes), (x,)).squeeze(-1)
        # torch raises on the cross-entropy of a NaN, so one diverged run would stop all runs.
        is_nan = p.detach().isnan()
        # On probabilities, as in contract section 4: a saturated p passes no gradient.
        loss = binary_cross_entropy(torch.where(is_nan, 0.5, p), y, weight=is_row, reduction="sum") / length
        loss = loss.masked_fill((is_nan & (is_row > 0)).any(), torch.nan)
        correct = ((p >= 0.5) == (y >= 0.5)) * is_row
        return loss, correct.sum() / length

    batched = vmap(grad_and_value(run_loss, has_aux=True))

    def gradients(*inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grads, (loss, accuracy) = batched(*inputs)
        return grads, loss, accuracy

    return gradients


def _by_test_set(test_sets: Sequence[Dataset]) -> list[tuple[Dataset, list[int]]]:
    """Groups the indices of runs that share a test set."""
    grouped: dict[int, list[int]] = {}
    for run, data in enumerate(test_sets):
        grouped.setdefault(id(data), []).append(run)
    return [(test_sets[runs[0]], runs) for runs in grouped.values()]


def _count_correct(
    correct: Int64[Tensor, " run"],
    params: Float[Tensor, "run param"],
    runs: Sequence[int],
    dataset: Dataset,
    hidden_width: int,
) -> None:
    """Adds the numbers of rows that some networks label correctly (contract section 5), without synchronising.

    Each network is evaluated by itself, so that its result does not depend on the others.
    """
    network = build_skeleton(dataset.n_features, hidden_width)
    shapes = parameter_shapes(dataset.n_features, hidden_width)
    num_rows = _CPU_TEST_ROWS
    if params.device.type != "cpu":
        num_rows = max(num_rows, min(_TEST_ROWS, _TEST_BYTES // (hidden_width * params.element_size())))
    for bits, labels in zip(dataset.bits.split(num_rows), dataset.labels.split(num_rows), strict=True):
        x, is_one = unpack(bits, dataset.n_features, params.dtype), labels.bool()
        for run in runs:
            p = functional_call(network, unflatten(params[run], shapes), (x,)).squeeze(-1)
            correct[run] += ((p >= 0.5) == is_one).sum()


def _default_chunk_runs(ensemble: Ensemble, window: Window) -> int:
    if ensemble.params.device.type != "cpu":
        return ensemble.num_runs
    # Three activations of the hidden layer; parameters, two moments, gradients and two scratch tensors.
    values = 3 * window.indices.shape[-1] * ensemble.hidden_width + 6 * ensemble.params.shape[1]
    runs_in_cache = max(1, round(_CPU_CHUNK_BYTES / (values * ensemble.params.element_size())))
    return min(runs_in_cache, ceil(ensemble.num_runs / torch.get_num_threads()))


def _chunks(runs: slice, chunk_runs: int) -> list[slice]:
    return [slice(start, min(start + chunk_runs, runs.stop)) for start in range(runs.start, runs.stop, chunk_runs)]


def _is_out_of_memory(error: Exception) -> bool:
    is_cpu = "DefaultCPUAllocator" in str(error)  # torch has no separate class for this error
    return is_cpu or isinstance(error, MemoryError | torch.OutOfMemoryError)
