"""How a window of steps is computed: one file an engine, one interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from vecparity.task.dataset import Dataset
from vecparity.training.ensemble import Ensemble
from vecparity.training.schedule import Window


@dataclass(frozen=True)
class WindowMetrics:
    """Each run's sums over the steps of a window.

    Attributes:
        loss: Sum of the batch losses, in nats.
        accuracy: Sum of the batch accuracies, each the share of its rows.
        num_batches: Batches in the sums. Fewer than the window's steps where a run's loss ceased to be finite:
            the sums end before that batch, and so did the updates.
    """

    loss: Float64[Tensor, " run"]
    accuracy: Float64[Tensor, " run"]
    num_batches: Int64[Tensor, " run"]

    @classmethod
    def empty(cls, num_runs: int, device: torch.device) -> "WindowMetrics":
        """Room for a kernel to write to."""
        return cls(
            torch.empty(num_runs, dtype=torch.float64, device=device),
            torch.empty(num_runs, dtype=torch.float64, device=device),
            torch.empty(num_runs, dtype=torch.int64, device=device),
        )

    def fetch(self) -> "FetchedMetrics":
        """Starts the copy to the host, in one transfer: behind the engine's work, and before what it is given next."""
        sums = torch.stack([self.loss, self.accuracy, self.num_batches.double()])
        if not sums.is_cuda:
            return FetchedMetrics(sums, None)
        on_host = torch.empty_like(sums, device="cpu", pin_memory=True).copy_(sums, non_blocking=True)
        return FetchedMetrics(on_host, torch.cuda.current_stream(sums.device).record_event())

    def take(self, runs: Int64[Tensor, " kept"]) -> "WindowMetrics":
        """Returns the metrics of some of the runs, in the order given."""
        runs = runs.to(self.loss.device)
        return WindowMetrics(self.loss[runs], self.accuracy[runs], self.num_batches[runs])

    @classmethod
    def add(cls, parts: "Sequence[WindowMetrics]") -> "WindowMetrics":
        """Joins the parts of one window, in order: their sums are added."""
        return cls(
            sum((part.loss for part in parts[1:]), parts[0].loss),
            sum((part.accuracy for part in parts[1:]), parts[0].accuracy),
            sum((part.num_batches for part in parts[1:]), parts[0].num_batches),
        )

    @classmethod
    def concatenate(cls, parts: "list[WindowMetrics]") -> "WindowMetrics":
        """Joins the metrics of different runs over one window."""
        return cls(
            torch.cat([part.loss for part in parts]),
            torch.cat([part.accuracy for part in parts]),
            torch.cat([part.num_batches for part in parts]),
        )


class FetchedMetrics:
    """A window's metrics on their way to the host.

    Args:
        sums: Losses, accuracies and numbers of batches, whole once the event has come.
        copied: The event; None where there is nothing to wait for.
    """

    def __init__(self, sums: Float64[Tensor, "metric run"], copied: torch.cuda.Event | None) -> None:
        self._sums = sums
        self._copied = copied

    def read(self) -> tuple[list[float], list[float], list[int]]:
        """Waits for the copy, and returns each run's sums of losses and of accuracies and its number of batches."""
        if self._copied is not None:
            self._copied.synchronize()
        loss, accuracy, num_batches = self._sums.tolist()
        return loss, accuracy, list(map(int, num_batches))


@runtime_checkable
class Engine(Protocol):
    """Takes an ensemble through windows of steps, and tests networks; decides nothing.

    Attributes:
        name: What it is called.
        chunk_runs: The most runs that train together, where the engine has such a limit. All that it carries from
            one window to the next: the same ensemble and window give the same result, whatever came before.
    """

    name: str
    chunk_runs: int | None

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        """Trains all active runs, in place, through a window (contract section 4).

        A run whose loss is not finite at some batch is frozen there: that batch updates nothing, and the run is
        no longer active.

        Raises:
            MachineError: A single run does not fit into memory.
        """
        ...

    def test(
        self, params: Float[Tensor, "run param"], test_sets: Sequence[Dataset], hidden_width: int
    ) -> Float64[Tensor, " run"]:
        """Returns the share of each run's test set that its network labels right (contract section 5)."""
        ...
