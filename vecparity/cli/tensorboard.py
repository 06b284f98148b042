"""Evaluations' curves for TensorBoard, written during training."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from vecparity.cli.messages import say
from vecparity.errors import UsageError
from vecparity.evaluation.callbacks import AtWork, Follower
from vecparity.evaluation.result import Evaluation, RunCurve
from vecparity.files import make_writable
from vecparity.strategy.source import Strategy
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run

if TYPE_CHECKING:
    from vecparity.cli.event_file import EventFile

Point = tuple[float, float]  # loss and accuracy


class TensorBoardLog(Follower):
    """Writes each evaluation's curves to a directory of its own, which TensorBoard shows as a run.

    The curves are written at the end for runs that train one after the other, for those of workers and for evaluations
    taken from the history. What workers do has a directory of its own, ``workers``.

    A `Follower`. Tags: ``mean/loss`` and ``mean/accuracy``, in which a run that has stopped counts with its last
    window; ``live_runs``; each run's tags, such as ``loss/secret0-order1``; in the end ``test_accuracy``. The first
    failure to write gives a warning. No failure ends the evaluation; later curves are still written if possible.

    Args:
        directory: Parent of the evaluations' directories, such as ``isolated_cube-n32-k8-seed42``.
        jobs: Strategies with the seeds under which they are evaluated.

    Raises:
        UsageError: TensorBoard is not installed, or two evaluations would have the same directory.
        MachineError: The directory cannot be written.
    """

    def __init__(self, directory: Path, jobs: Sequence[tuple[Strategy, int]]) -> None:
        if not find_spec("tensorboard"):
            raise UsageError(
                "--tensorboard needs TensorBoard, which is not installed: pip install 'vecparity[tensorboard]'"
            )
        if len({(strategy.name, seed) for strategy, seed in jobs}) < len(jobs):
            names = ", ".join(f"{strategy.name} with seed {seed}" for strategy, seed in jobs)
            raise UsageError(f"--tensorboard needs strategies and seeds that differ by name, got {names}")
        # Imported before any strategy runs, which could put another module in its place.
        self._make_file: type[EventFile] = import_module("vecparity.cli.event_file").EventFile
        make_writable(directory, "tensorboard")
        self._directory = directory
        self._jobs = jobs
        self._files: dict[int, EventFile] = {}
        self._workers: EventFile | None = None
        self._has_failed = False

    def __enter__(self) -> "TensorBoardLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        if self._workers is not None:
            with suppress(OSError):
                self._workers.close()

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._label = config.label

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        self._runs = runs
        self._last: dict[int, dict[int, Point]] = {run.evaluation: {} for run in runs}
        if engine == "reference":  # its runs train one after the other: no means over all before the end
            return
        with self._until_a_failure():
            for index in self._last:
                self._open(index)

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        points = dict(zip(closed.runs, zip(closed.loss, closed.accuracy, strict=True), strict=True))
        with self._until_a_failure():
            for index, file in self._files.items():
                own_points = {run: point for run, point in points.items() if self._runs[run].evaluation == index}
                if own_points:
                    num_live = sum(self._runs[run].evaluation == index for run in closed.live)
                    places = {run: (self._runs[run].secret_index, self._runs[run].order_index) for run in own_points}
                    self._last[index] |= own_points
                    scalars = _each({places[run]: point for run, point in own_points.items()})
                    file.write(closed.step, scalars | _over_all(self._last[index], num_live))

    def at_work(self, present: AtWork) -> None:
        """See `WorkersFollower`: writes what workers do, by the number of evaluations that are done."""
        scalars = {"workers/busy": float(present.busy), "workers/begun_again": float(present.again)}
        if (speed := present.run_steps_per_second) is not None:
            scalars["workers/run_steps_per_second"] = speed
        with self._until_a_failure():
            if self._workers is None:
                self._workers = self._make_file(self._directory / "workers")
            self._workers.write(present.done, scalars)

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        with self._until_a_failure():
            for index, evaluation in enumerate(evaluations):
                if index not in self._files:  # nothing was written during training
                    self._open(index)
                    for step, scalars in _by_step(evaluation.curves):
                        self._files[index].write(step, scalars)
                if not evaluation.why_no_score:
                    end = max(result.steps for result in evaluation.results)
                    self._files[index].write(end, {"test_accuracy": evaluation.metrics.test_accuracy})
        self._close()

    def _open(self, index: int) -> None:
        strategy, seed = self._jobs[index]
        self._files[index] = self._make_file(self._directory / f"{strategy.name}-{self._label}-seed{seed}")

    @contextmanager
    def _until_a_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._has_failed:
                reason = error.strerror or error
                say(f"warning: some events could not be written to {self._directory} for TensorBoard: {reason}")
            self._has_failed = True
            self._close()

    def _close(self) -> None:
        for file in self._files.values():
            with suppress(OSError):  # earlier writes have been flushed
                file.close()
        self._files = {}


def _each(points: Mapping[tuple[int, int], Point]) -> dict[str, float]:
    scalars: dict[str, float] = {}
    for (secret, order), (loss, accuracy) in points.items():
        scalars |= {f"loss/secret{secret}-order{order}": loss, f"accuracy/secret{secret}-order{order}": accuracy}
    return scalars


def _over_all(last: Mapping[int, Point], num_live: int) -> dict[str, float]:
    loss, accuracy = (sum(values) / len(last) for values in zip(*last.values(), strict=True))
    return {"mean/loss": loss, "mean/accuracy": accuracy, "live_runs": num_live}


def _by_step(curves: Sequence[RunCurve]) -> Iterator[tuple[int, dict[str, float]]]:
    """Yields each step with its scalars, for runs that train together."""
    last: dict[int, Point] = {}
    for window, step in enumerate(sorted({step for run in curves for step in run.curve.step})):
        points = {
            index: (run.curve.loss[window], run.curve.accuracy[window])
            for index, run in enumerate(curves)
            if window < len(run.curve.step)
        }
        last |= points
        means = _each({(curves[i].secret_index, curves[i].order_index): point for i, point in points.items()})
        yield step, means | _over_all(last, sum(len(run.curve.step) > window + 1 for run in curves))
