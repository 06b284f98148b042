"""The state of a training between two pieces of windows: everything that the loop reads and decides.

Source: contract section 5.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, islice

import torch

from vecparity.task.config import TaskConfig
from vecparity.training.curve import Curve
from vecparity.training.engines.interface import FetchedMetrics, WindowMetrics
from vecparity.training.ensemble import Ensemble


@dataclass
class Trained:
    """The outcome of one run.

    Attributes:
        steps: Steps until the run stopped; for a diverged run, the step whose loss was not finite.
        test_accuracy: Share of the test set labelled correctly; None for a diverged run.
        curve: The run's windows.
        first_layer: Each feature's final |weight|, averaged over hidden units; None for a diverged run.
        fresh_accuracy: Share of the run's ``fresh_test_set`` labelled correctly; None if it diverged or has none.
    """

    steps: int
    test_accuracy: float | None
    curve: Curve
    first_layer: list[float] | None
    fresh_accuracy: float | None = None

    @property
    def diverged(self) -> bool:
        return self.test_accuracy is None


@dataclass(frozen=True)
class WindowClosed:
    """The metrics of a window at its close, for the runs that took part.

    Attributes:
        step: The step at which the window closed.
        runs: Indices of the runs, ascending.
        loss: Mean loss of each run over the window, in nats.
        accuracy: Mean accuracy of each run over the window.
        live: Indices of the runs that continue, ascending, including runs that have yet to begin.
        is_shown_again: True if the window closed before an interruption and is replayed.
    """

    step: int
    runs: Sequence[int]
    loss: Sequence[float]
    accuracy: Sequence[float]
    live: Sequence[int]
    is_shown_again: bool = field(default=False, compare=False)

    @property
    def num_live(self) -> int:
        return len(self.live)


@dataclass(frozen=True)
class UnreadWindow:
    """A closed window whose metrics are on their way to the host.

    Attributes:
        opened: The step at which the window began.
        step: The step at which the window closed.
        parts: The metrics of each part of the runs.
    """

    opened: int
    step: int
    parts: list[FetchedMetrics]


@dataclass
class Progress:
    """The state of a training between two pieces of windows.

    Attributes:
        parts: The runs still in training: one ensemble per device, in order. A part without runs makes no more steps.
            The step also determines the position in each ordering.
        live: Indices of the runs still in training, ascending.
        opened: The step at which the open window began.
        sums: The sums of the open window so far, for each part; None at the window's beginning.
        good_windows: Each run's current number of consecutive windows that count towards stopping.
        curves: Each run's closed windows.
        trained: The outcomes of the runs that have ended.
    """

    parts: list[Ensemble]
    live: list[int]
    opened: int
    sums: list[WindowMetrics] | None
    good_windows: list[int]
    curves: list[Curve]
    trained: dict[int, Trained]

    @classmethod
    def start(cls, parts: Sequence[Ensemble]) -> "Progress":
        """Returns the state before the first step."""
        runs = range(sum(part.num_runs for part in parts))
        return cls(list(parts), list(runs), 0, None, [0 for _ in runs], [Curve() for _ in runs], {})

    @property
    def step(self) -> int:
        return max(part.step for part in self.parts)

    def live_by_part(self) -> list[list[int]]:
        """Returns the indices of the live runs, grouped by part."""
        live = iter(self.live)
        return [list(islice(live, part.num_runs)) for part in self.parts]

    def split(self, positions: Sequence[int]) -> list[list[int]]:
        """Groups ascending positions in ``live`` by part, and makes them relative to the part's first run."""
        ends = list(accumulate(part.num_runs for part in self.parts))
        return [
            [position - begin for position in positions if begin <= position < end]
            for begin, end in zip([0, *ends], ends, strict=False)
        ]

    def add(self, piece: list[WindowMetrics]) -> None:
        """Adds the metrics of a piece, one per part, to the open window."""
        self.sums = piece if self.sums is None else list(map(WindowMetrics.add, zip(self.sums, piece, strict=True)))

    def close(self) -> UnreadWindow:
        """Closes the open window and returns it for `read`; reading may be delayed if no run `may_stop`."""
        assert self.sums is not None
        closed = UnreadWindow(self.opened, self.step, [sums.fetch() for sums in self.sums])
        self.opened, self.sums = self.step, None
        return closed

    def may_stop(self, config: TaskConfig, step: int) -> bool:
        """Tells whether any run could stop at the window that closes at ``step``, once all earlier windows are read."""
        longest = max((self.good_windows[run] for run in self.live), default=0)
        return count_good_windows(config, step, config.early_stop_acc, longest) >= config.early_stop_windows

    def read(self, closed: UnreadWindow, config: TaskConfig) -> tuple[WindowClosed, list[int], list[int]]:
        """Waits for a closed window's metrics, and decides which runs continue.

        Returns:
            The window's metrics, the positions in ``live`` of the runs that continue, and the positions of the runs
            that stop here. Diverged runs are in neither list.
        """
        num_steps = closed.step - closed.opened
        losses, accuracies, num_batches = (
            list(chain.from_iterable(of_parts))
            for of_parts in zip(*map(FetchedMetrics.read, closed.parts), strict=True)
        )
        remaining: list[int] = []
        finished: list[int] = []
        for position, run in enumerate(self.live):
            if num_batches[position] < num_steps:
                self.trained[run] = Trained(closed.opened + num_batches[position] + 1, None, self.curves[run], None)
                continue
            loss, accuracy = losses[position] / num_steps, accuracies[position] / num_steps
            self.curves[run].append(closed.step, loss, accuracy)
            self.good_windows[run] = count_good_windows(config, closed.step, accuracy, self.good_windows[run])
            is_finished = self.good_windows[run] == config.early_stop_windows
            (finished if is_finished else remaining).append(position)
        shown = sorted(remaining + finished)
        return (
            WindowClosed(
                step=closed.step,
                runs=[self.live[position] for position in shown],
                loss=[self.curves[self.live[position]].loss[-1] for position in shown],
                accuracy=[self.curves[self.live[position]].accuracy[-1] for position in shown],
                live=[self.live[position] for position in remaining],
            ),
            remaining,
            finished,
        )

    def take(self, selected: Sequence[int]) -> None:
        """Keeps only the runs at some ascending positions."""
        own = [torch.tensor(positions, dtype=torch.int64) for positions in self.split(selected)]
        self.live = [self.live[position] for position in selected]
        self.parts = [part.take(runs) for part, runs in zip(self.parts, own, strict=True)]
        if self.sums is not None:
            self.sums = [sums.take(runs) for sums, runs in zip(self.sums, own, strict=True)]

    def closed_windows(self, config: TaskConfig) -> Iterator[WindowClosed]:
        """Yields the metrics of every closed window again, in order."""
        good_windows = [0] * len(self.curves)
        for window, step in enumerate(accumulate(config.window_lengths())):
            if step > self.opened:
                return
            runs = [run for run, curve in enumerate(self.curves) if window < len(curve.step)]
            loss = [self.curves[run].loss[window] for run in runs]
            accuracy = [self.curves[run].accuracy[window] for run in runs]
            for run, share in zip(runs, accuracy, strict=True):
                good_windows[run] = count_good_windows(config, step, share, good_windows[run])
            live = [run for run in runs if good_windows[run] < config.early_stop_windows]
            yield WindowClosed(step, runs, loss, accuracy, live, is_shown_again=True)


def count_good_windows(config: TaskConfig, step: int, accuracy: float, before: int) -> int:
    """Returns how many windows in sequence count towards stopping, at the close of one and given those before it."""
    is_good = step >= config.min_steps_before_stop and accuracy >= config.early_stop_acc
    return before + 1 if is_good else 0
