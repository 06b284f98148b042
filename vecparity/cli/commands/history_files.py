"""``vecparity history`` on the file itself: its migration, its check, and the curves that it need not keep."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vecparity.cli.output import show

if TYPE_CHECKING:
    from vecparity.history.records import Entry
    from vecparity.history.store import History


def migrate(path: Path) -> int:
    """Migrates the history, and says where the old file is."""
    from vecparity.history.database import VERSION
    from vecparity.history.migration import migrate as migrate_file

    backup = migrate_file(path)
    show(f"{path} was migrated to version {VERSION}; {backup} is a copy of the old file")
    return 0


def check(history: "History") -> int:
    """Reads everything in the history."""
    count = history.check()
    show(f"all {count} evaluations in {history.path} are as they were recorded")
    return 0


def prune(path: Path, entries: Sequence["Entry"], *, yes: bool) -> int:
    """Says how much room the curves of the entries take, and drops them if that is confirmed."""
    from vecparity.history.pruning import bytes_of_curves, prunable, prune_curves

    chosen = prunable(entries)
    room = f"{bytes_of_curves(path, chosen) / 2**20:.1f} MiB"
    scope = f"the curves of {len(chosen)} of {len(entries)} evaluations"
    if num_left := len(entries) - len(chosen):
        scope += f" ({num_left} are sealed or have none)"
    if not yes:
        show(f"--yes drops {scope}, {room}")
        return 0
    prune_curves(path, chosen)
    show(f"dropped {scope}, {room}")
    return 0
