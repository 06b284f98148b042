"""Commands whose standard streams are closed or full, or whose encoding lacks some printed characters."""

import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vecparity import Evaluation
from vecparity.cli.commands import check
from vecparity.cli.main import main
from vecparity.history.store import History
from vecparity.strategy.source import load

EVAL = (
    f"{sys.executable} -m vecparity.eval --num-hidden-secrets 1 --num-orderings 1 --max-steps 40 --log-interval 1 "
    "--hidden-width 16 --test-set-size 64 --no-history --output-dir results --containment none"
)


def shell(command: str, directory: Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    """Runs a line of bash, whose status is that of the last program in a pipe that failed."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=directory,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        encoding=encoding,
        check=False,
    )


@pytest.fixture
def history(tmp_path: Path, evaluation: Evaluation) -> Path:
    path = tmp_path / "history"
    with History(path, create=True) as opened:
        opened.add(evaluation, load("isolated_cube"), "a")
    return path


@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        ("<&- >&- 2>&-", 0, ""),
        pytest.param("<&-", 0, "", marks=pytest.mark.slow),
        pytest.param(">&-", 0, "", marks=pytest.mark.slow),
        pytest.param("2>&-", 0, "", marks=pytest.mark.slow),
        pytest.param("2> /dev/full", 0, "", marks=pytest.mark.slow),
        pytest.param("--progress 2> /dev/full", 0, "", marks=pytest.mark.slow),
        pytest.param(
            "> /dev/full",
            6,
            "vecparity: error: standard output cannot be written: No space left on device\n",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_evaluation_is_finished_whoever_reads(tmp_path: Path, redirection: str, status: int, said: str) -> None:
    done = shell(f"{EVAL} {redirection}", tmp_path)
    assert (done.returncode, done.stderr) == (status, said)
    assert_finished(tmp_path)


@pytest.mark.slow
def test_an_evaluation_is_finished_though_its_reader_has_enough(tmp_path: Path) -> None:
    more_than_a_pipe_holds = EVAL.replace("--max-steps 40", "--max-steps 2000")
    done = shell(f"{more_than_a_pipe_holds} | head -n 1", tmp_path)
    assert (done.returncode, done.stderr) == (141, "")
    assert_finished(tmp_path)


def assert_finished(directory: Path) -> None:
    assert json.loads((directory / "results" / "eval_seed42.json").read_text())["metrics"]["num_runs"] == 1


def test_nothing_is_printed_into_a_file_that_got_a_closed_streams_number(history: Path) -> None:
    """The history would be the first file that is opened."""
    done = shell(f"{sys.executable} -m vecparity history --history history >&- 2>&-", history.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with History(history) as opened:
        assert len(opened.entries()) == 1


def test_what_is_printed_to_a_full_disk_is_an_error(history: Path) -> None:
    done = shell(f"{sys.executable} -m vecparity history --history history > /dev/full", history.parent)
    assert done.returncode == 6
    assert done.stderr == "vecparity: error: standard output cannot be written: No space left on device\n"


def test_an_encoding_is_the_environments(history: Path) -> None:
    done = shell(f"{sys.executable} -m vecparity show 1 --history history", history.parent, "ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    "command",
    [
        "show 1 --history history",
        "history --history history",
        "new naïve.py",
        "--help",
        pytest.param("check isolated_cube", marks=pytest.mark.slow),
        pytest.param("doctor", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_what_an_encoding_lacks_is_written_in_its_characters(
    history: Path, monkeypatch: pytest.MonkeyPatch, command: str, encoding: str
) -> None:
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding, write_through=True) for _ in range(2))
    monkeypatch.chdir(history.parent)
    monkeypatch.setattr(check, "_PATIENCE_SECONDS", threading.TIMEOUT_MAX)  # says nothing of a busy machine
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    status = main(command.split())
    printed, said = (stream.buffer.getvalue().decode(encoding) for stream in (out, err))
    assert (status, said) == (0, "")
    assert printed
