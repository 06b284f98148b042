"""``vecparity history rm``, ``tag``, ``export`` and ``import``: what a person does with recorded evaluations."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vecparity.cli.arguments import Switch
from vecparity.cli.output import show
from vecparity.errors import UsageError, brief
from vecparity.history.references import ID

if TYPE_CHECKING:
    from vecparity.history.changes import Imported

_ALL = "all"


def rm_(*ids: str, yes: Switch = False, history: Path | None = None) -> int:
    """Remove evaluations for good: results, curves, and the source if no other evaluation has it.

    Args:
        ids: The evaluations' ids, as listed by vecparity history.
        yes: Remove them, as nothing brings them back (vecparity history export keeps them in a file).
        history: The file in which they are recorded; by default one in the user's data directory.
    """
    from vecparity.history.changes import remove
    from vecparity.history.store import History

    numbers = _numbers(ids)
    described = _described(numbers, history)
    if not yes:
        raise UsageError(f"removing cannot be undone: expected --yes to remove {'; '.join(described)}")
    with History(history, create=True) as opened:
        remove(opened, numbers)
    show(*(f"removed {words}" for words in described))
    return 0


def tag_(*words: str, history: Path | None = None) -> int:
    """Note words about evaluations, which vecparity history lists beside them.

    Args:
        words: Ids of evaluations, then the words, such as 12 13 "my baseline". They replace earlier ones; "" removes
            those.
        history: The file in which the evaluations are recorded; by default one in the user's data directory.
    """
    from vecparity.history.changes import note
    from vecparity.history.records import require_note
    from vecparity.history.store import History

    num_ids = next((number for number, word in enumerate(words) if not re.fullmatch(ID, word)), len(words))
    if not 0 < num_ids < len(words):
        actual = " ".join(words) or "nothing"
        raise UsageError(f'expected ids and then words, such as 12 13 "my baseline", got {brief(actual)}')
    numbers = _numbers(words[:num_ids])
    text = " ".join(words[num_ids:])
    require_note(text or None)
    described = _described(numbers, history)
    with History(history, create=True) as opened:
        note(opened, numbers, text or None)
    show(*(f"tagged {each}: {text}" if text else f"no tag any more: {each}" for each in described))
    return 0


def export_(file: Path, /, *ids: str, history: Path | None = None) -> int:
    """Write evaluations, with their sources, to a new file that vecparity history import reads back bit for bit.

    Args:
        file: The file, which must not exist. It has a JSON object a line, for one evaluation each.
        ids: The evaluations' ids; by default, or with all, all of them.
        history: The file in which they are recorded; by default one in the user's data directory.
    """
    from vecparity.history import exchange
    from vecparity.history.store import History

    numbers = None if ids in ((), (_ALL,)) else _numbers(ids)
    with History(history) as opened:
        opened.require_entries()
        count = exchange.export(opened, numbers, file)
    show(f"{file}: {count} evaluations, {file.stat().st_size / 1e3:,.0f} kB")
    return 0


def import_(*files: Path, history: Path | None = None) -> int:
    """Record evaluations from files: all of them or, after an error, none. They are marked as imported.

    Args:
        files: Files of vecparity history export, or JSON files of vecparity eval --output-dir. What they tell is
            checked for sense, but that somebody's evaluator made it is not: eval --reuse never answers from it.
        history: The file in which to record them; by default one in the user's data directory.
    """
    from vecparity.history import exchange
    from vecparity.history.changes import add_imported
    from vecparity.history.store import History

    if not files:
        raise UsageError("expected files of evaluations to import, got none")
    places: list[Path] = []

    def noting_places() -> "Iterator[Imported]":
        for imported in exchange.read(files):
            places.append(imported.file)
            yield imported

    with History(history, create=True) as opened:
        ids = add_imported(opened, noting_places())
    known = Counter(place for place, id_ in zip(places, ids, strict=True) if id_ is None)
    for file in dict.fromkeys(files):
        new = [str(id_) for place, id_ in zip(places, ids, strict=True) if place == file and id_ is not None]
        said = [f"recorded as {', '.join(new)}"] if new else []
        said += [f"{known[file]} recorded before, and left out"] if known[file] else []
        show(f"{file}: {'; '.join(said) or 'no evaluations'}")
    return 0


def _numbers(ids: Sequence[str]) -> list[int]:
    """Returns ids as numbers, each once."""
    if not ids:
        raise UsageError("expected ids of evaluations (vecparity history lists them), got none")
    if invalid := [id_ for id_ in ids if not re.fullmatch(ID, id_)]:
        raise UsageError(f"expected ids of evaluations (vecparity history lists them), got {brief(invalid[0])}")
    return list(dict.fromkeys(map(int, ids)))


def _described(ids: Sequence[int], path: Path | None) -> list[str]:
    """Returns words for each evaluation; opens the history read-only, which makes no file.

    Raises:
        UsageError: An id has no evaluation, or nothing is recorded.
    """
    from vecparity.history.changes import entries_of
    from vecparity.history.store import History

    with History(path) as opened:
        entries = entries_of(opened, ids)
    return [f"{entry.id} ({entry.title}, {entry.label}, seed {entry.seed})" for entry in entries]
