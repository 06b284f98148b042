"""Small files that would take gigabytes or hours, and paths that are no files: each gives one line at once."""

import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from made import made
from reading import GIGABYTES, Outcome, assert_documented, read_in_a_child

from vecparity import Evaluation
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation import serialization
from vecparity.evaluation.summary import summarize
from vecparity.history import version_2
from vecparity.history.references import existing
from vecparity.history.store import History
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import TaskConfig, task_config

DOCUMENTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a billion secrets": lambda content: content["config"].update(num_hidden_secrets=10**7, num_orderings=10**2),
    "a billion secrets of tiny networks": lambda content: content["config"].update(
        num_hidden_secrets=2 * 10**7, num_orderings=10, n_features=64, hidden_width=1
    ),
    "binomials": lambda content: content["config"].update(n_features=10**9, secret_size=5 * 10**8),
    "a million features": lambda content: content["config"].update(
        n_features=2**20, secret_size=2**19, hidden_width=1, test_set_size=1
    ),
    "a secret of huge features": lambda content: (
        content["config"].update(n_features=2**20, hidden_width=1, test_set_size=1),
        content["datasets"][0].update(secret=[0] * 8),
    ),
    "seed": lambda content: content["provenance"].update(seed=10**4000),
    "patterns": lambda content: content["datasets"][0].update(patterns_covered=10**300),
    "examples": lambda content: content["datasets"][0].update(num_examples=10**300),
    "figures": lambda content: content["audit"].append(
        {"name": "a", "passed": True, "summary": "b", "figures": {"c": 10**4000}}
    ),
    "names of figures": lambda content: content["audit"].append(
        {"name": "a", "passed": True, "summary": "b", "figures": {"\x1b[2J": 1}}
    ),
    "steps": lambda content: content["results"][0].update(steps=10**400),
    "windows that are none": lambda content: content["curves"].update(step=[1, 20, 40, 59]),
    "windows that do not ascend": lambda content: content["curves"].update(step=[1, 20, 20, 60]),
    "shares": lambda content: content["curves"]["accuracy"][0].__setitem__(0, 1.5),
    "weights": lambda content: content["first_layers"][0]["mean_abs_weight"].update(secret=-1),
    "density": lambda content: content["datasets"][0]["density"].update(secret=2),
    "time": lambda content: content["provenance"].update(wall_seconds=-1),
    "a long name": lambda content: content["provenance"].update(strategy="a" * 10**6),
    "metrics of many words": lambda content: content.update(metrics="\x1b[2J" * 10**5),
    "format of many words": lambda content: content.update(format="\x1b[2J" * 10**5),
    "protocol": lambda content: content["provenance"].update(protocol="\x1b[2J" * 10**5),
    "empty lists": lambda content: content["curves"]["loss"].extend([[]] * 10**7),
    "depth": lambda content: content.update(more=json.loads("[" * 900 + "]" * 900)),
}
TEXTS = {
    "a number too large": ("0.5", "1e400"),
    "a number too long": ('"max_steps": 60', '"max_steps": ' + "9" * 100_000),
    "no number": ('"max_steps": 60', '"max_steps": -Infinity'),
    "a depth that never ends": ('"format"', '"more": ' + "[" * 10**6 + ', "format"'),
    "numbers of numbers": ('"loss": [', '"loss": [' + "0," * 30_000_000),
    "a mapping of anything": ('"audit": [', '"audit": ' + "[{" + '"a": [],' * 10**6),
}


@pytest.mark.slow
def test_documents(evaluation: Evaluation, tmp_path: Path) -> None:
    paths = []
    for name, breaks in DOCUMENTS.items():
        content = serialization.to_document(evaluation)
        breaks(content)
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(content))
    for name, (old, new) in TEXTS.items():
        text = json.dumps(serialization.to_document(evaluation))
        assert old in text
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(text.replace(old, new, 1))
    outcomes = read_in_a_child("document", paths)
    assert_documented(outcomes, ["UsageError"])
    said = {path.stem: outcome.kind for path, outcome in zip(paths, outcomes, strict=True)}
    assert {name for name, kind in said.items() if kind == "read"} <= {"depth"}  # of a key that nobody reads


@pytest.mark.slow
def test_the_largest_evaluations_are_read(evaluation: Evaluation, tmp_path: Path) -> None:
    """100 runs that tell of each of 100 000 steps: 20 million numbers, in 420 MB."""
    steps = list(range(1, 100_001))
    config = replace(evaluation.config, num_hidden_secrets=10, num_orderings=10, max_steps=100_000, log_interval=1)
    places = [(i, j) for i in range(10) for j in range(10)]
    content = serialization.to_document(evaluation)
    content |= {
        "config": vars(config),
        "metrics": None,
        "results": [],
        "first_layers": [],
        "diverged": [{"secret_index": i, "order_index": j, "step": 100_000} for i, j in places],
        "datasets": [content["datasets"][0] | {"secret_index": i} for i in range(10)],
    }
    # Numbers as long as they come: 23 characters, and 19 of a share.
    losses = "[" + ",".join(f"{1 + step / 1e7 / 3:.16f}e-100" for step in steps) + "]"
    shares = "[" + ",".join(f"{0.6 + step / 1e7 / 3:.17f}" for step in steps) + "]"
    curves = json.dumps({"runs": places, "step": steps})[:-1]
    curves += f',"loss":[{",".join([losses] * 100)}],"accuracy":[{",".join([shares] * 100)}]}}'
    del content["curves"]
    (tmp_path / "large.json").write_text(json.dumps(content)[:-1] + f',"curves":{curves}}}')
    (outcome,) = read_in_a_child("document", [tmp_path / "large.json"])
    assert (outcome.kind, outcome.said) == ("read", "")
    assert outcome.mebibytes < GIGABYTES << 10, outcome


def test_what_is_no_file_of_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "directory.json").mkdir()
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "large.json").write_bytes(b"0" * 100)
    monkeypatch.setattr(serialization, "MOST_BYTES", 99)
    for name, said in [
        ("pipe", "Not a regular file"),
        ("directory", "Is a directory"),
        ("zero", "Not a regular file"),
        ("large", "Larger than 0 MiB"),
    ]:
        with pytest.raises(UsageError, match=rf"expected a file that can be read, got .*/{name}\.json: {said}$"):
            serialization.load(tmp_path / f"{name}.json")


@pytest.mark.parametrize("name", ["\x1b[31mred.json", "two\nlines.json", os.fsdecode(b"\xff.json")])
def test_a_name_that_cannot_be_printed(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected a file whose name can be printed, got ") as raised:
        serialization.load(tmp_path / name)
    assert str(raised.value).isprintable()


def test_an_id_that_no_history_has(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected an id of vecparity history or a JSON file, got '9999") as raised:
        existing(["9" * 5000], tmp_path / "history")
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_features": 10**9, "secret_size": 5 * 10**8}, "n_features must be at most 1048576, got 1000000000"),
        ({"n_features": 2**20}, r"test_set_size \* n_features must be at most 2147483648, got 17179869184"),
        ({"hidden_width": 10**9}, "the networks' parameters must be at most 17179869184 in .* = 100 runs, got 34"),
        ({"max_steps": 10**5000}, "max_steps must be at most 2147483647, got an integer of 16610 bits"),
        ({"early_stop_acc": 10**5000}, "early_stop_acc must be a finite number, got an integer of 16610 bits"),
        ({"early_stop_acc": float("inf")}, "early_stop_acc must be a finite number, got inf"),
        ({"hidden_width": "\x1b" * 10**6}, r"hidden_width must be an integer, got '\\x1b"),
        ({"num_hidden_secrets": 10**7, "n_features": 25}, "at most 1081575, the number of subsets of 8 of 25 features"),
    ],
)
def test_settings_that_nobody_trains(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        task_config(**settings)
    assert str(raised.value).isprintable() and len(str(raised.value)) < 500


def test_settings_at_their_bounds() -> None:
    config = TaskConfig(n_features=2**20, secret_size=2**19, hidden_width=1, test_set_size=2**11)
    assert config.num_runs == 100
    assert TaskConfig(max_steps=2**31 - 1, min_steps_before_stop=2**31 - 1).last_close(2**31 - 1) == 2**31 - 1
    assert task_config(n_features=25, num_hidden_secrets=1_081_575, num_orderings=1, hidden_width=1).num_runs == 1081575


@pytest.fixture
def recorded(evaluation: Evaluation, tmp_path: Path) -> Path:
    path = tmp_path / "history.sqlite3"
    with History(path, create=True) as history:
        history.add(evaluation, load("isolated_cube"), "a")
    return path


def changed(path: Path, column: str, value: object, *, redigest: bool = True, table: str = "evaluations") -> None:
    """Changes a column, and makes the digests those of what is there."""
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
        if redigest:
            digested(connection)
    connection.close()


def digested(connection: sqlite3.Connection) -> None:
    """Makes all digests those of what is there."""
    execute = connection.execute
    for part in ("document", "curves"):
        for id_, data in execute(f"SELECT id, {part} FROM {part.removesuffix('s')}s").fetchall():
            if isinstance(data, bytes):
                execute(f"UPDATE evaluations SET {part}_sha256 = ? WHERE id = ?", (sha256(data).digest(), id_))
    connection.row_factory = sqlite3.Row
    for row in execute("SELECT * FROM evaluations").fetchall():
        values = dict(row)
        if isinstance(values["summary"], str):
            values["summary_sha256"] = sha256(values["summary"].encode()).digest()
        row_sha256 = version_2.row_digest(values)
        set_ = "UPDATE evaluations SET summary_sha256 = ?, row_sha256 = ? WHERE id = ?"
        execute(set_, (values["summary_sha256"], row_sha256, values["id"]))
    connection.row_factory = None


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


def test_an_outcome_is_a_line() -> None:
    with pytest.raises(AssertionError):
        assert_documented([Outcome("UsageError", "two\nlines", 0, 0)], ["UsageError"])
    with pytest.raises(AssertionError):
        assert_documented([Outcome("KeyError", "one", 0, 0)], ["UsageError"])
