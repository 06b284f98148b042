"""``vecparity schema``: the JSON Schema of what commands print with ``--json``."""

from typing import Literal

from vecparity.cli.output import show_json

Command = Literal["eval", "check", "compare", "search", "sweep", "leaderboard", "history", "show", "doctor", "others"]


def schema(command: Command, /) -> int:
    """Print the JSON Schema of the lines that a command prints with --json: one for each result, or an error.

    Args:
        command: The command; others print what they print for people as one text.
    """
    from vecparity.cli import json_types

    show_json(json_types.schema(command))
    return 0
