"""The arguments of ``vecparity eval`` and their parser."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Group, Parameter, Token

from vecparity import _version
from vecparity.audits.mode import AuditMode
from vecparity.errors import UsageError
from vecparity.sandbox.levels import Containment, Level
from vecparity.sandbox.limits import Limits
from vecparity.task.config import Protocol, TaskConfig
from vecparity.training.engines.names import DeviceName, EngineName


def _integers(type_: Any, tokens: Sequence[Token]) -> Any:
    """Parses integers strictly: the library would round 3.5 to 4."""
    for value in [token.value for token in tokens] or [""]:
        if not re.fullmatch(r"[+-]?\d+", value):
            raise ValueError(f"expected an integer, got {value!r}")
    numbers = tuple(int(token.value) for token in tokens)
    return numbers if type_ == tuple[int, ...] else numbers[0]


Integer = Annotated[int | None, Parameter(converter=_integers)]
Whole = Annotated[int, Parameter(converter=_integers)]
Seeds = Annotated[tuple[int, ...], Parameter(consume_multiple=True, negative_iterable=(), converter=_integers)]
Switch = Annotated[bool, Parameter(negative=(), show_default=False)]


LogMode = Literal["full", "digest", "final", "json"]

# The help's groups, in order.
_TASK, _TRAINING, _OUTPUT, _TRUST, _HISTORY, _OTHER = (
    Group(name, sort_key=index)
    for index, name in enumerate(("What is evaluated", "Training", "Output", "Trust", "History", "Other"))
)
_SETTINGS = Group("Settings (by default the protocol's)", sort_key=10)
_LIMITS = Group("Limits of each worker that runs a strategy", sort_key=11)
Task, Training, Output, Trust, History, Other = (
    Parameter(group=group) for group in (_TASK, _TRAINING, _OUTPUT, _TRUST, _HISTORY, _OTHER)
)


@Parameter(name="*", negative_iterable=(), show_default=lambda value: value if isinstance(value, str) else None)
@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The evaluation's strategies, settings, device and output.

    Attributes:
        strategy: The same as names without a flag.
        seed: Top-level seeds; by default 42.
        param: Values for the strategies' parameters, as in --param lr=0.01 wd=0.3.
        config: One of the benchmark's configurations; by default n32-k8.
        all_configs: All three configurations, one after another.
        protocol: full: 10 secrets x 10 orderings, 100 000 steps. published: 5 x 3, 30 000 steps.
        smoke: A short evaluation, to check that everything works.
        engine: The training engine. reference is the sequential evaluator; cuda and triton need a GPU.
        device: The training device. auto takes CUDA if available; cuda:1 is one of several GPUs, cuda:all takes all.
        init_device: The device on which init_model draws. cuda reproduces the original's draws on a GPU.
        threads: CPU threads; of each worker, if there are any.
        workers: Evaluate in so many processes of this machine, or on Ray: ray, or ray://HOST:PORT of a cluster. The
            results are the same.
        chunk_runs: The most runs that vmap trains together. Fewer need less memory.
        log: full: every metric line. digest: the last few and the final lines. final: only the final lines. json: a
            line of JSON for each evaluation. By default final on a terminal, full elsewhere.
        progress: Show a live display on standard error; by default if standard error is a terminal.
        output_dir: The directory for a JSON file of each evaluation.
        label: The name of the JSON file.
        tensorboard: A directory for the curves, written during training, for TensorBoard.
        strategy_log: A file for strategies' output; after an error the output is shown anyway.
        containment: The sandbox around strategies. auto takes the strongest that the machine has.
        require_containment: Refuse to evaluate with weaker containment.
        checkpoint: The directory for training checkpoints; by default in the output directory, if given, else in the
            user's cache directory. Workers keep checkpoints only with this flag, in a directory that all of them see.
        resume: Resume from the checkpoints.
        checkpoint_seconds: The least time between two checkpoints; by default 60.
        sealed: Draw everything from streams under a fresh key, which is kept in the user's data directory.
        seal_key: Draw everything from streams under the key in this file.
        draw: Repeat the sealed evaluation that has this draw in its JSON. By default each has a draw of its own under
            the key, so that nothing learnt in one is worth anything in another.
        same_draw: Evaluate on the key's common draw. What authors learn about it accumulates, if only from scores:
            only final figures are printed.
        audit: Audit strategies for knowledge that they should not have: report it, or withhold the score. By
            default strategies that are not bundled are reported on, unless sealed.
        history: The file in which evaluations are recorded; by default one in the user's data directory.
        no_history: Record nothing.
        note: Words of yours that the history keeps with the evaluations.
        reuse: Reuse evaluations in the history with the same source, settings, engine and versions.
        list_strategies: Print the bundled strategies' names and stop.
        debug: Show a traceback with an error.
    """

    strategy: Annotated[tuple[str, ...], Parameter(consume_multiple=True), Task] = ()
    seed: Annotated[Seeds, Task] = (42,)
    param: Annotated[tuple[str, ...], Parameter(consume_multiple=True), Task] = ()
    config: Annotated[Literal["n32-k8", "n50-k8", "n64-k8"] | None, Task] = None
    all_configs: Annotated[Switch, Task] = False
    protocol: Annotated[Protocol, Task] = "full"
    smoke: Annotated[Switch, Task] = False
    list_strategies: Annotated[Switch, Task] = False
    engine: Annotated[EngineName, Training] = "auto"
    device: Annotated[DeviceName, Training] = "auto"
    init_device: Annotated[Literal["cpu", "cuda"], Training] = "cpu"
    threads: Annotated[Integer, Training] = None
    workers: Annotated[str | None, Training] = None
    chunk_runs: Annotated[Integer, Training] = None
    checkpoint: Annotated[Path | None, Training] = None
    resume: Annotated[Switch, Training] = False
    checkpoint_seconds: Annotated[float, Training] = 60.0
    log: Annotated[LogMode | None, Output] = None
    progress: Annotated[bool | None, Output] = None
    output_dir: Annotated[Path | None, Output] = None
    label: Annotated[str | None, Output] = None
    tensorboard: Annotated[Path | None, Output] = None
    containment: Annotated[Containment, Trust] = "auto"
    require_containment: Annotated[Level | None, Trust] = None
    audit: Annotated[AuditMode | None, Trust] = None
    sealed: Annotated[Switch, Trust] = False
    seal_key: Annotated[Path | None, Trust] = None
    draw: Annotated[str | None, Trust] = None
    same_draw: Annotated[Switch, Trust] = False
    strategy_log: Annotated[Path | None, Trust] = None
    history: Annotated[Path | None, History] = None
    no_history: Annotated[Switch, History] = False
    note: Annotated[str | None, History] = None
    reuse: Annotated[Switch, History] = False
    debug: Annotated[Switch, Other] = False


# A flag for every field of TaskConfig, with the field's name and description.
Overrides = make_dataclass(
    "Overrides",
    [(f.name, float | None if f.type is float else Integer, field(default=None)) for f in fields(TaskConfig)],
    namespace={"__doc__": TaskConfig.__doc__, "__module__": __name__},
    kw_only=True,
)
Parameter(name="*", group=_SETTINGS)(Overrides)
Parameter(name="*", group=_LIMITS)(Limits)

app = App(
    name="vecparity eval",
    help=(
        "Evaluate strategies on the optimization-parity benchmark, all runs of a configuration at once.\n\n"
        "    vecparity eval mine.py --smoke\n\n"
        "    vecparity eval mine.py better.py --all-configs\n\n"
        "    vecparity eval mine.py --protocol published --seed 1 2 3 --log json"
    ),
    usage="Usage: vecparity eval [STRATEGY...] [OPTIONS]",
    version=_version.__version__,
    version_flags=["--version"],
)
app["--help"].group = app["--version"].group = _OTHER


@app.default
def _parse(
    *strategies: Annotated[str, Task],
    arguments: Arguments = Arguments(),
    overrides: Overrides = Overrides(),  # type: ignore[valid-type]  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
) -> tuple[Arguments, dict[str, Any], Limits]:
    """Returns what `parse` does.

    Args:
        strategies: Bundled names or files; by default isolated_cube. Several strategies and seeds share one ensemble.
        arguments: The arguments.
        overrides: The settings.
        limits: The limits.
    """
    arguments = replace(arguments, strategy=(*strategies, *arguments.strategy))
    return arguments, given(overrides), limits


def given(overrides: object) -> dict[str, Any]:
    """Returns the settings that `Overrides` were given, by name."""
    return {name: value for name, value in vars(overrides).items() if value is not None}


def _names_first(argv: Sequence[str]) -> list[str]:
    """Moves names that follow seeds to the front, as in ``--seed 1 2 mine.py``."""
    names, others, follows_seed = list[str](), list[str](), False
    for before, argument in zip(["", *argv], argv, strict=False):
        is_integer = re.fullmatch(r"[+-]?\d+", argument) is not None
        if follows_seed and not is_integer and not argument.startswith("-"):
            names.append(argument)
            continue
        follows_seed = is_integer and (before == "--seed" or follows_seed)
        others.append(argument)
    return [*names, *others]


def parse(argv: Sequence[str]) -> tuple[Arguments, dict[str, Any], Limits] | None:
    """Parses a command line.

    Returns:
        The arguments, the given settings and the limits; None if help or the version was printed.

    Raises:
        UsageError: The command line is invalid.
    """
    try:
        parsed: tuple[Arguments, dict[str, Any], Limits] | None = app(
            _names_first(argv), exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        raise UsageError(" ".join(str(error).split())) from error
    return parsed
