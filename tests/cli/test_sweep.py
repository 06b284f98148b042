"""The command `sweep`: its table, its files, its failures and its interruption."""

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from clock import Clock
from conftest import RunCommand
from processes import Child, await_that, has_sandbox
from studies import count_recorded

from vecparity import History, sweep, task_config
from vecparity.cli.cell_display import CellDisplay
from vecparity.evaluation.callbacks import Asked
from vecparity.evaluator import _record
from vecparity.progress.cells import CellProgress
from vecparity.training.progress import WindowClosed

SETTINGS: dict[str, Any] = {
    "n_features": 8,
    "secret_size": 2,
    "num_hidden_secrets": 3,
    "num_orderings": 2,
    "max_steps": 60,
    "log_interval": 20,
    "test_set_size": 100,
}
SHORT = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
OVER = ["--over", "hidden_width=8,16", "--over", "num_examples=50,400"]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_cells_are_what_python_makes_of_them(run_command: RunCommand, tmp_path: Path) -> None:
    arguments = ["sweep", "random_rows", *OVER, *SHORT, "--param", "lr=0.01", "--csv", str(tmp_path / "runs.csv")]
    status, out, err = run_command(*arguments, "--format", "json")
    assert (status, err) == (0, "")
    over = {"hidden_width": [8, 16], "num_examples": [50, 400]}
    swept = sweep("random_rows", over, params={"lr": 0.01}, **SETTINGS)
    records = json.loads(out)
    assert [record["test_accuracy"] for record in records] == swept.summary["test_accuracy"].tolist()
    assert [record["mean_steps"] for record in records] == swept.summary["mean_steps"].tolist()
    rows = rows_of((tmp_path / "runs.csv").read_text())
    frame = swept.runs
    assert list(rows[0]) == list(frame.columns)
    assert len(rows) == len(frame) == 24
    for name in ("hidden_width", "num_examples", "secret_index", "order_index", "steps", "test_accuracy"):
        assert [float(row[name]) for row in rows] == frame[name].tolist()


def test_a_table_for_people_and_others_for_programs(run_command: RunCommand) -> None:
    status, out, _ = run_command("sweep", "random_rows", *OVER, *SHORT)
    assert status == 0
    title, common, heading, *rows = out.splitlines()
    assert re.fullmatch(r"random_rows: n8-k2, protocol full, seed 42, 4 cells in \d+\.\d s", title)
    assert common == "all: steps 60, runs 6"
    assert heading.split() == ["hidden_width", "num_examples", "accuracy", "95%", "interval", "solved"]
    assert [row.split()[:2] for row in rows] == [["8", "50"], ["8", "400"], ["16", "50"], ["16", "400"]]
    _, markdown, _ = run_command("sweep", "random_rows", *OVER, *SHORT, "--format", "markdown")
    assert markdown.splitlines()[0].startswith("| hidden_width | num_examples |")
    _, text, _ = run_command("sweep", "random_rows", *OVER, *SHORT, "--format", "csv", "--random", "2")
    assert len(rows_of(text)) == 2
    _, sizes, _ = run_command("sweep", "random_rows", "--over", "n_features=8,9", *SHORT[2:])
    assert sizes.startswith("random_rows: protocol full, seed 42, 2 cells in ")


def test_cells_that_fail_are_shown_and_decide_the_status(run_command: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    arguments = ["sweep", "random_rows", "--over", "lr=1e30,-1,0.01", "--over", "hidden_width=8,16", *SHORT]
    status, out, err = run_command(*arguments, "--csv", str(path))
    assert status == 4, "the first failure's: its runs diverge"
    assert len(out.splitlines()) == 2 + 6
    assert "no score at lr=1e+30, hidden_width=8: random_rows with seed 42 has no score" in err
    assert re.search(r"no score at lr=-1, hidden_width=8 and 1 other cell: .*must be finite and above 0, got -1", err)
    rows = rows_of(path.read_text())
    assert len(rows) == 2 * (6 + 1 + 6)
    assert {row["error"] == "" for row in rows if row["lr"] == "0.01"} == {True}
    assert {row["diverged"] for row in rows if row["lr"] == "1e+30"} == {"True"}
    status, _, _ = run_command("sweep", "random_rows", "--over", "lr=-1,1e30", *SHORT, "--hidden-width", "8")
    assert status == 3


def test_a_page_of_the_cells(run_command: RunCommand, tmp_path: Path) -> None:
    status, _, err = run_command("sweep", "random_rows", *OVER, *SHORT, "--report", str(tmp_path / "page.html"))
    assert (status, err) == (0, "")
    page = (tmp_path / "page.html").read_text()
    assert "<svg" in page and "hidden_width" in page and "num_examples" in page


def test_a_page_needs_matplotlib_and_says_so_first(
    run_command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecparity.tuning.sweeping.evaluate_cells", lambda *_: pytest.fail("an evaluation began"))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = run_command("sweep", "random_rows", *OVER, *SHORT, "--report", str(tmp_path / "page.html"))
    assert status == 2
    assert "pip install 'vecparity[report]'" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "over"),
        (["--over", "lr"], "over must be NAME=VALUE,VALUE,"),
        (["--over", "hidden_width=0,1"], "hidden_width must be at least 1, got 0"),
        (["--over", "num_exampels=3"], "is num_examples meant?"),
        (["--over", "\x1b[2Jlr=3"], "got '\\x1b[2Jlr=3'"),
        (["--over", "lr=\x1b[2J,1"], "got '\\x1b[2J'"),
        (["--over", "lr=1:1000:1000", "--over", "wd=1:1000:1000"], "at most 100,000 cells, got 1,000,000"),
        (["--over", "lr=1", "--random", "2"], "1 to the grid's 1, got 2"),
        (["--over", "lr=1", "--param", "lr=2"], "lr is swept over: expected no single value"),
        (["--over", "hidden_width=1", "--hidden-width", "2"], "hidden_width is swept over"),
        (["--over", "lr=1", "--reuse"], "reuse needs a history"),
        (
            ["--over", "lr=1", "--csv", "nowhere/runs.csv"],
            "--csv must be a file in a directory that exists, got nowhere",
        ),
        (["--over", "lr=1", "--report", "nowhere/report.html"], "--report must be a file in a directory that exists"),
        (["--over", "lr=1", "--csv", "."], "--csv must be a file, got the directory ."),
        (["--over", "lr=1", "--threads", "0"], "threads must be at least 1, got 0"),
    ],
)
def test_what_is_refused_before_anything_is_trained(
    arguments: list[str], message: str, run_command: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecparity.tuning.sweeping.evaluate_cells", lambda *_: pytest.fail("an evaluation began"))
    status, out, err = run_command("sweep", "random_rows", *arguments)
    assert (status, out) == (2, "")
    assert message in err and "\x1b" not in err
    assert len(err.splitlines()) == 1


def test_a_history_makes_a_sweep_go_on(run_command: RunCommand, tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    arguments = ["sweep", "random_rows", *SHORT, "--history", str(path), "--reuse", "--format", "csv"]
    _, part, _ = run_command(*arguments, "--over", "hidden_width=8,16")
    _, whole, _ = run_command(*arguments, "--over", "hidden_width=8,12,16")
    with History(path) as history:
        assert history.count() == 3
    assert set(part.splitlines()) < set(whole.splitlines())


LONG = {**SETTINGS, "max_steps": 50_000, "early_stop_acc": 2.0, "log_interval": 1000}
LASTING = [word for name, value in LONG.items() for word in (f"--{name.replace('_', '-')}", str(value))]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_the_cells_that_are_done(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    arguments = ["sweep", "random_rows", "--over", "hidden_width=8,4096", "lr=0.001,0.01", *LASTING]
    command = [sys.executable, "-m", "vecparity", *arguments, "--history", "history.sqlite", "--csv", "runs.csv"]
    command += ["--reuse"] * (number == signal.SIGTERM)
    with Child(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        await_that(lambda: count_recorded(path) == 2)
        process.send_signal(number)
        out, err = process.communicate()
    assert process.returncode == (75 if "--reuse" in command else 130), err
    assert "interrupted: 2 of 4 cells are missing (the same command with --reuse goes on)" in err
    title, _, _, *rows = out.splitlines()
    assert " 2 cells in " in title
    assert [row.split()[:2] for row in rows] == [["8", "0.001"], ["8", "0.01"]]
    runs = rows_of((tmp_path / "runs.csv").read_text())
    assert {run["hidden_width"] for run in runs} == {"8"} and len(runs) == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cells_that_are_recorded_are_shown_though_a_signal_comes_in_between(
    number: signal.Signals, run_command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def record(*arguments: Any) -> bool:
        is_recorded = _record(*arguments)
        signal.raise_signal(number)
        return is_recorded

    monkeypatch.setattr("vecparity.evaluator._record", record)
    path = tmp_path / "history.sqlite"
    status, out, err = run_command("sweep", "random_rows", *OVER, *SHORT, "--history", str(path))
    assert status == 130
    assert "interrupted: 2 of 4 cells are missing" in err
    assert " 2 cells in " in out
    assert count_recorded(path) == 2


@pytest.mark.slow
def test_an_interruption_before_any_cell_is_done(tmp_path: Path) -> None:
    arguments = ["sweep", "random_rows", "--over", "hidden_width=4096", *LASTING, "--csv", "runs.csv"]
    command = [sys.executable, "-m", "vecparity", *arguments]
    with Child(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        await_that(lambda: has_sandbox(process.pid))
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    assert "1 of 1 cells are missing (with --history FILE, --reuse goes on)" in err
    assert not (tmp_path / "runs.csv").exists()


def test_the_progress_in_a_line() -> None:
    clock = Clock()
    config = task_config("n32-k8", smoke=True)
    progress = CellProgress(4, clock)
    assert progress.in_words == "0 of 4 cells done; 0:00"
    progress.begin(config)
    progress.asked(Asked("mine", "networks", 3, 8))
    assert progress.in_words == ("0 of 4 cells done; n32-k8, width 512: asking mine for networks, 3 of 8; 0:00")
    progress.prepared([None] * 8, "native")  # type: ignore[list-item]  # two cells of four runs; only their number counts
    clock.now += 10
    progress.window(WindowClosed(2000, [0, 1], [0.1, 0.1], [1.0, 1.0], [0, 1, 2, 3, 4]))
    assert progress.in_words == (
        "0 of 4 cells done; n32-k8, width 512: step 2,000 of 4,000, 5 of 8 runs live; 0:10, about 0:30 left"
    )
    progress.finish([])
    for _ in range(2):
        progress.add_cell()
    clock.now += 10
    assert progress.in_words == "2 of 4 cells done; n32-k8, width 512: done; 0:20, about 0:20 left"
    progress.add_cell()
    progress.add_cell()
    assert progress.in_words == "4 of 4 cells done; 0:20"


def test_a_line_a_minute_without_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vecparity.cli.each_minute._SECONDS_BETWEEN_LINES", 0.01)
    said: list[str] = []
    monkeypatch.setattr("vecparity.cli.each_minute.say", said.append)
    with CellDisplay(3) as display:
        await_that(lambda: len(said) > 0)
        display.add_cell()
        await_that(lambda: said[-1].startswith("1 of 3 cells done"))
    assert said[0].startswith("0 of 3 cells done")
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_live_line_on_a_terminal_that_leaves_no_trace(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vecparity", "sweep", "random_rows", *OVER, *SHORT]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"}
    with Child(command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65_536):
                written += piece
        except OSError:  # the other end is closed
            pass
        out, _ = process.communicate()
    os.close(ours)
    assert process.returncode == 0
    assert b"of 4 cells done" in written
    assert len(out.splitlines()) == 3 + 4
