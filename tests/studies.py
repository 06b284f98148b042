"""Reads a study's or a history's file while another process writes it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from vecparity import History
from vecparity.errors import UsageError


def count_finished(study: Path) -> int:
    """Returns the number of complete trials; 0 while there is no such file, or no table in it."""
    if not study.exists():
        return 0
    with closing(sqlite3.connect(f"{study.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            number: int = connection.execute("select count(*) from trials where state = 'COMPLETE'").fetchone()[0]
        except sqlite3.OperationalError:
            return 0
    return number


def count_recorded(history: Path) -> int:
    """Returns the number of evaluations; 0 while there is no history yet."""
    try:
        with History(history) as opened:
            return opened.count()
    except UsageError:
        return 0
