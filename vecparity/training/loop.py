"""The loop over windows: advance, read, stop, compact, save a checkpoint. Source: contract section 5."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from itertools import accumulate, pairwise

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor

from vecparity.errors import InterruptedTrainingError
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.task.network import parameter_shapes, unflatten
from vecparity.training.checkpoints import snapshot
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.engines.interface import Engine, WindowMetrics
from vecparity.training.ensemble import Ensemble
from vecparity.training.progress import Progress, Trained, UnreadWindow, WindowClosed
from vecparity.training.runs import Run
from vecparity.training.schedule import Schedule, Window, pieces

__all__ = ["OnWindow", "Trained", "WindowClosed", "train"]

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
    *,
    reads_later: bool | None = None,
) -> list[Trained]:
    """Trains all runs together until each has stopped, and tests them.

    Args:
        runs: In any order, of any evaluations.
        config: The settings.
        engine: Computes the windows.
        devices: The devices among which the runs are divided, in order. A run's result depends only on the kind of its
            device, except with ``vmap``, whose rounding depends on the number of runs stacked together.
        dtype: The dtype of parameters, moments and gradients.
        on_window: Called for every window that closes; a resumed training first replays the windows closed earlier.
        checkpoints: The checkpoints to save to, and to resume from if `Checkpoints.resume` found a state. A resumed
            training ends bitwise as it would have without the interruption, given the same engine and dtype and, with
            ``vmap``, the same numbers of threads and devices.
        stop_requested: Called between pieces of up to 250 steps; if true, saves a checkpoint and stops.
        reads_later: True to submit the next piece before a window is read, if no run can stop at that window. The
            results are the same. By default for devices that compute while the host continues: all but the CPU.

    Returns:
        The outcome of each run, in the order of ``runs``.

    Raises:
        InterruptedTrainingError: A stop was requested before the end.
        MachineError: A single run does not fit into memory.
    """
    parts = _shares(runs, len(devices))
    progress = Progress.start(
        [
            Ensemble.start(part, config.hidden_width, device, dtype)
            for part, device in zip(parts, devices, strict=False)  # surplus devices stay unused
        ]
    )
    if checkpoints is not None and checkpoints.state is not None:
        snapshot.restore(checkpoints.state, progress, engine)
    for closed in progress.closed_windows(config):
        on_window(closed)
    if progress.live:
        if reads_later is None:
            reads_later = devices[0].type != "cpu"
        _Training(progress, runs, config, engine, on_window, checkpoints, stop_requested, reads_later).go_on()
        if checkpoints is not None and checkpoints.keeps_end:
            checkpoints.save(snapshot.of_progress(progress, engine))
    return [progress.trained[run] for run in range(len(runs))]


class _Training:
    """A training from its current state to its end.

    The host decides only between pieces of windows, while a GPU computes the pieces already submitted. If no run can
    stop at a window, the host submits the next piece before it reads and reports the window. The GPU therefore waits
    for the host only at windows where a run may stop.
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
        reads_later: bool,
    ) -> None:
        self._progress = progress
        self._runs = runs
        self._config = config
        self._engine = engine
        self._on_window = on_window
        self._checkpoints = checkpoints
        self._stop_requested = stop_requested
        self._reads_later = reads_later
        self._schedules: list[Schedule] = []
        self._unread: UnreadWindow | None = None
        self._untold: list[WindowClosed] = []

    def go_on(self) -> None:
        progress, config = self._progress, self._config
        closes = set(accumulate(config.window_lengths()))
        with ExitStack() as stack:
            first_step, threads = progress.step, max(1, torch.get_num_threads() // len(progress.parts))
            for part, live in zip(progress.parts, progress.live_by_part(), strict=True):
                runs, lengths = [self._runs[run] for run in live], pieces(config, first_step)
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
                    if may_stop or not self._reads_later:
                        self._read()
                    if not self._reads_later:
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
        """Reads the last closed window unless it was read already, and drops the runs that ended in it."""
        if self._unread is None:
            return
        progress, unread = self._progress, self._unread
        self._unread = None
        closed, remaining, finished = progress.read(unread, self._config)
        self._untold.append(closed)
        assert not finished or unread.step == progress.step
        self._finish(finished)
        if len(remaining) < len(progress.live):
            of_parts = progress.split(remaining)
            progress.take(remaining)
            if remaining:
                for schedule, positions in zip(self._schedules, of_parts, strict=True):
                    schedule.take(torch.tensor(positions, dtype=torch.int64))

    def _tell(self) -> None:
        while self._untold:
            self._on_window(self._untold.pop(0))

    def _between_pieces(self) -> None:
        """Saves a checkpoint if one is due, and stops if a stop was requested."""
        checkpoints, is_wanted = self._checkpoints, self._stop_requested()
        if is_wanted or (checkpoints is not None and checkpoints.is_due()):
            self._read()
        if is_wanted and self._progress.live:
            raise _interrupted(self._progress, self._engine, checkpoints)
        if checkpoints is not None and checkpoints.is_due():
            checkpoints.save(snapshot.of_progress(self._progress, self._engine))

    def _finish(self, positions: Sequence[int]) -> None:
        """Tests the runs at some positions, which have reached their end, and records their results."""
        progress = self._progress
        for part, live, own in zip(progress.parts, progress.live_by_part(), progress.split(positions), strict=True):
            if not own:
                continue
            params, finished = part.params[own], [live[position] for position in own]
            with _current(part.device):
                scores = self._test(part, params, [self._runs[run].test_set for run in finished])
                fresh_scores = self._test(part, params, [self._runs[run].fresh_test_set for run in finished])
            # The very last update may overflow, and no later loss would show it.
            are_finite = params.isfinite().all(dim=1, keepdim=True)
            weights = unflatten(params, parameter_shapes(part.n_features, part.hidden_width))["0.weight"]
            first_layers = reduce(weights.abs().double(), "run unit feature -> run feature", "mean")
            fetched = torch.cat([are_finite, first_layers], dim=1).tolist()
            ends = zip(finished, fetched, scores, fresh_scores, strict=True)
            for run, (is_finite, *first_layer), score, fresh_score in ends:
                curve = progress.curves[run]
                ended = (score, curve, first_layer, fresh_score) if is_finite else (None, curve, None)
                progress.trained[run] = Trained(part.step, *ended)

    def _test(
        self, part: Ensemble, params: Float[Tensor, "run param"], test_sets: Sequence[Dataset | None]
    ) -> list[float | None]:
        """Returns the share of each test set that its network labels correctly; None where there is no test set."""
        given = {at: test_set for at, test_set in enumerate(test_sets) if test_set is not None}
        if not given:
            return [None] * len(test_sets)
        scores = self._engine.test(params[[*given]], [*given.values()], part.hidden_width)
        by_place = dict(zip(given, scores.tolist(), strict=True))
        return [by_place.get(at) for at in range(len(test_sets))]


def _shares(runs: Sequence[Run], count: int) -> list[Sequence[Run]]:
    """Divides runs, in order, into parts that are as equal as possible and never empty."""
    count = min(count, len(runs))
    bounds = [len(runs) * index // count for index in range(count + 1)]
    return [runs[begin:end] for begin, end in pairwise(bounds)]


def _current(device: torch.device) -> AbstractContextManager[object]:
    """Makes a GPU the current device, which launching and recording kernels require."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def _interrupted(progress: Progress, engine: Engine, checkpoints: Checkpoints | None) -> InterruptedTrainingError:
    """Saves a checkpoint if possible, and builds the error that says how to resume."""
    interruption = f"interrupted at step {progress.step}"
    if checkpoints is None:
        return InterruptedTrainingError(f"{interruption}: progress is lost without --checkpoint DIR", resumable=False)
    checkpoints.save(snapshot.of_progress(progress, engine))
    if checkpoints.kept_step is None:
        where = checkpoints.directory
        return InterruptedTrainingError(
            f"{interruption}: progress is lost, no checkpoint could be written to {where}", resumable=False
        )
    go_on = f"resume from step {checkpoints.kept_step} with --checkpoint {checkpoints.directory} --resume"
    return InterruptedTrainingError(f"{interruption}: {go_on}", resumable=True)
