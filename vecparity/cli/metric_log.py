"""Metric lines, written during training."""

from collections.abc import Callable, Iterable, Sequence

from vecparity.evaluation import metric_lines
from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run


class MetricLog:
    """Writes the first evaluation's metric lines during training, and the other evaluations' lines afterwards.

    A `Follower`, for each configuration in turn.

    Args:
        num_evaluations: Number of evaluations that train together.
        mode: ``full``, ``digest`` or ``final``.
        write: Function that writes the lines.
    """

    def __init__(self, num_evaluations: int, mode: str, write: Callable[[Iterable[str]], None]) -> None:
        self._config = TaskConfig()
        self._mode = mode
        self._write = write
        self._runs: Sequence[Run] = []
        self._waiting: list[list[str]] = [[] for _ in range(num_evaluations)]
        self._trained: set[int] = set()

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._config = config
        self._trained.clear()

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        """See `Follower`."""
        self._runs = runs
        self._trained = {run.evaluation for run in runs}
        if self._mode == "full":
            for evaluation in sorted(self._trained):
                lines = self._waiting[evaluation]
                datasets = {run.secret_index: run.dataset for run in runs if run.evaluation == evaluation}
                lines.append(metric_lines.task_config_line(self._config))
                lines += [
                    metric_lines.dataset_line(i, data.num_examples, data.positive_rate) for i, data in datasets.items()
                ]
            self._flush(0)

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        if self._mode == "full":
            for index, loss, accuracy in zip(closed.runs, closed.loss, closed.accuracy, strict=True):
                run = self._runs[index]
                line = metric_lines.train_line(run.secret_index, run.order_index, closed.step, loss, accuracy)
                self._waiting[run.evaluation].append(line)
            self._flush(0)

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        for index, evaluation in enumerate(evaluations):
            final = metric_lines.final_lines(evaluation)
            if self._mode == "full" and index not in self._trained:
                self._waiting[index] += metric_lines.full_lines(evaluation)
            elif self._mode == "full":
                self._waiting[index] += [*metric_lines.run_lines(evaluation), *final]
            elif self._mode == "digest":
                self._waiting[index] += metric_lines.digest_lines(evaluation)
            else:
                self._waiting[index] += [metric_lines.task_config_line(self._config), *final]
            self._flush(index)

    def _flush(self, evaluation: int) -> None:
        self._write(self._waiting[evaluation])
        self._waiting[evaluation].clear()
