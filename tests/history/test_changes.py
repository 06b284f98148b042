"""Changes of a history by a person: `vecparity history rm`, `tag`, `export` and `import`."""

import base64
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import RunCommand
from made import changed, diverged, made
from made import published as published_by_original

from vecparity.errors import MachineError, UsageError
from vecparity.evaluation import serialization
from vecparity.history import pruning
from vecparity.history.recorder import Recorder
from vecparity.history.records import Recorded
from vecparity.history.store import History
from vecparity.strategy.source import Strategy, load

ENDS = [[(1_750, 0.9)] * 3] * 5
Run = Callable[..., str]


@pytest.fixture
def at(tmp_path: Path) -> Path:
    """1 and 2: mine; 3: other; 4: diverged; 5: a bundled strategy's. The third's curves are pruned."""
    path = tmp_path / "history"
    cube = load("isolated_cube")
    with History(path, create=True) as history:
        for name, command, one in (
            ("mine", "a", made("mine", ENDS)),
            ("mine", "a", made("mine", ENDS, seed=7)),
            ("other", "b", made("other", ENDS)),
            ("broken", "c", diverged(made("broken", ENDS))),
        ):
            history.add(one, Strategy(name, f"{name}.py", name.encode()), command)
        of_cube = changed(published_by_original("isolated_cube"), strategy_sha256=cube.sha256)
        history.add(of_cube, cube, "d", note="a note")
        entries = history.entries()
    pruning.prune_curves(path, entries[2:3])
    return path


@pytest.fixture
def run(run_command: RunCommand, at: Path) -> Run:
    """Runs a command of the history that succeeds, and returns what it printed."""

    def run_on(action: str, *arguments: str | Path, history: Path = at) -> str:
        status, out, err = run_command("history", action, *map(str, arguments), "--history", str(history))
        assert (status, err) == (0, ""), err
        return out

    return run_on


def everything(path: Path) -> list[Recorded]:
    with History(path) as history:
        history.check()
        return history.evaluations()


# --- rm ---


def test_what_is_removed_is_gone_and_the_rest_stays(run: Run, at: Path) -> None:
    before = everything(at)
    out = run("rm", "3", "1", "--yes")
    assert out == "removed 3 (other, n32-k8, seed 42)\nremoved 1 (mine, n32-k8, seed 42)\n"
    assert everything(at) == [before[1], before[3], before[4]]
    with closing(sqlite3.connect(at)) as connection:
        sources = {name for (name,) in connection.execute("SELECT sha256 FROM strategies")}
        assert sources == {found.entry.strategy_sha256 for found in (before[1], before[3], before[4])}
        for table in ("documents", "curves"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (3,)
    run("rm", "5", "--yes")
    with History(at, create=True) as history:
        cube = load("isolated_cube")
        assert history.add(before[4].evaluation, cube, "e") == 6  # ids are never reused
        assert history.get(6).entry.note is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rm", "1", "2"], "expected --yes to remove 1 (mine, n32-k8, seed 42); 2 (mine, n32-k8, seed 7)"),
        (["rm", "1", "9", "11", "--yes"], "has no evaluation 9, 11 (vecparity history lists them)"),
        (["rm", "9" * 50, "--yes"], f"has no evaluation {'9' * 50} "),
        (["rm", "--yes"], "expected ids of evaluations (vecparity history lists them), got none"),
        (["rm", "mine", "--yes"], "expected ids of evaluations (vecparity history lists them), got 'mine'"),
        (["rm", "-1", "--yes"], "-1"),
        (["tag", "1"], "expected ids and then words, such as 12 13 \"my baseline\", got '1'"),
        (["tag", "words"], "expected ids and then words, such as 12 13 \"my baseline\", got 'words'"),
        (["tag"], "expected ids and then words"),
        (["tag", "1", "9", "words"], "has no evaluation 9 "),
        (
            ["tag", "1", "two\nlines"],
            r"expected a note of one printable line of 1 to 200 characters, got 'two\nlines'",
        ),
        (["tag", "1", "w" * 201], "expected a note of one printable line of 1 to 200 characters"),
        (["tag", "1", "  "], "expected a note of one printable line of 1 to 200 characters, got '  '"),
        (["export", "{to}", "1", "9"], "has no evaluation 9 "),
        (["export", "{to}", "1", "all"], "expected ids of evaluations (vecparity history lists them), got 'all'"),
        (["import"], "expected files of evaluations to import, got none"),
        (["import", "{to}"], "expected a file that can be read, got"),
    ],
)
def test_what_is_refused_changes_nothing(
    run_command: RunCommand, at: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    before, to = everything(at), tmp_path / "new.jsonl"
    given = [argument.format(to=to) for argument in arguments]
    status, out, err = run_command("history", *given, "--history", str(at))
    assert (status, out) == (2, "")
    assert said in err and err.count("\n") == 1
    assert (everything(at), to.exists()) == (before, False)


@pytest.mark.parametrize("arguments", [["rm", "1", "--yes"], ["tag", "1", "words"], ["export", "file"]])
def test_no_history_is_made_for_what_is_not_recorded(
    run_command: RunCommand, tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = run_command("history", *arguments, "--history", str(tmp_path / "nowhere"))
    assert status == 2 and "no evaluations are recorded yet" in err
    assert list(tmp_path.iterdir()) == []


# --- tag ---


def test_words_stand_beside_evaluations(run: Run, at: Path, run_command: RunCommand) -> None:
    before = everything(at)
    out = run("tag", "1", "2", "my", "baseline")
    assert out == "tagged 1 (mine, n32-k8, seed 42): my baseline\ntagged 2 (mine, n32-k8, seed 7): my baseline\n"
    run("tag", "3", "[red]it's =1+2")
    listed = run_command("history", "--history", str(at))[1]
    assert listed.count("  my baseline\n") == 2 and "[red]it's =1+2; no curves" in listed and "  a note\n" in listed
    assert "note my baseline" in " ".join(run_command("show", "1", "--history", str(at))[1].split())
    after = everything(at)
    assert [found.entry.note for found in after] == ["my baseline", "my baseline", "[red]it's =1+2", None, "a note"]
    assert [replace(found.entry, note=None) for found in after] == [replace(found.entry, note=None) for found in before]
    assert run("tag", "1", "") == "no tag any more: 1 (mine, n32-k8, seed 42)\n"
    assert everything(at)[0] == before[0]


def test_a_recorders_note_is_recorded(at: Path) -> None:
    strategy = Strategy("mine", "mine.py", b"mine")
    with History(at, create=True) as history:
        recorder = Recorder(history)
        assert recorder.record([made("mine", ENDS, seed=8)], [(strategy, 8)], note="with a note") == ["recorded as 6"]
        assert history.get(6).entry.note == "with a note"
        with pytest.raises(UsageError, match="expected a note of one printable line"):
            recorder.record([made("mine", ENDS, seed=9)], [(strategy, 9)], note="")
        assert history.count() == 6


@pytest.mark.parametrize("change", ["note = 'another'", "is_imported = 1", "note = 7", "note_sha256 = x'00'"])
def test_a_note_that_somebody_changed_is_damage(at: Path, change: str) -> None:
    with closing(sqlite3.connect(at)) as connection, connection:
        connection.execute(f"UPDATE notes SET {change}")
    with History(at) as history, pytest.raises(MachineError, match="evaluation 5 is damaged: expected the recorded"):
        history.check()


# --- export and import ---


def test_an_export_reads_back_bit_for_bit(run: Run, at: Path, tmp_path: Path) -> None:
    file, other = tmp_path / "mine.jsonl", tmp_path / "other"
    assert run("export", file).startswith(f"{file}: 5 evaluations, ")
    assert run("import", file, history=other) == f"{file}: recorded as 1, 2, 3, 4, 5\n"
    before, after = everything(at), everything(other)
    for old, new in zip(before, after, strict=True):
        assert serialization.dumps(new.evaluation) == serialization.dumps(old.evaluation)
        assert new.source == old.source
        assert new.entry == replace(old.entry, is_imported=True)
    again = tmp_path / "again.jsonl"
    run("export", again, "all", history=other)
    assert again.read_bytes() == file.read_bytes()


def test_ids_are_exported_in_their_order(run: Run, tmp_path: Path) -> None:
    run("export", tmp_path / "some", "4", "2", "4")
    lines = [json.loads(line) for line in (tmp_path / "some").read_text().splitlines()]
    assert [line["evaluation"]["provenance"]["strategy"] for line in lines] == ["broken", "mine"]
    assert base64.b64decode(lines[1]["source"]) == b"mine"


def test_no_file_is_overwritten(run_command: RunCommand, at: Path, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("something")
    status, _, err = run_command("history", "export", str(tmp_path / "there"), "--history", str(at))
    assert status == 2 and "expected a file that does not exist yet to export to, got" in err
    assert (tmp_path / "there").read_text() == "something"
    status, _, err = run_command("history", "export", str(tmp_path / "no" / "file"), "--history", str(at))
    assert status == 6 and "cannot be written: No such file or directory" in err


def test_duplicates_are_left_out(run: Run, at: Path, tmp_path: Path, run_command: RunCommand) -> None:
    before = everything(at)
    run("export", tmp_path / "all")
    assert run("import", tmp_path / "all") == f"{tmp_path / 'all'}: 5 recorded before, and left out\n"
    assert everything(at) == before
    run("rm", "2", "--yes")
    out = run("import", tmp_path / "all", tmp_path / "all")
    assert out == f"{tmp_path / 'all'}: recorded as 6; 9 recorded before, and left out\n"
    assert [line for line in run_command("history", "--history", str(at))[1].splitlines() if "imported" in line]


def test_results_of_an_output_directory_are_imported(run: Run, at: Path, tmp_path: Path) -> None:
    cube = load("isolated_cube")
    evaluations = made("new", ENDS), changed(published_by_original("isolated_cube"), strategy_sha256=cube.sha256)
    files = [tmp_path / f"{number}.json" for number in range(2)]
    for one, file in zip(evaluations, files, strict=True):
        serialization.save(changed(one, wall_seconds=3.0), file)
    files[0].write_text(json.dumps(json.loads(files[0].read_text()), indent=2))
    assert run("import", *files) == f"{files[0]}: recorded as 6\n{files[1]}: recorded as 7\n"
    of_new, of_cube = everything(at)[-2:]
    assert of_new.evaluation == serialization.load(files[0])
    assert (of_new.source, of_cube.source) == (None, cube.source)
    assert of_new.entry.is_imported and of_new.entry.command == of_cube.entry.command
    run("export", tmp_path / "exported", "6")
    assert run("import", tmp_path / "exported", history=tmp_path / "other").endswith("recorded as 1\n")


def test_a_source_that_was_not_imported_is_missed(run: Run, at: Path, tmp_path: Path, run_command: RunCommand) -> None:
    serialization.save(made("new", ENDS), tmp_path / "new.json")
    run("import", tmp_path / "new.json")
    status, out, err = run_command("show", "6", "--source", "--history", str(at))
    assert (status, out) == (2, "")
    assert "evaluation 6 was imported without its source: expected the file whose SHA-256 is" in err
    assert run_command("show", "6", "--history", str(at))[0] == 0
    with History(at, create=True) as history:  # whoever records the same source has it
        history.add(made("new", ENDS, seed=8), Strategy("new", "new.py", b"new"), "e")
        assert history.get(6).source == b"new"


def test_nothing_imported_is_reused(at: Path, tmp_path: Path, run: Run) -> None:
    one = made("new", ENDS)
    strategy = Strategy("new", "new.py", b"new")
    serialization.save(one, tmp_path / "new.json")
    run("import", tmp_path / "new.json")
    with History(at, create=True) as history:
        reusing = Recorder(history, reuse=True)
        assert reusing.recall(one.config, one.provenance) is None
        assert Recorder(history, goes_on=True).record([one], [(strategy, 42)]) == ["recorded as 7"]
        assert reusing.recall(one.config, one.provenance) == one


def exported(**values: Any) -> bytes:
    """A line of an export, with other values."""
    evaluation = json.loads(serialization.dumps(made("new", ENDS)))
    line = {
        "history": 1,
        "recorded_at": "2026-01-02T03:04:05+00:00",
        "command": "a",
        "note": None,
        "has_curves": True,
        "source": base64.b64encode(b"new").decode(),
        "evaluation": evaluation,
    }
    return json.dumps(line | values).encode() + b"\n"


def test_the_line_of_an_export_can_be_imported(run: Run, at: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(exported(note="of somebody's"))
    run("import", tmp_path / "file")
    found = everything(at)[-1]
    assert (found.entry.recorded_at, found.entry.note) == ("2026-01-02T03:04:05+00:00", "of somebody's")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (exported(history=2), "line 2: expected an export of format 1, got 2"),
        (exported(recorded_at="yesterday"), "line 2: Invalid isoformat string: 'yesterday'"),
        (exported(recorded_at="2026-01-02T03:04:05"), "line 2: expected a time with a time zone"),
        (exported(command="a\x1b[2J"), "line 2: expected text that can be printed"),
        (exported(note=" "), "line 2: expected a note of one printable line"),
        (exported(note=7), "line 2: Expected `str | null`, got `int`"),
        (exported(source="!"), "line 2: Invalid base64"),
        (exported(source=base64.b64encode(b"another").decode()), f"with SHA-256 {sha256(b'new').hexdigest()}, got"),
        (exported(evaluation={}), "line 2: expected the JSON of an evaluation"),
        (exported(evaluation=[]), "line 2: expected the JSON of an evaluation"),
        (exported()[:-20], "line 2: "),
        (b"[" * 100_000 + b"\n", "line 2: "),
        (b"\xff\n", "line 2: "),
        (b"\n", "line 2: "),
    ],
)
def test_strangers_files_are_refused_as_a_whole(
    run_command: RunCommand, at: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "file").write_bytes(exported() + content)
    before = everything(at)
    status, out, err = run_command("history", "import", str(tmp_path / "file"), "--history", str(at))
    assert (status, out) == (2, "")
    assert f"{tmp_path / 'file'}, " in err and said in err
    assert err.count("\n") == 1 and err[:-1].isprintable() and err.count("line 2") == 1
    assert everything(at) == before


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"history": 1}', exported(evaluation={})])
def test_what_is_no_export_is_refused(run_command: RunCommand, at: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.json").write_bytes(content)
    status, _, err = run_command("history", "import", str(tmp_path / "file.json"), "--history", str(at))
    assert status == 2 and f"{tmp_path / 'file.json'}" in err and err.count("\n") == 1
