"""The `native` engine: a C++ kernel that adds up weights at set bits, one run per thread, on the CPU.

The kernel (``kernel/``) takes a run through a whole window while its state stays in cache. A run's result depends on
the run alone: not on other runs, their order, the threads, where windows are cut, or the instruction set.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from vecparity import native
from vecparity.data import Dataset
from vecparity.engines import WindowMetrics
from vecparity.ensemble import Ensemble
from vecparity.errors import UsageError
from vecparity.schedule import Window


class NativeEngine:
    """Trains runs in parallel, each on one thread.

    Args:
        threads: The most threads; by default as many as torch uses.
        level: The instruction set, one of `native.levels`; by default the best.

    Raises:
        UsageError: The kernel was not built, or lacks that instruction set here.
    """

    name = "native"

    def __init__(self, threads: int | None = None, level: str | None = None) -> None:
        self._kernel = native.extension()
        levels = native.levels()
        if level is not None and level not in levels:
            raise UsageError(f"level must be one of {', '.join(levels)}, got {level!r}")
        self.threads = threads or torch.get_num_threads()
        self.level = level or levels[0]

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        """See `Engine.advance`.

        Raises:
            UsageError: The ensemble is not of float32 on the CPU.
        """
        params = ensemble.params
        if params.device.type != "cpu" or params.dtype != torch.float32:
            raise UsageError(f"the native engine trains float32 on the CPU, got {params.dtype} on {params.device}")
        metrics = WindowMetrics(
            loss=torch.empty(ensemble.num_runs, dtype=torch.float64),
            accuracy=torch.empty(ensemble.num_runs, dtype=torch.float64),
            num_batches=torch.empty(ensemble.num_runs, dtype=torch.int64),
        )
        state = (ensemble.params, ensemble.exp_avg, ensemble.exp_avg_sq, ensemble.active)
        hyperparameters = (ensemble.lr, ensemble.wd, ensemble.beta1, ensemble.beta2)
        rows = (ensemble.first_row, ensemble.used, ensemble.data.bits, ensemble.data.labels)
        batches = (window.indices, window.lengths)
        outputs = (metrics.loss, metrics.accuracy, metrics.num_batches)
        arrays = [tensor.numpy() for tensor in (*state, *hyperparameters, *rows, *batches, *outputs)]
        self._kernel.advance(
            *arrays, ensemble.step, ensemble.n_features, ensemble.hidden_width, self.threads, self.level
        )
        ensemble.step += window.num_steps
        return metrics

    def test(
        self, params: Float[Tensor, "run param"], test_sets: Sequence[Dataset], hidden_width: int
    ) -> Float64[Tensor, " run"]:
        """See `Engine.test`."""
        correct = torch.empty(len(params), dtype=torch.int64)
        bits, labels = ([getattr(data, name).numpy() for data in test_sets] for name in ("bits", "labels"))
        n_features = test_sets[0].n_features
        self._kernel.count_correct(
            params.numpy(), bits, labels, correct.numpy(), n_features, hidden_width, self.threads, self.level
        )
        return correct / torch.tensor([data.num_examples for data in test_sets], dtype=torch.float64)
