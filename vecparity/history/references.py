"""What commands are given, made into evaluations: ids of the history, JSON files, strategies."""

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vecparity.errors import UsageError, brief
from vecparity.evaluation import serialization
from vecparity.evaluation.result import Evaluation
from vecparity.history.store import History
from vecparity.strategy.source import Strategy, load

# Python reads no number of thousands of digits.
_ID = "[0-9]{1,100}"


@dataclass(frozen=True)
class Reference:
    """One thing that was given: an evaluation that exists, or a strategy to be evaluated."""

    name: str
    given: Evaluation | Strategy


def resolve(words: Sequence[str], history: Path | None) -> list[Reference]:
    """Looks up what was given.

    Args:
        words: Digits are an id of the history, what ends in ``.json`` is a file that an evaluation was written to,
            anything else is a bundled strategy or a strategy's file (``./12`` is a file, too).
        history: The history's file, or None for the default.

    Raises:
        UsageError: There is no such thing, or it cannot be read.
        MachineError: The history is damaged.
    """
    made = []
    with ExitStack() as stack:
        opened: History | None = None  # once, since all of the file is checked then, and only for an id
        for word in words:
            if re.fullmatch(_ID, word):
                opened = opened or stack.enter_context(History(history))
                found = opened.get(int(word))
                made.append(Reference(f"{found.entry.strategy} #{word}", found.evaluation))
            elif word.endswith(".json"):
                evaluation = serialization.load(Path(word))
                made.append(Reference(f"{evaluation.provenance.strategy} ({Path(word).name})", evaluation))
            else:
                loaded = load(word)
                made.append(Reference(loaded.name, loaded))
    return made


def existing(words: Sequence[str], history: Path | None) -> list[Evaluation]:
    """Looks up evaluations that exist; without any words, those that the newest recorded command made.

    Raises:
        UsageError: A word means none, or nothing is recorded.
        MachineError: The history is damaged.
    """
    if not words:
        with History(history) as recorded:
            entries = recorded.require_entries()
            newest = [entry.id for entry in entries if entry.command == entries[-1].command]
            return [found.evaluation for found in recorded.evaluations(newest)]
    for word in words:
        if not re.fullmatch(rf"{_ID}|.*\.json", word):
            raise UsageError(f"expected an id of vecparity history or a JSON file, got {brief(word)}")
    return [found.given for found in resolve(words, history) if isinstance(found.given, Evaluation)]
