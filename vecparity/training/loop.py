"""The loop over windows: advance, look, stop, compact, keep a checkpoint. Source: contract section 5."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import accumulate

import torch
from einops import reduce

from vecparity.errors import InterruptedTrainingError
from vecparity.task.config import TaskConfig
from vecparity.task.network import parameter_shapes, unflatten
from vecparity.training.checkpoints import snapshot
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.engines.interface import Engine
from vecparity.training.ensemble import Ensemble
from vecparity.training.progress import Curve, Progress, Trained, WindowClosed
from vecparity.training.runs import Run
from vecparity.training.schedule import Schedule, pieces

__all__ = ["Curve", "OnWindow", "Trained", "WindowClosed", "train"]

OnWindow = Callable[[WindowClosed], None]


def train(
    runs: Sequence[Run],
    config: TaskConfig,
    engine: Engine,
    device: torch.device,
    dtype: torch.dtype,
    on_window: OnWindow,
    checkpoints: Checkpoints | None = None,
    stop_requested: Callable[[], bool] = lambda: False,
) -> list[Trained]:
    """Trains all runs together until each has stopped, and tests them.

    Args:
        runs: In any order, of any evaluations.
        config: The settings.
        engine: Computes the windows.
        device: Where.
        dtype: Of parameters, moments and gradients.
        on_window: Told of every window that closes; of a training that goes on, first of those that had closed.
        checkpoints: Where the training is kept, and where it goes on from if `Checkpoints.resume` found something: to
            bitwise the end that it would have come to, by the same engine, dtype and, with ``vmap``, number of threads.
        stop_requested: Asked now and then, between pieces of up to 250 steps, whether to keep a checkpoint and stop.

    Returns:
        How each run ended, in the order of ``runs``.

    Raises:
        InterruptedTrainingError: A stop was requested before the end.
        MachineError: A single run does not fit into memory.
    """
    progress = Progress.start(Ensemble.start(runs, config.hidden_width, device, dtype))
    if checkpoints is not None and checkpoints.state is not None:
        snapshot.restore(checkpoints.state, progress, engine)
    for closed in progress.closed_windows(config):
        on_window(closed)

    def between_pieces() -> None:
        if stop_requested():
            raise _interrupted(progress, engine, checkpoints)
        if checkpoints is not None and checkpoints.is_due():
            checkpoints.save(snapshot.of_progress(progress, engine))

    if progress.live:
        _go_on(progress, runs, config, engine, on_window, between_pieces)
        if checkpoints is not None:
            checkpoints.save(snapshot.of_progress(progress, engine))
    return [progress.trained[run] for run in range(len(runs))]


def _go_on(
    progress: Progress,
    runs: Sequence[Run],
    config: TaskConfig,
    engine: Engine,
    on_window: OnWindow,
    between_pieces: Callable[[], None],
) -> None:
    first_step, device = progress.ensemble.step, progress.ensemble.params.device
    live = [runs[run] for run in progress.live]
    closes = set(accumulate(config.window_lengths()))
    untold: list[WindowClosed] = []

    def tell() -> None:
        while untold:
            on_window(untold.pop(0))

    with (
        Schedule.of(live, config.batch_size, pieces(config, first_step), device, first_step) as schedule,
        ExitStack() as at_the_end,
    ):
        at_the_end.callback(tell)
        for window in schedule:
            metrics = engine.advance(progress.ensemble, window)
            tell()
            progress.add(metrics)
            if progress.ensemble.step in closes:
                closed, kept, finished = progress.close(config)
                untold.append(closed)
                if not _computes_meanwhile(device):
                    tell()
                _finish(progress, finished, runs, engine)
                if len(kept) < len(progress.live):
                    progress.take(kept)
                    if not kept:
                        return
                    schedule.take(torch.tensor(kept))
            between_pieces()
    _finish(progress, range(len(progress.live)), runs, engine)
    progress.take([])


def _computes_meanwhile(device: torch.device) -> bool:
    """Tells if an engine trains on by itself once started: followers then hear of a window while the next trains."""
    return device.type != "cpu"


def _finish(progress: Progress, positions: Sequence[int], runs: Sequence[Run], engine: Engine) -> None:
    """Tests the runs at some positions, at their end."""
    if not positions:
        return
    ensemble = progress.ensemble
    params, finished = ensemble.params[list(positions)], [progress.live[position] for position in positions]
    scores = engine.test(params, [runs[run].test_set for run in finished], ensemble.hidden_width)
    # The last update of all may overflow with no loss after it to show that.
    are_finite = params.isfinite().all(dim=1, keepdim=True)
    weights = unflatten(params, parameter_shapes(ensemble.n_features, ensemble.hidden_width))["0.weight"]
    first_layers = reduce(weights.abs().double(), "run unit feature -> run feature", "mean")
    told = torch.cat([are_finite, first_layers], dim=1).tolist()
    for run, (is_finite, *first_layer), score in zip(finished, told, scores.tolist(), strict=True):
        ended = (score, progress.curves[run], first_layer) if is_finite else (None, progress.curves[run], None)
        progress.trained[run] = Trained(ensemble.step, *ended)


def _interrupted(progress: Progress, engine: Engine, checkpoints: Checkpoints | None) -> InterruptedTrainingError:
    """Keeps what there is, and says how to go on."""
    said = f"interrupted at step {progress.ensemble.step}"
    if checkpoints is None:
        return InterruptedTrainingError(f"{said}: nothing is kept without --checkpoint DIR", resumable=False)
    checkpoints.save(snapshot.of_progress(progress, engine))
    if checkpoints.kept_step is None:
        where = checkpoints.directory
        return InterruptedTrainingError(f"{said}: nothing could be kept in {where}", resumable=False)
    go_on = f"--checkpoint {checkpoints.directory} --resume goes on from step {checkpoints.kept_step}"
    return InterruptedTrainingError(f"{said}: {go_on}", resumable=True)
