"""The command: ``python -m vecparity.eval``. Arguments, orchestration, and all that is printed.

Metric lines go to standard output and nothing else does. Exit status: 0 done; 2 wrong use; 3 the strategy is
invalid; 4 it failed, hit a limit or diverged; 5 a strict audit failed; 6 the machine failed it; 130 interrupted.
"""

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import torch
from cyclopts import App, CycloptsError, Parameter, Token

import vecparity
from vecparity import report, spec, strategy
from vecparity.auditing import AuditMode
from vecparity.choice import DeviceName, EngineName
from vecparity.containment.levels import Containment, Level
from vecparity.containment.limits import Limits
from vecparity.display import Display
from vecparity.errors import MachineError, UsageError, VecparityError
from vecparity.evaluation import Evaluation, summarise_datasets
from vecparity.evaluator import Options, evaluations
from vecparity.runs import Run
from vecparity.seeds import key_digest, new_key, read_key, write_key
from vecparity.spec import Protocol, TaskConfig
from vecparity.train import WindowClosed


def _integers(type_: Any, tokens: Sequence[Token]) -> Any:
    """Reads integers strictly: the library would round 3.5 to 4."""
    for value in [token.value for token in tokens] or [""]:
        if not re.fullmatch(r"[+-]?\d+", value):
            raise ValueError(f"expected an integer, got {value!r}")
    numbers = tuple(int(token.value) for token in tokens)
    return numbers if type_ == tuple[int, ...] else numbers[0]


Integer = Annotated[int | None, Parameter(converter=_integers)]
Switch = Annotated[bool, Parameter(negative=(), show_default=False)]


@Parameter(name="*", negative_iterable=())
@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to evaluate, where, and what to say of it.

    Attributes:
        strategy: Bundled names or files. Several, and several seeds, share one ensemble.
        seed: Top-level seeds.
        config: One of the benchmark's configurations.
        all_configs: All three configurations, one after another.
        protocol: full: 10 secrets x 10 orderings, 100 000 steps. published: 5 x 3, 30 000 steps.
        smoke: A short evaluation, to see that everything works.
        engine: What trains. reference is the sequential evaluator; triton needs a GPU.
        device: Where it trains. auto takes CUDA if there is one.
        init_device: Where init_model draws. cuda reproduces the original's draws on a GPU.
        threads: CPU threads.
        chunk_runs: The most runs that vmap trains together. Fewer need less memory.
        log: full: every line. digest: the last few and the final ones. final: only those.
        progress: A live display on standard error; by default if that is a terminal.
        output_dir: Where to write a JSON file for each evaluation.
        label: Names the JSON file.
        strategy_log: A file for what strategies print; it is shown after an error anyway.
        containment: How strategies are kept away from the rest. auto takes the strongest that the machine has.
        require_containment: Refuse to evaluate with a weaker one.
        sealed: Draw everything from streams under a fresh key, which is kept in the output directory.
        seal_key: The same under the key in this file.
        audit: What to do about strategies that know what they should not: report it, or give them no score. By
            default strategies that are not bundled are reported on, unless sealed.
        list_strategies: Print the bundled strategies' names and stop.
        debug: Show a traceback with an error.
    """

    strategy: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ("isolated_cube",)
    seed: Annotated[tuple[int, ...], Parameter(consume_multiple=True, converter=_integers)] = (42,)
    config: Literal["n32-k8", "n50-k8", "n64-k8"] | None = None
    all_configs: Switch = False
    protocol: Protocol = "full"
    smoke: Switch = False
    engine: EngineName = "auto"
    device: DeviceName = "auto"
    init_device: Literal["cpu", "cuda"] = "cpu"
    threads: Integer = None
    chunk_runs: Integer = None
    log: Literal["full", "digest", "final"] = "full"
    progress: bool | None = None
    output_dir: Path | None = None
    label: str | None = None
    strategy_log: Path | None = None
    containment: Containment = "auto"
    require_containment: Level | None = None
    sealed: Switch = False
    seal_key: Path | None = None
    audit: AuditMode | None = None
    list_strategies: Switch = False
    debug: Switch = False


# A flag for every field of TaskConfig, by the field's own name; its help is the field's own too.
Overrides = make_dataclass(
    "Overrides",
    [(f.name, float | None if f.type is float else Integer, field(default=None)) for f in fields(TaskConfig)],
    namespace={"__doc__": TaskConfig.__doc__, "__module__": __name__},
    kw_only=True,
)
Parameter(name="*", group="Settings (by default the protocol's)")(Overrides)
Parameter(name="*", group="Limits of each worker that runs a strategy")(Limits)

app = App(
    name="python -m vecparity.eval",
    help="Evaluate strategies on the optimization-parity benchmark, all runs of a configuration at once.",
    version=vecparity.__version__,
    version_flags=["--version"],
)


@app.default
def _parse(
    arguments: Arguments = Arguments(),
    overrides: Overrides = Overrides(),  # type: ignore[valid-type]  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
) -> tuple[Arguments, dict[str, Any], Limits]:
    return arguments, {name: value for name, value in vars(overrides).items() if value is not None}, limits


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        parsed = app(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _fail(UsageError(" ".join(str(error).split())))
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
    )

    status = 0
    rows: list[tuple[str, Evaluation]] = []
    with Display(arguments.progress) as display:
        log = _Log(len(jobs), arguments.log, display)
        protocol = arguments.protocol + ("+smoke" if arguments.smoke else "")
        made = evaluations(jobs, [config for _, config in plan], protocol, options, log.prepared, log.window)
        with closing(made):
            for label, config in plan:
                name = f"n{config.n_features}-k{config.secret_size}"
                display.begin(name, config.max_steps)
                log.begin(config)
                evaluated = next(made)
                log.finish(evaluated)
                display.finish()
                for job, evaluation in enumerate(evaluated):
                    rows.append((name, evaluation))
                    status = max(status, _settle(evaluation, paths.get((label, job))))
        display.show(report.table(rows))
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


def _seal_key(arguments: Arguments) -> bytes | None:
    """The key of a sealed evaluation: the one given, or a new one, which is kept where there is a place for it."""
    if arguments.seal_key is not None:
        return read_key(arguments.seal_key)
    if not arguments.sealed:
        return None
    key = new_key()
    if arguments.output_dir is not None:
        write_key(arguments.output_dir / f"seal_{key_digest(key)[:16]}.key", key)
    return key


class _Log:
    """Prints each configuration's metric lines as they come; those of further evaluations after the first one's."""

    def __init__(self, num_evaluations: int, mode: str, display: Display) -> None:
        self._config = TaskConfig()
        self._mode = mode
        self._display = display
        self._runs: Sequence[Run] = []
        self._waiting: list[list[str]] = [[] for _ in range(num_evaluations)]

    def begin(self, config: TaskConfig) -> None:
        """Tells whose lines come from now on."""
        self._config = config

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        self._runs = runs
        self._display.begin_training(engine)
        if self._mode == "full":
            for evaluation, lines in enumerate(self._waiting):
                summaries = summarise_datasets([run for run in runs if run.evaluation == evaluation])
                lines += [report.task_config_line(self._config), *report.dataset_lines(summaries)]
            self._flush(0)

    def window(self, closed: WindowClosed) -> None:
        self._display.window(closed)
        if self._mode == "full":
            for index, loss, accuracy in zip(closed.runs, closed.loss, closed.accuracy, strict=True):
                run = self._runs[index]
                line = report.train_line(run.secret_index, run.order_index, closed.step, loss, accuracy)
                self._waiting[run.evaluation].append(line)
            self._flush(0)

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        for index, evaluation in enumerate(evaluations):
            final = report.final_lines(evaluation)
            if self._mode == "full":
                self._waiting[index] += [*report.run_lines(evaluation), *final]
            elif self._mode == "digest":
                self._waiting[index] += report.digest_lines(evaluation)
            else:
                self._waiting[index] += [report.task_config_line(self._config), *final]
            self._flush(index)

    def _flush(self, evaluation: int) -> None:
        self._display.write(self._waiting[evaluation])
        self._waiting[evaluation].clear()


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
