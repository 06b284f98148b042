"""The benchmark's own commands, ``scripts/eval*.sh``: an evaluation as the benchmark's harness asks for it.

What flags do not say is taken from environment variables: ``$STRATEGY`` (or ``custom_strategy.py`` in the current
directory), ``$SEED``, ``$OUTPUT_DIR`` and ``$PROTOCOL``. Every metric line is printed, as the original does.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from vecparity.cli.search_path import leave_current_directory

if __name__ == "__main__":
    leave_current_directory()

from vecparity.cli import standard_streams
from vecparity.cli.arguments import parse
from vecparity.cli.commands import evaluate
from vecparity.cli.messages import fail, say
from vecparity.errors import UsageError, brief

_STRATEGY = "custom_strategy.py"
_VARIABLES = {"--seed": "SEED", "--output-dir": "OUTPUT_DIR", "--protocol": "PROTOCOL"}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    standard_streams.prepare()
    argv = list(sys.argv[1:] if argv is None else argv)
    given = {argument.partition("=")[0] for argument in argv}
    wanted = {flag: os.environ.get(variable) for flag, variable in _VARIABLES.items()} | {"--log": "full"}
    argv += [f"{flag}={value}" for flag, value in wanted.items() if value and flag not in given]
    try:
        parsed = parse(argv)
        if parsed is not None and not parsed[0].strategy and not parsed[0].list_strategies:
            argv.append(f"--strategy={_strategy()}")
    except UsageError as error:
        return fail(error)
    return evaluate.main(argv)


def _strategy() -> str:
    """Returns the strategy of the environment or of the current directory, and says which it is."""
    name = os.environ.get("STRATEGY") or _STRATEGY
    if "STRATEGY" not in os.environ and not Path(name).is_file():
        raise UsageError(
            f"expected the strategy to evaluate: {_STRATEGY} in the current directory, $STRATEGY, or a name or file "
            f"as argument, got none in {brief(os.getcwd())}"
        )
    say(f"evaluating {os.path.abspath(name) if os.path.exists(name) else name}")
    return name


if __name__ == "__main__":
    standard_streams.leave(main())
