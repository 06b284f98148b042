"""The arguments of ``vecparity search``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from vecparity.cli.arguments import History as InHistory
from vecparity.cli.arguments import Integer, Output, Switch, Task, Training, Trust, Whole
from vecparity.cli.output import Format
from vecparity.sandbox.levels import Containment, Level
from vecparity.task.config import Protocol
from vecparity.training.engines.names import DeviceName, EngineName

_Several = Parameter(consume_multiple=True, negative_iterable=())


@Parameter(name="*", show_default=lambda value: value if isinstance(value, str | int) else None)
@dataclass(frozen=True, kw_only=True)
class SearchArguments:
    """The arguments of a search, apart from the settings and limits.

    Attributes:
        tune: Ranges of parameters, beside those in the strategy's signatures (Annotated[float, Range(1e-3, 1e-1,
            log=True)]) or in their place, as in --tune lr=1e-3:1e-1:log wd=0,0.01,0.3.
        trials: The number of trials that there shall be, with those of earlier sittings of the study.
        batch: Trials that train together. Fewer learn more from each other, and take longer.
        sampler: Optuna's sampler.
        seed: The seed of all trials and of the sampler; not 42, the benchmark's own.
        param: Values for parameters that are not to vary, as in --param wd=0.3.
        config: The configuration of the trials.
        protocol: published: 5 secrets x 3 orderings, 30 000 steps. full: 10 x 10, 100 000 steps.
        smoke: Short trials, to check that everything works.
        race: Begin each trial with a few of its runs, and drop it when these are worse than the best trial's.
        rescore: The number of the best trials that are evaluated anew: on all configurations, under a fresh seal.
        study: A SQLite file that keeps the trials: the same command goes on where it was.
        output: Write the strategy with the winner's values as its defaults to this file.
        report: Write trials, winners and pictures to this HTML file.
        format_: The output format. json has all trials.
        wide: Show all columns, though the table is wider than the terminal.
        progress: Show a live display on standard error; by default if standard error is a terminal.
        engine: The training engine.
        device: The training device.
        threads: CPU threads; of each worker, if there are any.
        workers: Evaluate in so many processes of this machine, or on Ray: ray, or ray://HOST:PORT of a cluster. The
            results are the same.
        containment: The sandbox around strategies. auto takes the strongest that the machine has.
        require_containment: Refuse weaker containment.
        seal_key: A file with the key under which winners are evaluated; by default a new one, which is kept in the
            user's data directory.
        history: The file in which winners are recorded; by default one in the user's data directory.
        no_history: Record nothing.
    """

    tune: Annotated[tuple[str, ...], _Several, Task] = ()
    trials: Annotated[Whole, Task] = 100
    batch: Annotated[Whole, Task] = 16
    sampler: Annotated[Literal["tpe", "cmaes", "gp", "random"], Task] = "tpe"
    seed: Annotated[Whole, Task] = 1
    param: Annotated[tuple[str, ...], _Several, Task] = ()
    config: Annotated[Literal["n32-k8", "n50-k8", "n64-k8"], Task] = "n32-k8"
    protocol: Annotated[Protocol, Task] = "published"
    smoke: Annotated[Switch, Task] = False
    race: Annotated[Switch, Task] = False
    rescore: Annotated[Whole, Task] = 5
    study: Annotated[Path | None, Output] = None
    output: Annotated[Path | None, Parameter(name=["--output", "-o"]), Output] = None
    report: Annotated[Path | None, Output] = None
    format_: Annotated[Format, Parameter(name="--format"), Output] = "table"
    wide: Annotated[Switch, Output] = False
    progress: Annotated[bool | None, Output] = None
    engine: Annotated[EngineName, Training] = "auto"
    device: Annotated[DeviceName, Training] = "auto"
    threads: Annotated[Integer, Training] = None
    workers: Annotated[str | None, Training] = None
    containment: Annotated[Containment, Trust] = "auto"
    require_containment: Annotated[Level | None, Trust] = None
    seal_key: Annotated[Path | None, Trust] = None
    history: Annotated[Path | None, InHistory] = None
    no_history: Annotated[Switch, InHistory] = False
