"""The command ``vecparity``: its invocation, and its commands that read the history."""

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import SHORT_FLAGS, RunCommand

from vecparity import Evaluation
from vecparity.audits.finding import AuditFinding
from vecparity.cli.main import main
from vecparity.evaluation import serialization
from vecparity.evaluation.result import DivergedRun
from vecparity.history.store import History
from vecparity.strategy.source import load


@pytest.fixture(scope="session")
def at(tmp_path_factory: pytest.TempPathFactory, evaluation: Evaluation) -> str:
    """A history of four evaluations."""
    path = tmp_path_factory.mktemp("history") / "history"
    with History(path, create=True) as history:
        for command, strategy, seed, share in [
            ("a", "isolated_cube", 42, 0.6),
            ("b", "isolated_cube", 7, 0.9),
            ("c", "default_4096", 42, 0.7),
            ("d", "default_4096", 42, None),
        ]:
            chosen = load(strategy)
            provenance = replace(
                evaluation.provenance, strategy=strategy, strategy_sha256=chosen.sha256, seed=seed, protocol="published"
            )
            results = [replace(run, test_accuracy=share or 0.5) for run in evaluation.results]
            made = replace(evaluation, provenance=provenance, results=results)
            if share is None:
                first = evaluation.first_layers[1:]
                made = replace(made, diverged=[DivergedRun(0, 0, 1)], results=results[1:], first_layers=first)
            history.add(made, chosen, command)
    return str(path)


def listed(out: str) -> list[int]:
    return [int(row["id"]) for row in csv.DictReader(io.StringIO(out))]


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        ("", [4, 3, 2, 1]),
        ("--sort oldest", [1, 2, 3, 4]),
        ("--sort accuracy", [2, 3, 1, 4]),
        ("--sort steps", [1, 2, 3, 4]),
        ("--sort strategy", [4, 3, 2, 1]),
        ("--sort accuracy --limit 1", [2]),
        ("--strategy isolated_cube", [2, 1]),
        (f"--strategy {load('default_4096').sha256[:6]}", [4, 3]),
        ("--seed 7", [2]),
        ("--seed 7 --strategy default_4096", []),
        ("--config n50-k8", []),
        ("--config n32-k8 --protocol custom --limit 2", [4, 3]),
        ("--protocol full", []),
        ("--since 2020-01-01", [4, 3, 2, 1]),
        ("--since 2999-01-01", []),
    ],
)
def test_history_filters_and_sorts(run_command: RunCommand, at: str, arguments: str, ids: list[int]) -> None:
    status, out, err = run_command("history", "--history", at, "--format", "csv", *arguments.split())
    assert (status, err) == (0, "")
    assert listed(out) == ids


def test_history_for_people_and_for_programs(run_command: RunCommand, at: str) -> None:
    _, out, _ = run_command("history", "--history", at)
    assert "0.900000" in out
    assert load("isolated_cube").sha256[:8] in out
    _, out, _ = run_command("history", "--history", at, "--format", "json")
    records = json.loads(out)
    assert [record["test_accuracy"] for record in records] == [None, 0.7, 0.9, 0.6]
    assert [record["num_diverged"] for record in records] == [1, 0, 0, 0]
    assert records[2]["strategy_sha256"] == load("isolated_cube").sha256
    _, out, _ = run_command("history", "--history", at, "--format", "markdown")
    assert out.startswith("| id")


def test_what_speaks_against_a_figure_stands_beside_it(
    run_command: RunCommand, tmp_path: Path, evaluation: Evaluation
) -> None:
    at = str(tmp_path / "history")
    failed = AuditFinding("overlap", False, "expected none, got 3", {})
    undecided = AuditFinding("foresight", None, "too few", {})
    sealed = replace(evaluation.provenance, seal="ab" * 32)
    with History(at, create=True) as history:
        chosen = load("isolated_cube")
        history.add(replace(evaluation, findings=[failed, undecided]), chosen, "a")
        history.add(replace(evaluation, provenance=sealed), chosen, "a")
        history.add(replace(evaluation, provenance=replace(sealed, audit="strict"), findings=[failed]), chosen, "a")
    rows = list(csv.DictReader(io.StringIO(run_command("history", "--history", at, "--format", "csv")[1])))
    assert [row["failed_audits"] for row in rows] == ["overlap", "", "overlap"]
    assert [row["seal"] for row in rows] == ["ab" * 32] * 2 + [""]
    _, out, _ = run_command("history", "--history", at)
    assert "fails overlap; sealed abababab" in out
    _, out, _ = run_command("show", "1", "--history", at)
    assert "\nfails overlap\n" in out
    lines = [line.split(maxsplit=2) for line in out.splitlines()]
    assert ["audit:", "overlap", "failed: expected none, got 3"] in lines
    assert ["audit:", "foresight", "undecided: too few"] in lines
    _, out, _ = run_command("show", "3", "--history", at)
    assert "isolated_cube with seed 42 has no score: overlap\n" in out


def test_show_says_how_to_make_it_again(run_command: RunCommand, at: str) -> None:
    _, out, _ = run_command("show", "2", "--history", at)
    assert "vecparity eval --strategy isolated_cube --seed 7 --config n32-k8 --protocol published" in out
    assert all(line == line.rstrip() for line in out.splitlines()), "no blanks where there is no terminal"


def test_show(run_command: RunCommand, at: str) -> None:
    status, out, _ = run_command("show", "2", "--history", at)
    assert status == 0
    assert "0.900000 ± 0.000000" in out
    assert ["0", "4,096", "60", "0.900", "0.900"] in [line.split() for line in out.splitlines()]
    assert "max_steps" in out
    status, out, _ = run_command("show", "4", "--history", at)
    assert status == 0
    assert "1 runs diverged" in out
    assert ["0", "4,096", "60", "div.", "0.500"] in [line.split() for line in out.splitlines()]


def test_params_are_told(run_command: RunCommand, tmp_path: Path, evaluation: Evaluation) -> None:
    at = str(tmp_path / "history")
    with History(at, create=True) as history:
        params = replace(evaluation.provenance, params={"lr": 0.5, "name": "a b"})
        history.add(replace(evaluation, provenance=params), load("isolated_cube"), "a")
    assert "  isolated_cube lr=0.5 name=a b  " in run_command("history", "--history", at)[1]
    (record,) = json.loads(run_command("history", "--history", at, "--format", "json")[1])
    assert (record["strategy"], record["params"]) == ("isolated_cube", {"lr": 0.5, "name": "a b"})
    (row,) = csv.DictReader(io.StringIO(run_command("history", "--history", at, "--format", "csv")[1]))
    assert (row["strategy"], json.loads(row["params"])) == ("isolated_cube", {"lr": 0.5, "name": "a b"})
    lines = run_command("show", "1", "--history", at)[1].splitlines()
    assert any("isolated_cube lr=0.5 name=a b" in line for line in lines)
    assert ["params", "lr=0.5", "name=a", "b"] in [line.split() for line in lines]
    assert any("--param lr=0.5 --param 'name=a b'" in line for line in lines)


def test_the_origin_is_shown_unless_it_is_a_file(
    run_command: RunCommand, tmp_path: Path, evaluation: Evaluation
) -> None:
    at = str(tmp_path / "history")
    with History(at, create=True) as history:
        for origin in ("file", "text"):
            provenance = replace(evaluation.provenance, origin=origin)
            history.add(replace(evaluation, provenance=provenance), load("isolated_cube"), "a")
    of_file, of_text = (run_command("show", id_, "--history", at)[1].splitlines() for id_ in ("1", "2"))
    assert not any("origin" in line for line in of_file)
    assert ["origin", "text"] in [line.split() for line in of_text]


def test_show_json_is_the_document(run_command: RunCommand, at: str) -> None:
    _, out, _ = run_command("show", "1", "--json", "--history", at)
    with History(Path(at)) as history:
        expected = history.get(1).evaluation
    assert serialization.from_document(json.loads(out), "standard output") == expected


def test_show_source_is_the_strategy_byte_for_byte(at: str, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert main(["show", "3", "--source", "--history", at]) == 0
    assert capsysbinary.readouterr().out == load("default_4096").source


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        ("nosuch", 2, 'Unknown command "nosuch"'),
        ("show", 2, '"show" parameter ID requires an argument'),
        ("show one", 2, "expected an id of vecparity history, or latest, got 'one'"),
        ("show 9 --history {at}", 2, "has no evaluation 9 (vecparity history lists them)"),
        (f"show {10**30} --history {{at}}", 2, f"has no evaluation {10**30} "),
        ("show 1 --json --source --history {at}", 2, "expected --source or --json, got both"),
        (
            "show 1 --history /nowhere/x",
            2,
            "no evaluations are recorded yet: vecparity eval records them in /nowhere/x",
        ),
        ("history --history {at} --strategy nobody", 2, "no recorded evaluation matches (0 of 4)"),
        ("history --history {at} --limit 0", 2, "limit must be at least 1, got 0"),
        ("history --since 0001-01-01 --history {at}", 2, "since must be 1970 or later, got 1-01-01"),
        ("report 1 -o . --history {at}", 2, "the report must be written to a file, got '.'"),
        ("history --sort best", 2, '"best"'),
        ("history --since yesterday", 2, "yesterday"),
        (f"history --history {__file__}", 6, "is damaged and was not changed: file is not a database"),
    ],
)
def test_wrong_use_is_one_line(run_command: RunCommand, at: str, arguments: str, status: int, said: str) -> None:
    got, out, err = run_command(*arguments.format(at=at).split())
    assert (got, out.startswith('{"error"') if "--json" in arguments else out == "") == (status, True)
    assert err.startswith("vecparity: error: ")
    assert said in err
    assert len(err.splitlines()) == 1


def test_an_unexpected_error_is_a_line_and_with_debug_a_traceback(
    run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: History) -> None:
        raise LookupError("a bug")

    monkeypatch.setattr(History, "__enter__", broken)
    arguments = ["history", "--history", __file__]
    monkeypatch.setattr(History, "__init__", lambda *arguments: None)
    status, _, err = run_command(*arguments)
    assert (status, err) == (6, "vecparity: error: unexpected LookupError: a bug (--debug shows where)\n")
    with pytest.raises(LookupError, match="a bug"):
        main([*arguments, "--debug"])


def test_an_interruption_is_a_word_and_a_status(run_command: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(History, "__init__", interrupted)
    assert run_command("history", "--history", __file__) == (130, "", "vecparity: interrupted\n")


@pytest.mark.parametrize("format_", ["table", pytest.param("csv", marks=pytest.mark.slow)])
def test_who_stops_reading_is_told_nothing(at: str, format_: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "vecparity", "history", "--history", at, "--format", format_]
    with os.fdopen(writing, "w") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (141, "")


def test_debug_may_stand_before_the_command(run_command: RunCommand) -> None:
    status, out, _ = run_command("--debug", "eval", "--list-strategies")
    assert status == 0
    assert "isolated_cube" in out.splitlines()


def test_eval_is_the_same_as_the_module(run_command: RunCommand) -> None:
    status, out, _ = run_command("eval", "--list-strategies")
    assert status == 0
    assert "isolated_cube" in out.splitlines()


@pytest.mark.parametrize("arguments", ["history", "history --limit 2 --sort accuracy", "leaderboard", "show 4"])
def test_what_only_reads_the_history_needs_no_torch(arguments: str) -> None:
    """Importing it takes a second."""
    at = Path(__file__).parents[1] / "history" / "samples" / "version-1.sqlite3"
    command = [*arguments.split(), "--history", str(at)]
    program = f"import sys; from vecparity.cli.main import main; assert main({command}) == 0; "
    program += "assert not {'torch', 'scipy.stats', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)


def test_help_lists_every_command_and_needs_no_torch() -> None:
    program = "import sys; from vecparity.cli.main import main; main(['--help']); assert 'torch' not in sys.modules"
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    for name in ("eval", "history", "show"):
        assert f"│ {name} " in out


def test_help_is_a_command_too(run_command: RunCommand) -> None:
    assert run_command("help") == run_command("--help")
    assert run_command("help", "show") == run_command("show", "--help")


def test_help_of_eval_has_groups_examples_and_its_own_name(run_command: RunCommand) -> None:
    status, text, _ = run_command("eval", "--help")
    assert status == 0
    assert text.split()[:3] == ["Usage:", "vecparity", "eval"]
    assert text.count("vecparity eval mine.py") == 3
    groups = ["What is evaluated", "Training", "Output", "Trust", "History", "Settings", "Limits"]
    places = [text.index(f"─ {group} ") for group in groups[:5]]
    assert places == sorted(places) and all(group in text for group in groups)
    assert "('" not in text and "(42,)" not in text and "()" not in text


def test_a_note_stands_in_the_history(run_command: RunCommand, tmp_path: Path) -> None:
    short = SHORT_FLAGS.split()
    history = ["--history", str(tmp_path / "history")]
    status, _, _ = run_command("eval", *short, *history, "--note", "first try")
    assert status == 0
    assert "first try" in run_command("history", *history)[1]
    status, _, err = run_command("eval", *short, "--no-history", "--note", "first try")
    assert status == 2 and "--no-history cannot be combined with --note" in err
