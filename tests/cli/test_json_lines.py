"""``--json``: every result and every error is a line of JSON, of the type whose schema `vecparity schema` prints."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from conftest import SHORT_FLAGS, STRATEGIES, RunCommand
from processes import Child, await_that, has_sandbox

from vecparity.cli import json_lines, json_types
from vecparity.cli.commands.schema import Command
from vecparity.cli.main import app

VARIED = str(STRATEGIES / "varied.py")
SHORT = SHORT_FLAGS.split()


def read(words: Sequence[str], out: str) -> list[Any]:
    """Returns the lines of a command, each of which must have a type of its schema."""
    lines = out.splitlines()
    type_ = json_types.LINES[words[0]] if json_lines.prints_json([*words]) else json_types.PrintedLine
    for line in lines:
        msgspec.json.decode(line, type=json_types.ErrorLine if line.startswith('{"error": {') else type_)
    return list(map(json.loads, lines))


@pytest.mark.slow
def test_every_commands_results_are_lines_of_its_type(
    run_command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    at = ["--history", str(tmp_path / "history.sqlite")]

    def lines(*words: str) -> list[Any]:
        status, out, _ = run_command(*words, "--json")
        assert status == 0
        return read(words, out)

    assert lines("new", "mine.py") == [{"printed": "wrote mine.py; next:\n  vecparity check mine.py\n"}]
    (checked,) = lines("check", VARIED, "--all-configs")
    assert [made["config"]["n_features"] for made in checked["configurations"]] == [32, 50, 64]
    evaluated = lines("eval", VARIED, "isolated_cube", "--seed", "1", "2", *SHORT, *at)
    assert [(line["strategy"].split()[0], line["seed"]) for line in evaluated] == [
        (name, seed) for name in ("varied", "isolated_cube") for seed in (1, 2)
    ]
    assert [line["id"] for line in lines("history", *at)] == [4, 3, 2, 1]
    (shown,) = lines("show", "1", *at)
    assert round(shown["metrics"]["test_accuracy"], 6) == evaluated[0]["test_accuracy"]
    compared = lines("compare", VARIED, "isolated_cube", "multi_epoch", *SHORT, "--seed", "1", *at)
    assert [line["second"]["name"] for line in compared] == ["isolated_cube", "multi_epoch"]
    cells = lines("sweep", VARIED, "--over", "lr=0.001,0.01", "rows=100,200", *SHORT)
    assert [(cell["lr"], cell["rows"]) for cell in cells] == [(0.001, 100), (0.001, 200), (0.01, 100), (0.01, 200)]
    assert "tagged 1" in lines("history", "tag", "1", "first", *at)[0]["printed"]
    assert lines("guide", "trust")[0]["printed"].startswith("# ")
    assert lines("report", "1", "2", "-o", "report.html", *at)[0]["printed"].startswith("report.html: 2 evaluations")
    (strategies,) = run_command("eval", "--list-strategies", "--json")[1].splitlines()
    assert "isolated_cube" in json.loads(strategies)["strategies"]


@pytest.mark.slow
def test_a_leaderboards_lines_are_its_places(run_command: RunCommand, tmp_path: Path) -> None:
    at = ["--history", str(tmp_path / "history.sqlite")]
    assert run_command("eval", "isolated_cube", "--protocol", "published", *at, "--log", "final")[0] == 0
    status, out, _ = run_command("leaderboard", "--published", *at, "--json")
    first, *others = read(["leaderboard"], out)
    assert status == 0
    assert (first["strategy"], first["protocol"], first["seeds"]) == ("isolated_cube", "published", [42])
    assert all(standing["is_published"] for standing in others)


@pytest.mark.slow
def test_a_searchs_line(run_command: RunCommand) -> None:
    pytest.importorskip("optuna", reason="needs pip install 'vecparity[search]'")
    words = ["search", VARIED, "--tune", "lr=1e-3:1e-1:log", "--trials", "3", "--rescore", "1", "--no-history", *SHORT]
    (found,) = read(words, run_command(*words, "--json")[1])
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2]
    assert len(found["winners"]) == 1


@pytest.mark.slow
def test_a_diagnosis_is_a_line(run_command: RunCommand) -> None:
    (found,) = read(["doctor"], run_command("doctor", "--json")[1])
    assert {engine["name"] for engine in found["engines"]} > {"native", "vmap"}


BROKEN = """
def init_model(model, config): pass
def make_dataset(secret, config, seed):
    raise ValueError("no rows")
def get_optimizer_config(config): return dict(lr=0.01, wd=0.1, beta1=0.9, beta2=0.99)
"""


@pytest.mark.parametrize(
    ("words", "kind", "status", "where"),
    [
        (["eval", "nowhere.py"], "usage", 2, None),
        (["eval", "isolated_cube", "--max-steps", "zero"], "usage", 2, None),
        (["no-such-command"], "usage", 2, None),
        (["show", "1", "--history", "none.sqlite"], "usage", 2, None),
        (["history", "--format", "csv"], "usage", 2, None),
        (["play"], "usage", 2, None),
        (["check", "without.py"], "invalid-strategy", 3, "without.py"),
        (["check", "broken.py"], "strategy-failed", 4, "broken.py:4"),
        (["eval", "broken.py", "--smoke", "--no-history"], "strategy-failed", 4, "broken.py:4"),
        (["new", "no/such/directory/mine.py"], "machine", 6, None),
    ],
)
def test_an_error_is_a_line(
    words: list[str],
    kind: str,
    status: int,
    where: str | None,
    run_command: RunCommand,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.py").write_text(BROKEN)
    Path("without.py").write_text("lr = 0.01\n")
    ended, out, err = run_command(*words, "--json")
    ((line),) = read(words, out)
    error = line["error"]
    assert ended == error["status"] == status
    assert (error["kind"], error["where"]) == (kind, where)
    assert f"vecparity: error: {error['message']}\n" in err
    assert not json_lines.is_on()
    if words not in (["history", "--format", "csv"], ["play"]):  # which are fine without
        assert run_command(*words)[0] == status


def test_the_flag_may_stand_anywhere(run_command: RunCommand) -> None:
    assert json_lines.words_for(["check", "--", "isolated_cube"]) == ["check", "--json", "--", "isolated_cube"]
    for words in (["eval", "--log=full"], ["leaderboard", "--format", "csv"]):
        (line,) = read(words, run_command(*words, "--json")[1])
        assert "cannot be combined with --" in line["error"]["message"]
    status, out, _ = run_command("history", "--json", "--help")
    assert status == 0
    assert "List recorded evaluations" in json.loads(out)["printed"]


def test_a_place_is_a_strategys(capsys: pytest.CaptureFixture[str]) -> None:
    said = "--output must be a new file, got best.py: it exists"
    json_lines.write_error("usage", said, 2)
    json_lines.write_error("strategy-failed", "mine.py:7: init_model raised ValueError: no", 4)
    places = [json.loads(line)["error"]["where"] for line in capsys.readouterr().out.splitlines()]
    assert places == [None, "mine.py:7"]


@pytest.mark.slow
def test_an_interruption_is_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vecparity", "sweep", "random_rows", "--over", "hidden_width=4096", "--json"]
    with Child(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        await_that(lambda: has_sandbox(child.pid))
        child.send_signal(signal.SIGINT)
        out, err = child.communicate()
    (line,) = read(["sweep"], out)
    assert (line["error"]["kind"], line["error"]["status"], child.returncode) == ("interrupted", 130, 130), err


@pytest.mark.parametrize("command", get_args(Command))
def test_schemas_describe_lines(command: str, run_command: RunCommand) -> None:
    schema = json.loads(run_command("schema", command)[1])
    line, error = schema["anyOf"]
    assert error == {"$ref": "#/$defs/ErrorLine"}
    described = schema["$defs"][line["$ref"].rpartition("/")[2]]
    assert described["properties"]
    if command == "others":
        assert set(described["properties"]) == {"printed"}
    assert (command in json_types.LINES) == (command != "others")


def test_the_commands_that_print_json_are_the_ones_that_have_types() -> None:
    assert set(json_lines._WORDS) - {"schema"} == set(json_types.LINES)
    assert set(json_types.LINES) <= set(app)
