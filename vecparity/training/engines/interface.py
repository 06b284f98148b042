"""The interface of all engines, which compute windows of steps, and the metrics that they return."""

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
        num_batches: Batches in the sums. Fewer than the window's steps if a run's loss became infinite or NaN: the sums
            and the updates end before that batch.
    """

    loss: Float64[Tensor, " run"]
    accuracy: Float64[Tensor, " run"]
    num_batches: Int64[Tensor, " run"]

    @classmethod
    def empty(cls, num_runs: int, device: torch.device) -> "WindowMetrics":
        """Returns uninitialised metrics for a kernel to write to."""
        return cls(
            torch.empty(num_runs, dtype=torch.float64, device=device),
            torch.empty(num_runs, dtype=torch.float64, device=device),
            torch.empty(num_runs, dtype=torch.int64, device=device),
        )

    def fetch(self) -> "FetchedMetrics":
        """Starts the copy to the host, in one transfer, queued after the engine's current work and before its next."""
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
        """Adds the sums of the parts of one window, in order."""
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
        sums: Losses, accuracies and numbers of batches, complete once the event has occurred.
        copied: The event; None if there is nothing to wait for.
    """

    def __init__(self, sums: Float64[Tensor, "metric run"], copied: torch.cuda.Event | None) -> None:
        self._sums = sums
        self._copied = copied

    def read(self) -> tuple[list[float], list[float], list[int]]:
        """Waits for the copy; returns each run's sum of losses, sum of accuracies and number of batches."""
        if self._copied is not None:
            self._copied.synchronize()
        loss, accuracy, num_batches = self._sums.tolist()
        return loss, accuracy, list(map(int, num_batches))


@runtime_checkable
class Engine(Protocol):
    """An engine takes an ensemble through windows of steps, and tests networks; it makes no decisions.

    Attributes:
        name: The engine's name.
        chunk_runs: The most runs that train together, or None if the engine has no such limit. This is the only state
            carried between windows: the same ensemble and window give the same result, whatever came before.
    """

    name: str
    chunk_runs: int | None

    def advance(self, ensemble: Ensemble, window: Window) -> WindowMetrics:
        """Trains all active runs, in place, through a window (contract section 4).

        A run is frozen at the first batch whose loss is not finite: that batch updates nothing, and the run is no
        longer active.

        Raises:
            MachineError: A single run does not fit into memory.
        """
        ...

    def test(
        self, params: Float[Tensor, "run param"], test_sets: Sequence[Dataset], hidden_width: int
    ) -> Float64[Tensor, " run"]:
        """Returns the share of each run's test set that its network labels correctly (contract section 5)."""
        ...
