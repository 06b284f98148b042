"""Edits that tests of sessions share."""

import pytest

from vecparity.agent.scaffold import Scaffold
from vecparity.agent.session import Session
from vecparity.strategy.source import load
from vecparity.tuning.winners import can_seal

# Elsewhere the score is the public one, and no server starts unasked.
needs_seal = pytest.mark.skipif(not can_seal("auto", None), reason="no containment here keeps a key from strategies")
HANGING = "while True:\n    pass\n"


def put(session: Session, content: str) -> str:
    """Replaces the whole block."""
    file: Scaffold = session.file
    return session.edit("replace", file.first, file.last, content)


def put_strategy(session: Session, name: str) -> str:
    """Replaces the whole block by a bundled strategy's text."""
    return put(session, load(name).source.decode())
