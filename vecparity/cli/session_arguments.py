"""The arguments of the commands that hold agents' sessions: ``vecparity play`` and ``vecparity mcp``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vecparity.cli.arguments import History as InHistory
from vecparity.cli.arguments import Integer, Output, Switch, Task, Training, Trust, Whole
from vecparity.cli.messages import warn
from vecparity.errors import UsageError
from vecparity.sandbox.levels import Containment, Level
from vecparity.sandbox.limits import Limits
from vecparity.task.config import Protocol
from vecparity.training.engines.names import DeviceName, EngineName

if TYPE_CHECKING:
    from vecparity.agent.settings import SessionSettings
    from vecparity.evaluation.options import Options


@Parameter(name="*", show_default=lambda value: value if isinstance(value, str | int | float) else None)
@dataclass(frozen=True, kw_only=True)
class SessionArguments:
    """The rules of a session, and where strategies run.

    Attributes:
        budget: The number of tests.
        protocol: published: 5 secrets x 3 orderings, 30 000 steps. full: 10 x 10, 100 000 steps.
        smoke: Short tests, to check that everything works.
        seed: The top-level seed of tests. The submission has secrets of its own.
        hidden: A configuration that tests leave out and the submission has.
        seconds: The most seconds of a test, and of the submission.
        digest: What a test shows. harness: the last lines of each configuration. compact: one line for each.
        engine: The training engine; not reference, which cannot be stopped during a run.
        device: The training device.
        threads: CPU threads.
        containment: The sandbox around strategies. auto takes the strongest that the machine has.
        require_containment: Refuse weaker containment.
        history: The file in which tests and submissions are recorded; by default one in the user's data directory.
        no_history: Record nothing.
    """

    budget: Annotated[Whole, Task] = 3
    protocol: Annotated[Protocol, Task] = "published"
    smoke: Annotated[Switch, Task] = False
    seed: Annotated[Whole, Task] = 42
    hidden: Annotated[Literal["n32-k8", "n50-k8", "n64-k8"] | None, Task] = None
    seconds: Annotated[float, Task] = 3600.0
    digest: Annotated[Literal["harness", "compact"], Output] = "harness"
    engine: Annotated[EngineName, Training] = "auto"
    device: Annotated[DeviceName, Training] = "auto"
    threads: Annotated[Integer, Training] = None
    containment: Annotated[Containment, Trust] = "auto"
    require_containment: Annotated[Level | None, Trust] = None
    history: Annotated[Path | None, InHistory] = None
    no_history: Annotated[Switch, InHistory] = False

    @contextmanager
    def settings(self) -> "Iterator[SessionSettings]":
        """Checks the rules, and opens the history once, so that it is migrated and can be written.

        Raises:
            UsageError: A rule is invalid, or the requested file is not a history.
            MachineError: The requested file is damaged or cannot be written.
        """
        from vecparity.agent.settings import SessionSettings
        from vecparity.history.recorder import opened

        if self.no_history and self.history is not None:
            raise UsageError(f"--no-history cannot be combined with --history {self.history}")
        with opened(self.history, enabled=not self.no_history, warn=warn) as history:
            yield SessionSettings(
                budget=self.budget,
                protocol=self.protocol,
                smoke=self.smoke,
                seed=self.seed,
                hidden=self.hidden,
                seconds=self.seconds,
                digest=self.digest,
                history=None if history is None else history.path.absolute(),
            )

    def options(self, limits: Limits) -> "Options":
        """Returns the options of tests, which are not audited.

        Raises:
            UsageError: An option is invalid.
        """
        from vecparity.evaluation.options import Options

        return Options(
            engine=self.engine,
            device=self.device,
            threads=self.threads,
            containment=self.containment,
            require_containment=self.require_containment,
            limits=limits,
            audit="off",
        )
