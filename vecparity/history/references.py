"""Resolves the arguments of commands: ids of the history, JSON files, strategies."""

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vecparity.errors import UsageError, brief
from vecparity.evaluation import serialization
from vecparity.evaluation.result import Evaluation
from vecparity.history.records import Recorded
from vecparity.history.store import History
from vecparity.strategy.source import Strategy, distinct_ends, load_all

# Python refuses to parse numbers of thousands of digits.
ID = "[0-9]{1,100}"
_LATEST = "latest"


@dataclass(frozen=True)
class Reference:
    """A resolved argument: an existing evaluation, or a strategy to evaluate.

    Attributes:
        name: The name for people.
        subject: The evaluation or the strategy.
        id: The evaluation's id in the history, or None if it is not from there.
        source: The source of the evaluation's strategy, or None if the history does not have it.
    """

    name: str
    subject: Evaluation | Strategy
    id: int | None = None
    source: bytes | None = None


def require_id(word: str) -> None:
    """Checks that a word is an id, or ``latest``.

    Raises:
        UsageError: It is neither.
    """
    if not re.fullmatch(f"{ID}|{_LATEST}", word):
        raise UsageError(f"expected an id of vecparity history, or {_LATEST}, got {brief(word)}")


def look_up(history: History, word: str) -> Recorded:
    """Returns the recorded evaluation that an id, or ``latest``, names.

    Raises:
        UsageError: There is no such evaluation.
        MachineError: The evaluation is damaged.
    """
    return history.latest() if word == _LATEST else history.get(int(word))


def resolve(words: Sequence[str], history: Path | None) -> list[Reference]:
    """Resolves arguments.

    Args:
        words: The arguments. Digits are an id of the history, ``latest`` is its newest evaluation, a name ending in
            ``.json`` is an evaluation's file, and anything else is a bundled strategy or a strategy's file (``./12``
            and ``./latest`` are also files). Files that share a name are named after their directories, too.
        history: The history's file, or None for the default.

    Raises:
        UsageError: An argument does not exist or cannot be read.
        MachineError: The history is damaged.
    """
    files = distinct_ends(Path(os.path.abspath(word)) for word in words if word.endswith(".json"))
    strategies = iter(load_all([word for word in words if not _is_evaluation(word)], each_once=False))
    references = []
    with ExitStack() as stack:
        opened: History | None = None  # opened once, since opening checks the whole file, and only for an id
        for word in words:
            if not _is_evaluation(word):
                strategy = next(strategies)
                references.append(Reference(strategy.name, strategy))
            elif word.endswith(".json"):
                evaluation = serialization.load(Path(word))
                file = files[Path(os.path.abspath(word))]
                references.append(Reference(f"{evaluation.provenance.title} ({file})", evaluation))
            else:
                opened = opened or stack.enter_context(History(history))
                found = look_up(opened, word)
                name = f"{found.evaluation.provenance.title} #{found.entry.id}"
                references.append(Reference(name, found.evaluation, found.entry.id, found.source))
    return references


def _is_evaluation(word: str) -> bool:
    """Returns True if the word means an evaluation that exists, and no strategy."""
    return re.fullmatch(rf"{ID}|{_LATEST}|.*\.json", word, re.DOTALL) is not None


def existing(words: Sequence[str], history: Path | None) -> tuple[list[Evaluation], list[bytes]]:
    """Looks up existing evaluations; without any words, the evaluations that the newest command recorded or reused.

    Returns:
        The evaluations, and the sources of their strategies that the history has.

    Raises:
        UsageError: A word does not name an evaluation, or nothing is recorded.
        MachineError: The history is damaged.
    """
    if not words:
        with History(history) as recorded:
            recorded.require_entries()
            newest = recorded.evaluations(recorded.newest_command())
        return [found.evaluation for found in newest], [found.source for found in newest if found.source is not None]
    for word in words:
        if not _is_evaluation(word):
            raise UsageError(f"expected an id of vecparity history, {_LATEST} or a JSON file, got {brief(word)}")
    references = resolve(words, history)
    evaluations = [found.subject for found in references if isinstance(found.subject, Evaluation)]
    return evaluations, [found.source for found in references if found.source is not None]
