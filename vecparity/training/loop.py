"""The loop over windows: advance, look, stop, compact, keep a checkpoint. Source: contract section 5."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import accumulate, islice, pairwise

import torch
from einops import reduce

from vecparity.errors import InterruptedTrainingError
from vecparity.task.config import TaskConfig
from vecparity.task.network import parameter_shapes, unflatten
from vecparity.training.checkpoints import snapshot
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.engines.interface import Engine, WindowMetrics
from vecparity.training.ensemble import Ensemble
from vecparity.training.progress import Curve, Progress, Trained, UnreadWindow, WindowClosed
from vecparity.training.runs import Run
from vecparity.training.schedule import Schedule, Window, pieces

__all__ = ["Curve", "OnWindow", "Trained", "WindowClosed", "train"]

OnWindow = Callable[[WindowClosed], None]


def train(
    runs: Sequence[Run],
    config: TaskConfig,
    engine: Engine,
    devices: Sequence[torch.device],
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
        devices: Where: the runs are shared out among them, in order. A run's result depends on its device's kind only,
            but for ``vmap``, which rounds by the number of runs that are together.
        dtype: Of parameters, moments and gradients.
        on_window: Told of every window that closes; of a training that goes on, first of those that had closed.
        checkpoints: Where the training is kept, and where it goes on from if `Checkpoints.resume` found something: to
            bitwise the end that it would have come to, by the same engine, dtype and, with ``vmap``, number of threads
            and of devices.
        stop_requested: Asked now and then, between pieces of up to 250 steps, whether to keep a checkpoint and stop.

    Returns:
        How each run ended, in the order of ``runs``.

    Raises:
        InterruptedTrainingError: A stop was requested before the end.
        MachineError: A single run does not fit into memory.
    """
    parts = _shares(runs, len(devices))
    progress = Progress.start(
        [
            Ensemble.start(part, config.hidden_width, device, dtype)
            for part, device in zip(parts, devices, strict=False)  # of more devices than runs some are not needed
        ]
    )
    if checkpoints is not None and checkpoints.state is not None:
        snapshot.restore(checkpoints.state, progress, engine)
    for closed in progress.closed_windows(config):
        on_window(closed)
    if progress.live:
        _Training(progress, runs, config, engine, on_window, checkpoints, stop_requested).go_on()
        if checkpoints is not None:
            checkpoints.save(snapshot.of_progress(progress, engine))
    return [progress.trained[run] for run in range(len(runs))]


class _Training:
    """Takes a training to its end.

    The host decides only between pieces of windows. A GPU works through what it has been given meanwhile: so a window
    that cannot stop any run is read once the next is on its way, and told of then. The GPU never waits for the host
    but where a run may stop.
    """

    def __init__(
        self,
        progress: Progress,
        runs: Sequence[Run],
        config: TaskConfig,
        engine: Engine,
        on_window: OnWindow,
        checkpoints: Checkpoints | None,
        stop_requested: Callable[[], bool],
    ) -> None:
        self._progress = progress
        self._runs = runs
        self._config = config
        self._engine = engine
        self._on_window = on_window
        self._checkpoints = checkpoints
        self._stop_requested = stop_requested
        self._computes_meanwhile = _computes_meanwhile(progress.parts[0].device)
        self._schedules: list[Schedule] = []
        self._unread: UnreadWindow | None = None
        self._untold: list[WindowClosed] = []

    def go_on(self) -> None:
        progress, config = self._progress, self._config
        closes = set(accumulate(config.window_lengths()))
        with ExitStack() as stack:
            first_step, threads = progress.step, max(1, torch.get_num_threads() // len(progress.parts))
            for part, runs in zip(progress.parts, self._live_by_part(), strict=True):
                lengths = pieces(config, first_step)
                schedule = Schedule.of(runs, config.batch_size, lengths, part.device, first_step, threads)
                self._schedules.append(stack.enter_context(schedule))
            stack.callback(self._tell)
            stack.callback(self._read)
            for windows in zip(*self._schedules, strict=True):
                progress.add(self._advance(windows))
                self._read()
                self._tell()
                if progress.step in closes:
                    may_stop = progress.may_stop(config, progress.step)
                    self._unread = progress.close()
                    if may_stop or not self._computes_meanwhile:
                        self._read()
                    if not self._computes_meanwhile:
                        self._tell()
                if progress.live:
                    self._between_pieces()
                if not progress.live:
                    return
            self._read()
            self._finish(range(len(progress.live)))
            progress.take([])

    def _advance(self, windows: Sequence[Window]) -> list[WindowMetrics]:
        metrics = []
        for part, window in zip(self._progress.parts, windows, strict=True):
            if part.num_runs == 0:
                metrics.append(WindowMetrics.empty(0, part.device))
                continue
            with _current(part.device):
                metrics.append(self._engine.advance(part, window))
        return metrics

    def _read(self) -> None:
        """Reads the window that closed last, if that is still to be done, and lets go of runs that ended in it."""
        if self._unread is None:
            return
        progress, unread = self._progress, self._unread
        self._unread = None
        closed, kept, finished = progress.read(unread, self._config)
        self._untold.append(closed)
        assert not finished or unread.step == progress.step
        self._finish(finished)
        if len(kept) < len(progress.live):
            of_parts = progress.split(kept)
            progress.take(kept)
            if kept:
                for schedule, positions in zip(self._schedules, of_parts, strict=True):
                    schedule.take(torch.tensor(positions, dtype=torch.int64))

    def _tell(self) -> None:
        while self._untold:
            self._on_window(self._untold.pop(0))

    def _between_pieces(self) -> None:
        """Keeps a checkpoint where it is time to, and stops where that is wanted."""
        checkpoints, is_wanted = self._checkpoints, self._stop_requested()
        if is_wanted or (checkpoints is not None and checkpoints.is_due()):
            self._read()
        if is_wanted and self._progress.live:
            raise _interrupted(self._progress, self._engine, checkpoints)
        if checkpoints is not None and checkpoints.is_due():
            checkpoints.save(snapshot.of_progress(self._progress, self._engine))

    def _finish(self, positions: Sequence[int]) -> None:
        """Tests the runs at some positions, at their end."""
        progress, live = self._progress, iter(self._progress.live)
        for part, own in zip(progress.parts, progress.split(positions), strict=True):
            of_part = list(islice(live, part.num_runs))
            if not own:
                continue
            params, finished = part.params[own], [of_part[position] for position in own]
            with _current(part.device):
                scores = self._engine.test(params, [self._runs[run].test_set for run in finished], part.hidden_width)
            # The last update of all may overflow with no loss after it to show that.
            are_finite = params.isfinite().all(dim=1, keepdim=True)
            weights = unflatten(params, parameter_shapes(part.n_features, part.hidden_width))["0.weight"]
            first_layers = reduce(weights.abs().double(), "run unit feature -> run feature", "mean")
            told = torch.cat([are_finite, first_layers], dim=1).tolist()
            for run, (is_finite, *first_layer), score in zip(finished, told, scores.tolist(), strict=True):
                ended = (score, progress.curves[run], first_layer) if is_finite else (None, progress.curves[run], None)
                progress.trained[run] = Trained(part.step, *ended)

    def _live_by_part(self) -> list[list[Run]]:
        live = iter(self._progress.live)
        return [[self._runs[run] for run in islice(live, part.num_runs)] for part in self._progress.parts]


def _shares(runs: Sequence[Run], count: int) -> list[Sequence[Run]]:
    """Shares runs out, in order, into as equal parts as can be, none of them empty."""
    count = min(count, len(runs))
    bounds = [len(runs) * index // count for index in range(count + 1)]
    return [runs[begin:end] for begin, end in pairwise(bounds)]


def _computes_meanwhile(device: torch.device) -> bool:
    """Tells if an engine trains on by itself once started."""
    return device.type != "cpu"


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Makes a GPU the current one, as kernels' launches and recordings want it."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _interrupted(progress: Progress, engine: Engine, checkpoints: Checkpoints | None) -> InterruptedTrainingError:
    """Keeps what there is, and says how to go on."""
    said = f"interrupted at step {progress.step}"
    if checkpoints is None:
        return InterruptedTrainingError(f"{said}: nothing is kept without --checkpoint DIR", resumable=False)
    checkpoints.save(snapshot.of_progress(progress, engine))
    if checkpoints.kept_step is None:
        where = checkpoints.directory
        return InterruptedTrainingError(f"{said}: nothing could be kept in {where}", resumable=False)
    go_on = f"--checkpoint {checkpoints.directory} --resume goes on from step {checkpoints.kept_step}"
    return InterruptedTrainingError(f"{said}: {go_on}", resumable=True)
