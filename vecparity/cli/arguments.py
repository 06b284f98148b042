"""The arguments of ``vecparity eval`` and their parser."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, Token

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


@Parameter(name="*", negative_iterable=())
@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The evaluation's strategies, settings, device and output.

    Attributes:
        strategy: Bundled names or files. Several strategies and several seeds share one ensemble.
        seed: Top-level seeds.
        param: Values for the strategies' parameters, as in --param lr=0.01 wd=0.3.
        config: One of the benchmark's configurations.
        all_configs: All three configurations, one after another.
        protocol: full: 10 secrets x 10 orderings, 100 000 steps. published: 5 x 3, 30 000 steps.
        smoke: A short evaluation, to check that everything works.
        engine: The training engine. reference is the sequential evaluator; cuda and triton need a GPU.
        device: The training device. auto takes CUDA if available; cuda:1 is one of several GPUs, cuda:all takes all.
        init_device: The device on which init_model draws. cuda reproduces the original's draws on a GPU.
        threads: CPU threads.
        chunk_runs: The most runs that vmap trains together. Fewer need less memory.
        log: full: every metric line. digest: the last few and the final lines. final: only the final lines.
        progress: Show a live display on standard error; by default if standard error is a terminal.
        output_dir: The directory for a JSON file of each evaluation.
        label: The name of the JSON file.
        tensorboard: A directory for the curves, written during training, for TensorBoard.
        strategy_log: A file for strategies' output; after an error the output is shown anyway.
        containment: The sandbox around strategies. auto takes the strongest that the machine has.
        require_containment: Refuse to evaluate with weaker containment.
        checkpoint: The directory for training checkpoints; by default in the output directory, if given.
        resume: Resume from the checkpoints.
        checkpoint_seconds: The least time between two checkpoints.
        sealed: Draw everything from streams under a fresh key, which is kept in the output directory.
        seal_key: Draw everything from streams under the key in this file.
        draw: Repeat the sealed evaluation that has this draw in its JSON. By default each has a draw of its own under
            the key, so that nothing learnt in one is worth anything in another.
        same_draw: Evaluate on the key's common draw. What authors learn about it accumulates, if only from scores:
            only final figures are printed.
        audit: Audit strategies for knowledge that they should not have: report it, or withhold the score. By
            default strategies that are not bundled are reported on, unless sealed.
        history: The file in which evaluations are recorded; by default one in the user's data directory.
        no_history: Record nothing.
        reuse: Reuse evaluations in the history with the same source, settings, engine and versions.
        list_strategies: Print the bundled strategies' names and stop.
        debug: Show a traceback with an error.
    """

    strategy: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ("isolated_cube",)
    seed: Seeds = (42,)
    param: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = ()
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
    tensorboard: Path | None = None
    strategy_log: Path | None = None
    containment: Containment = "auto"
    require_containment: Level | None = None
    checkpoint: Path | None = None
    resume: Switch = False
    checkpoint_seconds: float = 60.0
    sealed: Switch = False
    seal_key: Path | None = None
    draw: str | None = None
    same_draw: Switch = False
    audit: AuditMode | None = None
    history: Path | None = None
    no_history: Switch = False
    reuse: Switch = False
    list_strategies: Switch = False
    debug: Switch = False


# A flag for every field of TaskConfig, with the field's name and description.
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
    version=_version.__version__,
    version_flags=["--version"],
)


@app.default
def _parse(
    arguments: Arguments = Arguments(),
    overrides: Overrides = Overrides(),  # type: ignore[valid-type]  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
) -> tuple[Arguments, dict[str, Any], Limits]:
    return arguments, {name: value for name, value in vars(overrides).items() if value is not None}, limits


def parse(argv: Sequence[str]) -> tuple[Arguments, dict[str, Any], Limits] | None:
    """Parses a command line.

    Returns:
        The arguments, the given settings and the limits; None if help or the version was printed.

    Raises:
        UsageError: The command line is invalid.
    """
    try:
        parsed: tuple[Arguments, dict[str, Any], Limits] | None = app(
            argv, exit_on_error=False, print_error=False, result_action="return_value"
        )
    except CycloptsError as error:
        raise UsageError(" ".join(str(error).split())) from error
    return parsed
