"""The work of ``vecparity eval``: evaluates the configurations in turn, and prints and writes the results."""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from pathlib import Path

import platformdirs

from vecparity.cli import tables
from vecparity.cli.arguments import Arguments, LogMode
from vecparity.cli.display import Display
from vecparity.cli.interruption import Interruption
from vecparity.cli.keys import keep_key
from vecparity.cli.messages import fail, say, warn, warn_of_failed_audits
from vecparity.cli.metric_log import MetricLog
from vecparity.cli.tensorboard import TensorBoardLog
from vecparity.cluster.choose import opened_workers
from vecparity.cluster.distribution import begun, runner
from vecparity.errors import MachineError, UsageError, visible
from vecparity.evaluation import serialization
from vecparity.evaluation.callbacks import Follower, Followers
from vecparity.evaluation.job import evaluations, to_tasks
from vecparity.evaluation.options import Options
from vecparity.evaluation.pipeline import Pipeline
from vecparity.evaluation.result import Evaluation
from vecparity.files import make_writable
from vecparity.history.recorder import Recorder, recorder, require_reusable
from vecparity.history.records import require_note
from vecparity.sandbox.limits import Limits
from vecparity.strategy import parameters
from vecparity.strategy.source import Strategy
from vecparity.task.config import TaskConfig, protocol_name
from vecparity.task.seeds import new_key, read_key
from vecparity.training.runs import Run


def run(
    arguments: Arguments,
    limits: Limits,
    plan: Sequence[tuple[str, TaskConfig]],
    jobs: Sequence[tuple[Strategy, int]],
    interruption: Interruption,
) -> int:
    """Runs all evaluations of a command.

    Args:
        arguments: The command's arguments.
        limits: Limits of the strategies' workers.
        plan: Labels and configurations.
        jobs: Strategies with the seeds under which to evaluate them.
        interruption: Requests a stop.

    Returns:
        The exit status.
    """
    paths = _output_paths(arguments, [label for label, _ in plan], jobs)

    options = Options(
        engine=arguments.engine,
        device=arguments.device,
        init_device=arguments.init_device,
        chunk_runs=arguments.chunk_runs,
        threads=arguments.threads,
        containment=arguments.containment,
        require_containment=arguments.require_containment,
        limits=limits,
        strategy_log=arguments.strategy_log,
        seal_key=_seal_key(arguments),
        draw=arguments.draw,
        same_draw=arguments.same_draw,
        audit=arguments.audit,
        checkpoint=_checkpoint(arguments),
        checkpoint_if_possible=arguments.checkpoint is None and arguments.output_dir is None,
        checkpoint_seconds=arguments.checkpoint_seconds,
        resume=arguments.resume,
    )

    if arguments.reuse:
        require_reusable(options)

    status = 0
    rows: list[tuple[str, Evaluation]] = []
    configs = [config for _, config in plan]
    with ExitStack() as stack:
        records = stack.enter_context(_recorder(arguments))
        boards = []
        if arguments.tensorboard is not None:
            boards.append(stack.enter_context(TensorBoardLog(arguments.tensorboard, jobs)))
        display = stack.enter_context(Display(arguments.progress, configs, _title(jobs)))
        protocol = protocol_name(arguments.protocol, smoke=arguments.smoke)
        metric_log = MetricLog(jobs, protocol, _log_mode(arguments), display.write)
        training = [_Training(interruption)] if arguments.workers is None else []
        follower = Followers([*training, display, metric_log, *boards])
        tasks = to_tasks(jobs, configs, protocol, options, parameters.parse(arguments.param))
        pipeline = stack.enter_context(Pipeline(options))
        # Workers take a while to start, and a command that is interrupted then may be one that goes on.
        interruption.can_be_kept = arguments.workers is not None and options.checkpoint is not None
        workers = stack.enter_context(
            opened_workers(arguments.workers, arguments.threads, arguments.engine, arguments.device, say)
        )
        evaluates = runner(pipeline, options, workers)
        own = stack.enter_context(begun(evaluates, tasks, records, is_whole=True))
        groups = evaluates.run(
            own, follower, fails_fast=True, stop_requested=interruption.requested, recall=records.recall
        )
        stack.enter_context(closing(groups))
        for (label, config), outcomes in zip(plan, groups, strict=False):
            evaluated = evaluations(outcomes)
            for job, evaluation in enumerate(evaluated):
                rows.append((config.label, evaluation))
                status = max(status, _settle(evaluation, paths.get((label, job))))
            status = max(status, _record(records, evaluated, jobs, arguments.note))
        if status != MachineError.exit_status:
            next(groups, None)  # all results are written: removes the checkpoints
        interruption.can_be_kept = False
    display.show(tables.results(rows, "vecparity history --wide shows all"), always=len(jobs) > 1)
    return status or display.status


def _log_mode(arguments: Arguments) -> LogMode:
    """Returns the log that was asked for; by default only final lines on a terminal, which has a live display."""
    return arguments.log or ("final" if sys.stdout.isatty() or arguments.same_draw else "full")


def _title(jobs: Sequence[tuple[Strategy, int]]) -> str:
    """Names the strategies and seeds that are evaluated."""
    names = dict.fromkeys(strategy.name for strategy, _ in jobs)
    seeds = dict.fromkeys(str(seed) for _, seed in jobs)
    return f"{visible(', '.join(names))}, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}"


class _Training(Follower):
    """Marks the interruption as one that can keep the training, while a resumable engine trains. A `Follower`."""

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        self._interruption.can_be_kept = engine != "reference"

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        self._interruption.can_be_kept = False


def _output_paths(
    arguments: Arguments, configurations: list[str], jobs: Sequence[tuple[Strategy, int]]
) -> dict[tuple[str, int], Path]:
    """Returns the JSON path of each (configuration, job); makes and tests the directory before any training."""
    if arguments.output_dir is None:
        return {}
    paths = {}
    for configuration in configurations:
        label = arguments.label or (configuration if arguments.all_configs or arguments.config else "eval")
        if label in (".", "..") or any(separator in label for separator in "/\\") or not label.isprintable():
            raise UsageError(f"label must be a plain name that can be printed, without separators, got {label!r}")
        for job, (strategy, seed) in enumerate(jobs):
            strategy_part = f"_{strategy.name}" if len(arguments.strategy) > 1 else ""
            paths[configuration, job] = arguments.output_dir / f"{label}{strategy_part}_seed{seed}.json"
    if len(set(paths.values())) < len(paths):
        raise UsageError(
            f"expected a different output file for each evaluation, got {sorted(map(str, paths.values()))}"
        )
    make_writable(arguments.output_dir, "output-dir")
    return paths


def _recorder(arguments: Arguments) -> AbstractContextManager[Recorder]:
    require_note(arguments.note)
    if arguments.no_history and (arguments.history is not None or arguments.reuse or arguments.note):
        flag = "--reuse" if arguments.reuse else "--note" if arguments.note else f"--history {arguments.history}"
        raise UsageError(f"--no-history cannot be combined with {flag}")
    return recorder(
        arguments.history,
        enabled=not arguments.no_history,
        reuse=arguments.reuse,
        goes_on=arguments.resume,
        warn=warn,
    )


def _record(
    records: Recorder, evaluated: Sequence[Evaluation], jobs: Sequence[tuple[Strategy, int]], note: str | None
) -> int:
    """Records the evaluations, and returns an error's exit status or 0."""
    try:
        for sentence in records.record(evaluated, jobs, note):
            say(sentence)
    except MachineError as error:
        return fail(error)
    return 0


def _checkpoint(arguments: Arguments) -> Path | None:
    """Returns the checkpoints' directory: the given one, else one in the output directory or in the user's cache."""
    if arguments.checkpoint is not None or arguments.engine == "reference" or arguments.workers is not None:
        return arguments.checkpoint
    if arguments.output_dir is not None:
        return arguments.output_dir / "checkpoints"
    return platformdirs.user_cache_path("vecparity", appauthor=False) / "checkpoints"


def _seal_key(arguments: Arguments) -> bytes | None:
    """Returns the key of a sealed evaluation: the given key, or a new one, kept in the user's data directory.

    Raises:
        UsageError: The flags exclude each other, or the key cannot be read.
        MachineError: The key cannot be written.
    """
    if arguments.same_draw and arguments.log not in ("final", "json", None):
        raise UsageError(
            "--same-draw prints no more than final figures, since each evaluation tells something about the draw of "
            f"all others: expected --log final or json, got --log {arguments.log}"
        )
    if arguments.draw is not None and arguments.seal_key is None:
        raise UsageError(
            f"--draw repeats an evaluation under its key: expected --seal-key, got --draw {arguments.draw}"
        )
    if arguments.seal_key is not None:
        return read_key(arguments.seal_key)
    if not arguments.sealed:
        return None
    if arguments.resume:
        raise UsageError(
            "a sealed evaluation resumes under its own key: expected --seal-key FILE, got --sealed (a new key)"
        )
    key = new_key()
    keep_key(key)
    return key


def _settle(evaluation: Evaluation, path: Path | None) -> int:
    """Writes the JSON, reports any failure, and returns its exit status or 0."""
    status = 0
    if problem := evaluation.why_no_score:
        status = fail(problem)
    warn_of_failed_audits(evaluation)
    if path is not None:
        try:
            serialization.save(evaluation, path)
        except OSError as error:
            status = fail(MachineError(f"results could not be written to {path}: {error.strerror or error}"))
    return status
