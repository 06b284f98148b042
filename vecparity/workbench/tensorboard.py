"""Evaluations' curves for TensorBoard, written as they come."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from vecparity.errors import UsageError
from vecparity.evaluation import Evaluation, RunCurve
from vecparity.files import make_writable
from vecparity.progress import WindowClosed
from vecparity.runs import Run
from vecparity.saying import say
from vecparity.spec import TaskConfig
from vecparity.strategy import Strategy

if TYPE_CHECKING:
    from vecparity.workbench.event_file import EventFile


class TensorBoardLog:
    """Writes each evaluation's curves to a directory of its own, which TensorBoard shows as a run.

    A `Follower`. Tags: ``mean/loss`` and ``mean/accuracy``, in which a run that has stopped counts with its last
    window; ``live_runs``; each run's, such as ``loss/secret0-order1``; in the end ``test_accuracy``. A disk that fills
    up ends the log with a warning, not the evaluation.

    Args:
        directory: Of all evaluations' directories: ``isolated_cube-n32-k8-seed42``.
        jobs: Strategies with the seeds that they are evaluated under.

    Raises:
        UsageError: TensorBoard is not installed, or two evaluations would have the same directory.
        MachineError: The directory cannot be written.
    """

    def __init__(self, directory: Path, jobs: Sequence[tuple[Strategy, int]]) -> None:
        if not find_spec("tensorboard"):
            raise UsageError("tensorboard needs TensorBoard: pip install 'vecparity[tensorboard]'")
        if len({(chosen.name, seed) for chosen, seed in jobs}) < len(jobs):
            got = ", ".join(f"{chosen.name} with seed {seed}" for chosen, seed in jobs)
            raise UsageError(f"tensorboard needs strategies and seeds that differ by name, got {got}")
        make_writable(directory, "tensorboard")
        self._directory = directory
        self._jobs = jobs
        self._files: list[EventFile] = []

    def __enter__(self) -> "TensorBoardLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._label = config.label

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        from vecparity.workbench.event_file import EventFile

        self._runs = runs
        self._is_sequential = engine == "reference"
        self._last: list[dict[int, tuple[float, float]]] = [{} for _ in self._jobs]
        with self._until_a_failure():
            for chosen, seed in self._jobs:
                self._files.append(EventFile(self._directory / f"{chosen.name}-{self._label}-seed{seed}"))

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        values = dict(zip(closed.runs, zip(closed.loss, closed.accuracy, strict=True), strict=True))
        with self._until_a_failure():
            for index, file in enumerate(self._files):
                ours = {run: value for run, value in values.items() if self._runs[run].evaluation == index}
                if not ours:
                    continue
                scalars: dict[str, float] = {}
                for run, (loss, accuracy) in ours.items():
                    name = f"secret{self._runs[run].secret_index}-order{self._runs[run].order_index}"
                    scalars |= {f"loss/{name}": loss, f"accuracy/{name}": accuracy}
                if not self._is_sequential:
                    self._last[index] |= ours
                    num_live = sum(self._runs[run].evaluation == index for run in closed.live)
                    scalars |= _over_runs(self._last[index], num_live)
                file.write(closed.step, scalars)

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        with self._until_a_failure():
            for file, evaluation in zip(self._files, evaluations, strict=False):
                if self._is_sequential:  # only now has every run come to each step
                    for step, scalars in _by_step(evaluation.curves):
                        file.write(step, scalars)
                if not evaluation.why_no_score:
                    end = max(result.steps for result in evaluation.results)
                    file.write(end, {"test_accuracy": evaluation.metrics.test_accuracy})
        self._close()

    @contextmanager
    def _until_a_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            say(f"warning: no more is written to {self._directory} for TensorBoard: {error.strerror or error}")
            self._close()
            self._jobs = []  # nor are further configurations

    def _close(self) -> None:
        for file in self._files:
            with suppress(OSError):  # what was written has been flushed
                file.close()
        self._files = []


def _over_runs(last: Mapping[int, tuple[float, float]], num_live: int) -> dict[str, float]:
    loss, accuracy = (sum(values) / len(last) for values in zip(*last.values(), strict=True))
    return {"mean/loss": loss, "mean/accuracy": accuracy, "live_runs": num_live}


def _by_step(curves: Sequence[RunCurve]) -> Iterator[tuple[int, dict[str, float]]]:
    """Yields what would have been shown of all runs had they trained together."""
    last: dict[int, tuple[float, float]] = {}
    longest = max((run.curve.step for run in curves), key=len)
    for window, step in enumerate(longest):
        for index, run in enumerate(curves):
            if window < len(run.curve.step):
                last[index] = run.curve.loss[window], run.curve.accuracy[window]
        yield step, _over_runs(last, sum(run.curve.step[-1:] > [step] for run in curves))
