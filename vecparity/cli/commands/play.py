"""``vecparity play``: a person's session at a terminal, or a script's through a pipe."""

from pathlib import Path

from vecparity.cli.interruption import Interruption
from vecparity.cli.session_arguments import SessionArguments
from vecparity.sandbox.limits import Limits


def play(
    *,
    directory: Path | None = None,
    progress: bool | None = None,
    arguments: SessionArguments = SessionArguments(),  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
) -> int:
    """Edit, test and submit a strategy by hand, as the benchmark has an agent do it.

    Commands are read from standard input, one a line: help lists them.

    Args:
        directory: Keep the file and each of its versions in this directory, which is made if need be.
        progress: Show a live display on standard error while a test runs; by default if standard error is a terminal.
        arguments: The arguments.
        limits: The limits.

    Returns:
        The exit status: 0, or that of the submission's first configuration without a score.
    """
    from vecparity.agent.evaluators import Evaluators
    from vecparity.agent.session import Session
    from vecparity.cli.prompt import Prompt

    with Interruption(), arguments.settings() as settings, Evaluators(arguments.options(limits)) as evaluators:
        return Prompt(Session(evaluators, settings, directory), progress).run()
