"""``--json``: a command's results and errors as lines of JSON on standard output, one for each."""

import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from vecparity.errors import UsageError, VecparityError

FLAG = "--json"
# How each command is told to print JSON; others print text, which becomes the one value of a line.
_WORDS = {
    "eval": ("--log", "json"),
    **dict.fromkeys(("compare", "search", "sweep", "leaderboard", "history"), ("--format", "json")),
    **dict.fromkeys(("check", "show", "doctor"), (FLAG,)),
    "schema": (),
}
# Commands that go on until whoever speaks with them ends them.
_CONVERSATIONS = ("play", "mcp")
# Commands of `history` that change it.
_CHANGES = ("rm", "tag", "export", "import", "--check", "--migrate", "--prune-curves")
# The beginning of an error about a strategy.
_PLACE = re.compile(r"(?P<where>.+?\.py(:\d+)?): ")

_OF_STRATEGIES = ("invalid-strategy", "strategy-failed")

_is_on = False


def is_on() -> bool:
    """Returns True while a command runs whose results and errors are lines of JSON."""
    return _is_on


@contextmanager
def lines(enabled: bool) -> Iterator[None]:
    """Has results and errors printed as lines of JSON within a ``with``."""
    global _is_on
    before, _is_on = _is_on, enabled
    try:
        yield
    finally:
        _is_on = before


def words_for(words: list[str]) -> list[str]:
    """Returns a command line without ``--json`` as the command itself takes it.

    Raises:
        UsageError: Another format is asked for, or the command is a conversation.
    """
    name = words[0] if words else ""
    if name in _CONVERSATIONS:
        raise UsageError(f"{FLAG} is for commands that end with results: got it with {name}")
    own = _WORDS[name] if prints_json(words) else ()
    if own and own[0] != FLAG and any(word.partition("=")[0] == own[0] for word in words):
        raise UsageError(f"{FLAG} cannot be combined with {own[0]}: got both")
    return [*words[:1], *own, *words[1:]]


def prints_json(words: list[str]) -> bool:
    """Returns True if a command prints its results as JSON itself."""
    is_text = {"--help", "-h"} & {*words} or (words[:1] == ["history"] and {*_CHANGES} & {*words})
    return bool(words) and words[0] in _WORDS and not is_text


@contextmanager
def text_as_line(words: list[str]) -> Iterator[None]:
    """Prints what a command without results of its own prints as one line, in the end, if it printed anything."""
    if prints_json(words):
        yield
        return
    printed = io.StringIO()
    with redirect_stdout(printed):
        yield
    if text := printed.getvalue():
        write([{"printed": text}])


def write(results: Iterable[object]) -> None:
    """Prints plain values, a line each."""
    sys.stdout.writelines(json.dumps(result, allow_nan=False, ensure_ascii=False) + "\n" for result in results)
    sys.stdout.flush()


def write_error(kind: str, message: str, status: int, notes: Iterable[str] = ()) -> None:
    """Prints an error as a line; where standard output takes none, nothing.

    Args:
        kind: The kind, see `kind_of`.
        message: One line.
        status: The exit status.
        notes: What else is known, such as a traceback in the strategy.
    """
    place = _PLACE.match(message) if kind in _OF_STRATEGIES else None
    where = place["where"] if place else None
    content = {"kind": kind, "message": message, "where": where, "status": status, "notes": list(notes)}
    with suppress(OSError):
        write([{"error": content}])


def kind_of(error: Exception) -> str:
    """Returns an error's kind: ``usage``, ``invalid-strategy``, ``machine`` and so on, by the names of `errors`."""
    name = type(error).__name__.removesuffix("Error").removesuffix("Training")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower() if isinstance(error, VecparityError) else "unexpected"
