"""The loop over windows: advance, look, stop, compact. Source: contract section 5."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import torch

from vecparity.engines import Engine, WindowMetrics
from vecparity.ensemble import Ensemble
from vecparity.runs import Run
from vecparity.schedule import Schedule
from vecparity.spec import TaskConfig


@dataclass
class Curve:
    """One run's windows.

    Attributes:
        step: The step at which each window closed.
        loss: Mean of the window's batch losses, in nats.
        accuracy: Mean of the window's batch accuracies.
    """

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    def append(self, step: int, loss: float, accuracy: float) -> None:
        self.step.append(step)
        self.loss.append(loss)
        self.accuracy.append(accuracy)


@dataclass
class Trained:
    """How one run ended.

    Attributes:
        steps: Steps until it stopped; for a diverged run, the step whose loss was not finite.
        test_accuracy: Share of its test set, or None for a diverged run.
        curve: Its windows.
    """

    steps: int
    test_accuracy: float | None
    curve: Curve

    @property
    def diverged(self) -> bool:
        return self.test_accuracy is None


@dataclass(frozen=True)
class WindowClosed:
    """What a window's close shows of the runs that took part.

    Attributes:
        step: At which it closed.
        runs: Indices of the runs, ascending.
        loss: Their mean losses over the window, in nats.
        accuracy: Their mean accuracies over the window.
        num_live: Runs that go on.
    """

    step: int
    runs: Sequence[int]
    loss: Sequence[float]
    accuracy: Sequence[float]
    num_live: int


# Steps that an engine takes at a time: the batches of longer windows would fill the memory.
_MOST_STEPS = 250

OnWindow = Callable[[WindowClosed], None]


def train(
    runs: Sequence[Run],
    config: TaskConfig,
    engine: Engine,
    device: torch.device,
    dtype: torch.dtype,
    on_window: OnWindow,
) -> list[Trained]:
    """Trains all runs together until each has stopped, and tests them.

    Args:
        runs: In any order, of any evaluations.
        config: The settings.
        engine: Computes the windows.
        device: Where.
        dtype: Of parameters, moments and gradients.
        on_window: Told of every window that closes.

    Returns:
        How each run ended, in the order of ``runs``.

    Raises:
        MachineError: A single run does not fit into memory.
    """
    curves = [Curve() for _ in runs]
    good_windows = [0] * len(runs)  # in succession
    trained: dict[int, Trained] = {}
    live = list(range(len(runs)))

    def finish(positions: Sequence[int]) -> None:
        params = ensemble.params[list(positions)]
        scores = engine.test(params, [runs[live[position]].test_set for position in positions], config.hidden_width)
        # The last update of all may overflow with no loss after it to show that.
        for position, is_finite, score in zip(
            positions, params.isfinite().all(dim=1).tolist(), scores.tolist(), strict=True
        ):
            trained[live[position]] = Trained(ensemble.step, score if is_finite else None, curves[live[position]])

    closes = accumulate(config.window_lengths())
    opened, close = 0, next(closes, 0)
    parts: list[WindowMetrics] = []
    with Schedule.of(runs, config.batch_size, _pieces(config.window_lengths()), device) as schedule:
        ensemble = Ensemble.start(runs, config.hidden_width, device, dtype)
        for window in schedule:
            parts.append(engine.advance(ensemble, window))
            if ensemble.step < close:
                continue
            metrics, num_steps = WindowMetrics.add(parts), close - opened
            opened, close, parts = close, next(closes, 0), []
            num_batches = metrics.num_batches.tolist()
            losses = (metrics.loss / metrics.num_batches).tolist()
            accuracies = (metrics.accuracy / metrics.num_batches).tolist()
            closed, kept, finished = [], [], []
            for position, run in enumerate(live):
                if num_batches[position] < num_steps:
                    steps = ensemble.step - num_steps + num_batches[position] + 1
                    trained[run] = Trained(steps, None, curves[run])
                    continue
                closed.append(position)
                curves[run].append(ensemble.step, losses[position], accuracies[position])
                is_good = (
                    ensemble.step >= config.min_steps_before_stop and accuracies[position] >= config.early_stop_acc
                )
                good_windows[run] = good_windows[run] + 1 if is_good else 0
                if good_windows[run] == config.early_stop_windows:
                    finished.append(position)
                else:
                    kept.append(position)
            on_window(
                WindowClosed(
                    step=ensemble.step,
                    runs=[live[position] for position in closed],
                    loss=[losses[position] for position in closed],
                    accuracy=[accuracies[position] for position in closed],
                    num_live=len(kept),
                )
            )
            if finished:
                finish(finished)
            if len(kept) < len(live):
                live = [live[position] for position in kept]
                if not live:
                    break
                ensemble = ensemble.take(torch.tensor(kept))
                schedule.take(torch.tensor(kept))
    if live:
        finish(range(len(live)))
    return [trained[run] for run in range(len(runs))]


def _pieces(window_lengths: Iterable[int]) -> Iterator[int]:
    for length in window_lengths:
        for first in range(0, length, _MOST_STEPS):
            yield min(_MOST_STEPS, length - first)
