"""Metric lines, written during training."""

from collections.abc import Callable, Iterable, Sequence

from vecparity.evaluation import metric_lines
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.result import Evaluation
from vecparity.strategy.source import Strategy
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run


class MetricLog(Follower):
    """Writes the first evaluation's metric lines during training, and the other evaluations' lines afterwards.

    A `Follower`, for each configuration in turn.

    Args:
        jobs: The strategies, with the seeds to evaluate them under, that train together. If there are several, a line
            before each evaluation's lines says whose they are.
        protocol: The protocol's name.
        mode: ``full``, ``digest``, ``final`` or ``json``.
        write: Function that writes the lines.
    """

    def __init__(
        self, jobs: Sequence[tuple[Strategy, int]], protocol: str, mode: str, write: Callable[[Iterable[str]], None]
    ) -> None:
        self._config = TaskConfig()
        self._jobs, self._protocol, self._mode = jobs, protocol, mode
        self._write = write
        self._runs: Sequence[Run] = []
        self._waiting: list[list[str]] = [[] for _ in jobs]
        self._trained: set[int] = set()

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._config = config
        self._trained.clear()
        if len(self._jobs) > 1 and self._mode != "json":
            for waiting, (strategy, seed) in zip(self._waiting, self._jobs, strict=True):
                line = metric_lines.strategy_line(strategy.name, strategy.sha256, seed, config, self._protocol)
                waiting.append(line)

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
            elif self._mode == "json":
                self._waiting[index].append(metric_lines.json_line(evaluation))
            else:
                self._waiting[index] += [metric_lines.task_config_line(self._config), *final]
            self._flush(index)

    def _flush(self, evaluation: int) -> None:
        self._write(self._waiting[evaluation])
        self._waiting[evaluation].clear()
