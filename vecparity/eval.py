"""The command: ``python -m vecparity.eval``. Arguments, orchestration, and all that is printed.

Metric lines go to standard output and nothing else does. Exit status: 0 done; 2 wrong use; 3 the strategy is
invalid; 4 it failed, hit a limit or diverged; 5 a strict audit failed; 6 the machine failed it; 75
interrupted, to be gone on with; 130 interrupted with nothing kept.
"""

import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

import torch

from vecparity import report, spec, strategy
from vecparity.arguments import Arguments, parse
from vecparity.containment.limits import Limits
from vecparity.display import Display
from vecparity.errors import MachineError, UsageError, VecparityError
from vecparity.evaluation import Evaluation
from vecparity.evaluator import evaluations
from vecparity.interruption import Interruption
from vecparity.keeping import discard
from vecparity.metric_log import MetricLog
from vecparity.options import Options
from vecparity.runs import Run
from vecparity.seeds import key_digest, new_key, read_key, write_key
from vecparity.spec import TaskConfig


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        parsed = parse(argv)
    except UsageError as error:
        return _fail(error)
    if parsed is None:  # --help or --version
        return 0
    warnings.showwarning = _show_warning
    try:
        return _run(*parsed)
    except KeyboardInterrupt:
        _say("interrupted: what had not been printed yet is lost")
        return 130
    except Exception as error:
        if parsed[0].debug:
            raise
        return _fail(error)


def _run(arguments: Arguments, overrides: dict[str, Any], limits: Limits) -> int:
    if arguments.list_strategies:
        print("\n".join(strategy.bundled()))
        return 0
    if arguments.threads is not None:
        if arguments.threads < 1:
            raise UsageError(f"threads must be at least 1, got {arguments.threads}")
        torch.set_num_threads(arguments.threads)
    plan = _plan(arguments, overrides)
    jobs = [(strategy.load(chosen), seed) for chosen in arguments.strategy for seed in arguments.seed]
    paths = _output_paths(arguments, [label for label, _ in plan], jobs)

    options = Options(
        engine=arguments.engine,
        device=arguments.device,
        init_device=arguments.init_device,
        chunk_runs=arguments.chunk_runs,
        containment=arguments.containment,
        require_containment=arguments.require_containment,
        limits=limits,
        strategy_log=arguments.strategy_log,
        seal_key=_seal_key(arguments),
        audit=arguments.audit,
        checkpoint=_checkpoint(arguments),
        checkpoint_seconds=arguments.checkpoint_seconds,
        resume=arguments.resume,
    )

    status = 0
    rows: list[tuple[str, Evaluation]] = []
    with Interruption() as interruption, Display(arguments.progress) as display:
        log = MetricLog(len(jobs), arguments.log, display)

        def prepared(runs: Sequence[Run], engine: str) -> None:
            log.prepared(runs, engine)
            interruption.can_be_kept = engine != "reference"

        protocol = arguments.protocol + ("+smoke" if arguments.smoke else "")
        configs = [config for _, config in plan]
        made = evaluations(jobs, configs, protocol, options, prepared, log.window, interruption.requested)
        with closing(made):
            for label, config in plan:
                name = f"n{config.n_features}-k{config.secret_size}"
                display.begin(name, config.max_steps)
                log.begin(config)
                evaluated = next(made)
                interruption.can_be_kept = False
                log.finish(evaluated)
                display.finish()
                for job, evaluation in enumerate(evaluated):
                    rows.append((name, evaluation))
                    status = max(status, _settle(evaluation, paths.get((label, job))))
        display.show(report.table(rows))
    if options.checkpoint is not None and status != MachineError.exit_status:
        for config in configs:
            discard(options.checkpoint, config)
    return status


def _plan(arguments: Arguments, overrides: dict[str, Any]) -> list[tuple[str, TaskConfig]]:
    """The configurations to evaluate, all checked before the first begins."""
    if arguments.all_configs:
        given = {"--config": arguments.config, "--label": arguments.label}
        given |= {f"--{name.replace('_', '-')}": overrides.get(name) for name in ("n_features", "secret_size")}
        for flag, value in given.items():
            if value is not None:
                raise UsageError(f"--all-configs sets the configurations and their labels: got {flag} {value} as well")
    labels = list(spec.CONFIGURATIONS) if arguments.all_configs else [arguments.config or "n32-k8"]
    return [
        (label, spec.task_config(label, protocol=arguments.protocol, smoke=arguments.smoke, **overrides))
        for label in labels
    ]


def _output_paths(
    arguments: Arguments, configurations: list[str], jobs: list[tuple[strategy.Strategy, int]]
) -> dict[tuple[str, int], Path]:
    """Where the JSON of each (configuration, job) goes; the directory is made and tried before anything is trained."""
    if arguments.output_dir is None:
        return {}
    paths = {}
    for configuration in configurations:
        label = arguments.label or (configuration if arguments.all_configs or arguments.config else "eval")
        if label in (".", "..") or any(separator in label for separator in ("/", "\\", "\0")):
            raise UsageError(f"label must be a plain name, without separators, got {label!r}")
        for job, (chosen, seed) in enumerate(jobs):
            strategy_part = f"_{chosen.name}" if len(arguments.strategy) > 1 else ""
            paths[configuration, job] = arguments.output_dir / f"{label}{strategy_part}_seed{seed}.json"
    if len(set(paths.values())) < len(paths):
        raise UsageError(f"each evaluation must have a file of its own, got {sorted(map(str, paths.values()))}")
    try:
        arguments.output_dir.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=arguments.output_dir).close()
    except OSError as error:
        raise MachineError(f"output-dir must be a directory that can be written, got {error}") from error
    return paths


def _checkpoint(arguments: Arguments) -> Path | None:
    """Where checkpoints go: where they are asked for, else to the results, each label's apart."""
    if arguments.checkpoint is not None or arguments.output_dir is None or arguments.engine == "reference":
        return arguments.checkpoint
    return arguments.output_dir / f"checkpoints_{arguments.label or 'eval'}"


def _seal_key(arguments: Arguments) -> bytes | None:
    """The key of a sealed evaluation: the one given, or a new one, which is kept where there is a place for it."""
    if arguments.seal_key is not None:
        return read_key(arguments.seal_key)
    if not arguments.sealed:
        return None
    if arguments.resume:
        raise UsageError(
            "a sealed evaluation goes on under its key, --seal-key FILE: got --sealed, which draws another"
        )
    key = new_key()
    if arguments.output_dir is not None:
        write_key(arguments.output_dir / f"seal_{key_digest(key)[:16]}.key", key)
    return key


def _settle(evaluation: Evaluation, path: Path | None) -> int:
    """Writes the JSON, says what went wrong, and returns the exit status that it calls for."""
    status = 0
    if problem := evaluation.why_no_score:
        status = _fail(problem)
    else:
        for finding in evaluation.failed_findings:
            _say(f"warning: {evaluation.provenance.strategy} fails an audit: {finding.name}: {finding.summary}")
    if path is not None:
        try:
            report.save(report.document(evaluation), path)
        except OSError as error:
            status = _fail(MachineError(f"results could not be written to {path}: {error.strerror or error}"))
    return status


def _fail(error: Exception) -> int:
    """Says what went wrong in a line or two and returns the exit status."""
    if isinstance(error, VecparityError):
        _say("\n".join([f"error: {error}", *getattr(error, "__notes__", [])]))
        return error.exit_status
    if isinstance(error, BrokenPipeError):
        # Nobody reads on: let the interpreter's own last flush go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        _say("error: out of memory; fewer runs at a time need less: --chunk-runs 1")
    elif isinstance(error, OSError):
        _say(f"error: {error}")
    else:
        _say(f"error: unexpected {type(error).__name__}: {error} (--debug shows where)")
    return MachineError.exit_status


def _say(message: str) -> None:
    print(f"vecparity: {message}", file=sys.stderr)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    _say(f"warning: {message}")


if __name__ == "__main__":
    sys.exit(main())
