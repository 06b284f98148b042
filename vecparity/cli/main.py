"""The command ``vecparity``: each subcommand is a function of `cli.commands`, loaded on demand.

Exit statuses are those of `cli.commands.evaluate`.
"""

import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from typing import NoReturn

from cyclopts import App, CycloptsError

from vecparity import _version
from vecparity.cli import arguments, json_lines, standard_streams
from vecparity.cli.commands import evaluate
from vecparity.cli.messages import fail, fail_to_print, flush, interrupted, show_warning
from vecparity.cli.search_path import leave_current_directory
from vecparity.errors import UsageError

_COMMANDS = {
    "new": "Write a strategy to start from.",
    "check": "Look at what a strategy answers, without training.",
    "compare": (
        "Say whether strategies do better than another.\n\n"
        "Differences are those on the secrets that both have, or else between independent samples. The 95% intervals "
        "over secrets are Student's (Welch's between samples). A difference is called real if its interval excludes "
        "0: of identical strategies, accuracy in about 1 of 20 comparisons and steps in about 1 of 20, so that either "
        "is in about 1 of 10."
    ),
    "search": (
        "Look for the best values of a strategy's parameters.\n\n"
        "    vecparity search mine.py --tune lr=1e-3:1e-1:log wd=0:1 --trials 200 --study mine.db -o best.py\n\n"
        "All trials share secrets, orderings and seeds, and many train together. The best are evaluated anew, on "
        "secrets that the search has not seen. Needs pip install 'vecparity[search]'."
    ),
    "sweep": (
        "Evaluate a strategy at every point of a grid.\n\n"
        "    vecparity sweep mine.py --over lr=0.001,0.01 --over hidden_width=128:1024:4:log --csv runs.csv"
    ),
    "report": "Write a report on evaluations: one HTML file.",
    "leaderboard": "Rank strategies: the recorded ones, or those in files.",
    "history": "List recorded evaluations; tag, remove, export and import them.",
    "show": "Print one recorded evaluation.",
    "play": (
        "Edit, test and submit a strategy by hand, as the benchmark has an agent do it.\n\n"
        "The file's block is edited by line numbers or in $EDITOR; a session has three tests and one submission, which "
        "is scored on secrets of its own. Commands are read from standard input: help lists them."
    ),
    "mcp": (
        "Serve sessions to agents: the loop of play as tools of the Model Context Protocol.\n\n"
        "    vecparity mcp\n\n"
        "    vecparity mcp --transport http --port 8000\n\n"
        "Every client begins sessions of its own. Nothing that clients send runs outside a sandbox. Needs pip install "
        "'vecparity[agent]'."
    ),
    "schema": "Print the JSON Schema of what a command prints with --json.",
    "guide": "Show a page of the guide, or list its pages.",
    "doctor": "Say what this machine can run, how fast, and what is missing.",
    "completion": (
        "Print the script that lets a shell complete this command.\n\n"
        "For this session: source <(vecparity completion bash), in zsh source <(vecparity completion zsh), in fish "
        "vecparity completion fish | source. For every session: the same line in ~/.bashrc, in ~/.zshrc behind "
        "compinit, or in ~/.config/fish/config.fish."
    ),
}

app = App(
    name="vecparity",
    help=(
        "A workbench for strategies of the optimization-parity benchmark: look, evaluate, compare, remember.\n\n"
        "With --json every command prints its results and errors as lines of JSON (vecparity schema describes them)."
    ),
    version=_version.__version__,
    version_flags=["--version"],
    suppress_keyboard_interrupt=False,
)
app.command(arguments.app, name="eval")
for _name, _help in _COMMANDS.items():
    _attribute = "app" if _name == "history" else _name  # the history has commands of its own
    app.command(f"vecparity.cli.commands.{_name}:{_attribute}", name=_name, help=_help)


def run() -> NoReturn:
    """Runs this process's own command, and ends the process with its status."""
    standard_streams.leave(main())


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status; without ``argv``, as this process's own command."""
    if argv is None:
        leave_current_directory()
        argv = sys.argv[1:]
    debug = "--debug" in argv
    words = [argument for argument in argv if argument not in ("--debug", json_lines.FLAG)]
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    with json_lines.lines(json_lines.FLAG in argv):
        return _in_lines(words, debug=debug) if json_lines.is_on() else _main(words, debug=debug)


def _in_lines(words: list[str], *, debug: bool) -> int:
    standard_streams.prepare()
    try:
        told = json_lines.words_for(words)
    except UsageError as error:
        return flush(fail(error))
    return _main(told, debug=debug)


def _main(words: list[str], *, debug: bool) -> int:
    if words[:1] == ["eval"]:
        return evaluate.main([*words[1:], *["--debug"] * debug])
    standard_streams.prepare()
    warnings.showwarning = show_warning
    try:
        return flush(_run(words))
    except KeyboardInterrupt:
        return interrupted("interrupted", 130)
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.filename is None:  # an error about a file names it
            return fail_to_print(error)
        return flush(fail(error))


def _run(argv: list[str]) -> int:
    try:
        with json_lines.text_as_line(argv) if json_lines.is_on() else nullcontext():
            status: int | None = app(argv, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        raise UsageError(" ".join(str(error).split())) from error
    return status or 0  # None if help or the version was printed
