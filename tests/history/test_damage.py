"""Rows, documents and curves of a history that nobody records: each gives one line at once."""

import os
import shutil
import sqlite3
import zlib
from pathlib import Path

import pytest
from damaging import changed
from made import made
from reading import assert_documented, read_in_a_child

from vecparity import Evaluation
from vecparity.errors import MachineError
from vecparity.evaluation import serialization
from vecparity.evaluation.summary import summarize
from vecparity.history.store import History
from vecparity.strategy.source import Strategy, load


@pytest.fixture
def recorded(evaluation: Evaluation, tmp_path: Path) -> Path:
    path = tmp_path / "history.sqlite3"
    with History(path, create=True) as history:
        history.add(evaluation, load("isolated_cube"), "a")
    return path


ENTRIES: list[tuple[str, object]] = [
    ("strategy", "\x1b[2J"),
    ("strategy", "two\nlines"),
    ("strategy", b"bytes"),
    ("strategy", "a" * 10**6),
    ("command", "\x1b]0;title\x07"),
    ("command", b"\xff"),
    ("label", "\u202en32"),
    ("protocol", "\x9b1m"),
    ("engine", "\r"),
    ("failed_audits", "\x1b[2J"),
    ("seal", "\x1b[2J"),
    ("seal", b""),
    ("recorded_at", "yesterday"),
    ("recorded_at", "2026-01-01T00:00:00"),
    ("recorded_at", "0001-01-01T00:00:00+00:00"),
    ("recorded_at", "9999-12-31T23:59:59-23:00"),
    ("seed", "many"),
    ("seed", 1.5),
    ("seed", b"1"),
    ("test_accuracy", "high"),
    ("test_accuracy", float("inf")),
    ("test_accuracy", -1.0),
    ("mean_steps", "\x1b[2J"),
    ("num_runs", "four"),
    ("num_diverged", 5),
    ("num_diverged", -1),
    ("wall_seconds", float("-inf")),
    ("wall_seconds", "a"),
    ("strategy_sha256", b"a"),
    ("params", "\x1b"),
    ("params", "[]"),
    ("params", '{"a b": 1}'),
    ("params", '{"a": null}'),
    ("params", '{"a": "\\u001b[2J"}'),
    ("params", '{"a": 9223372036854775808}'),
    ("params", b"{}"),
    ("has_curves", 2),
    ("has_curves", "yes"),
]


@pytest.mark.parametrize("redigest", [True, False])
@pytest.mark.parametrize(("column", "value"), ENTRIES)
def test_entries_that_nobody_records(recorded: Path, column: str, value: object, redigest: bool) -> None:
    changed(recorded, column, value, redigest=redigest)
    with History(recorded) as history:
        for look in (history.entries, history.evaluations, lambda: history.get(1)):
            with pytest.raises(MachineError, match=r"history\.sqlite3: evaluation 1 is damaged: ") as raised:
                look()
            assert str(raised.value).isprintable() and len(str(raised.value)) < 500


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("strategy", "another"),
        ("seed", 43),
        ("label", "n50-k8"),
        ("protocol", "full"),
        ("engine", "another"),
        ("test_accuracy", 1.0),
        ("test_accuracy", None),
        ("mean_steps", 1.0),
        ("num_runs", 5),
        ("num_diverged", 1),
        ("failed_audits", "overlap"),
        ("seal", "0" * 64),
        ("wall_seconds", 0.5),
        ("params", '{"a": 1}'),
        ("summary", "{}"),
        ("document", "text"),
        ("document", 1),
        ("document", b""),
        ("curves", "text"),
        ("curves", b""),
    ],
)
def test_a_row_tells_of_its_evaluation(recorded: Path, column: str, value: object) -> None:
    table = {"document": "documents", "curves": "curves"}.get(column, "evaluations")
    changed(recorded, column, value, table=table)
    with History(recorded) as history:
        assert len(history.entries()) == 1
        with pytest.raises(MachineError, match=r"history\.sqlite3: evaluation 1 is damaged: "):
            history.get(1)


def test_a_source_is_the_one_that_was_hashed(recorded: Path) -> None:
    for source in (b"another", zlib.compress(b"another"), zlib.compress(load("isolated_cube").source)[:-1], "text", 7):
        with sqlite3.connect(recorded) as connection:
            connection.execute("UPDATE strategies SET source = ?", (source,))
        connection.close()
        with History(recorded) as history, pytest.raises(MachineError, match="evaluation 1 is damaged: "):
            history.get(1)


def test_a_repetition_is_of_its_evaluation(recorded: Path) -> None:
    changed(recorded, "repetition", "0" * 64)
    with (
        History(recorded) as history,
        pytest.raises(MachineError, match=r"1 is damaged: expected the fingerprint .*, got another"),
    ):
        list(history.same("0" * 64))


@pytest.mark.parametrize(
    "column",
    [
        *("recorded_at", "command", "strategy", "seed", "test_accuracy", "num_runs", "has_curves", "repetition"),
        *("document_sha256", "curves_sha256", "summary_sha256", "row_sha256"),
    ],
)
def test_a_changed_row_is_seen(recorded: Path, column: str) -> None:
    """Also if what it is changed to is possible, or to nothing."""
    values = {"recorded_at": "2026-01-01T00:00:00+00:00", "command": "b", "strategy": "b", "repetition": "b"}
    value = bytes(32) if column.endswith("_sha256") else values.get(column, 0)
    changed(recorded, column, value, redigest=False)
    with History(recorded) as history:
        with pytest.raises(MachineError, match=r"1 is damaged: expected the recorded row, .*, got another"):
            history.entries()
        with pytest.raises(MachineError, match="1 is damaged: "):
            history.get(1)
        with pytest.raises(MachineError, match="1 is damaged: "):
            history.check()


@pytest.fixture
def ranked(tmp_path: Path) -> Path:
    """A history of one evaluation that ranks."""
    path = tmp_path / "history.sqlite3"
    one = made("mine", [[(1_750, 0.75)] * 3] * 5)
    with History(path, create=True) as history:
        history.add(one, Strategy("mine", "mine.py", b"mine"), "a")
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"seed":42', '"seed":43'),
        ("2.25", "2.5"),
        ("2.25", "-2.25"),
        ("2.25", "300"),
        ("5250", "-1"),
        ('"num_runs":15', '"num_runs":16'),
        ('"num_runs":15', '"num_runs":4'),
        ('"strategy":"mine"', '"strategy":"\\u001b[2J"'),
        ('"params":{}', '"params":{"a b":1}'),
        ('"why_no_score":null', '"why_no_score":"no"'),
        ('"accuracy_remainders":[]', '"accuracy_remainders":[0]'),
        ('"protocol":"published"', '"protocol":null'),
        ('"protocol":"published"', '"protocol":"mine"'),
        ('"label":"n32-k8"', '"label":"n50-k8"'),
        ('"undecided_audits":["repeatability",', '"undecided_audits":['),
        ('"undecided_audits":["repeatability",', '"undecided_audits":["\\u001b[2J",'),
        ("{", ""),
    ],
)
def test_a_summary_is_of_its_evaluation(ranked: Path, old: str, new: str) -> None:
    with History(ranked) as history:
        (summary,) = history.summaries()
        assert summary == summarize(history.get(1).evaluation)
    with sqlite3.connect(ranked) as connection:
        (text,) = connection.execute("SELECT summary FROM evaluations").fetchone()
    connection.close()
    assert old in text
    for redigest in (False, True):
        changed(ranked, "summary", text.replace(old, new, 1), redigest=redigest)
        with History(ranked) as history:
            for look in (history.summaries, lambda: history.get(1))[1 if redigest else 0 :]:
                with pytest.raises(MachineError, match=r"history\.sqlite3: evaluation 1 is damaged: ") as raised:
                    look()
                assert str(raised.value).isprintable() and len(str(raised.value)) < 500
    changed(ranked, "summary", "", redigest=False)
    with History(ranked) as history, pytest.raises(MachineError, match="evaluation 1 is damaged: "):
        history.summaries()


def test_parts_of_another_evaluation_are_seen(tmp_path: Path) -> None:
    path, ends = tmp_path / "history.sqlite3", [[(1_750, 0.75)] * 3] * 5
    with History(path, create=True) as history:
        for seed in (42, 43):
            history.add(made("mine", ends, seed=seed), Strategy("mine", "mine.py", b"mine"), "a")
    for swap in ("documents", "curves", "evaluations"):
        swapped = tmp_path / swap
        shutil.copy(path, swapped)
        with sqlite3.connect(swapped) as connection:
            for old, new in ((1, 3), (2, 1), (3, 2)):
                connection.execute(f"UPDATE {swap} SET id = ? WHERE id = ?", (new, old))
        connection.close()
        with History(swapped) as history:
            if swap == "curves":  # which are the same
                assert history.check() == 2
                continue
            with pytest.raises(MachineError, match=r"1 is damaged: expected the recorded document, .*, got other"):
                history.get(1)


def test_a_document_that_is_cut_short(recorded: Path, evaluation: Evaluation) -> None:
    compressed = zlib.compress(serialization.dumps(evaluation))
    changed(recorded, "document", compressed[:-10], table="documents")
    with (
        History(recorded) as history,
        pytest.raises(MachineError, match=r"1 is damaged: expected the whole document, .* cut short"),
    ):
        history.get(1)


@pytest.mark.slow
def test_a_document_that_inflates(recorded: Path) -> None:
    compressor = zlib.compressobj(1)
    bomb = b"".join([*(compressor.compress(b" " * (1 << 24)) for _ in range(64)), compressor.flush()])
    assert len(bomb) < 8 << 20  # of a gigabyte
    changed(recorded, "document", bomb, table="documents")
    (outcome,) = read_in_a_child("history", [recorded])
    assert_documented([outcome], ["UsageError"])
    assert "expected at most 512 MiB of JSON, got 512 MiB" in outcome.said


@pytest.mark.slow
def test_a_value_of_gigabytes(recorded: Path) -> None:
    with sqlite3.connect(recorded) as connection:
        connection.execute("UPDATE evaluations SET strategy = CAST(zeroblob(600000000) AS TEXT)")
    connection.close()
    (outcome,) = read_in_a_child("history", [recorded])
    assert_documented([outcome], ["MachineError"])
    assert outcome.kind == "MachineError"


def test_a_schema_that_is_no_text(recorded: Path) -> None:
    content = recorded.read_bytes()
    assert b"source BLOB NOT NULL)" in content  # SQLite's own message cannot be decoded then
    recorded.write_bytes(content.replace(b"source BLOB NOT NULL)", b"source BLOB NOT NUL\xcd\xce"))
    with pytest.raises(MachineError, match=r"history\.sqlite3 is damaged and was not changed: ") as raised:
        History(recorded)
    assert str(raised.value).isprintable()


def test_what_is_no_file_of_a_history(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        for create in (False, True):
            with pytest.raises(MachineError, match=f"the history {path} cannot be created: Not a regular file"):
                History(path, create=create)
