"""The command, interrupted by real signals or killed, and resumed."""

import io
import json
import re
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from conftest import RunEval
from killed_evaluations import kill_and_go_on
from processes import Child, await_that

from vecparity.cli.interruption import Interruption
from vecparity.eval import main
from vecparity.sandbox import levels
from vecparity.sandbox.levels import LEVELS

# Long enough to be interrupted in the first of three configurations, or in the second.
SETTINGS = (
    "--strategy default_4096 --num-hidden-secrets 2 --num-orderings 2 --max-steps 3000 --log-interval 50 "
    "--hidden-width 64 --test-set-size 64 --all-configs"
)
SHORT = "--num-hidden-secrets 2 --num-orderings 2 --max-steps 40 --log-interval 20 --hidden-width 16 --test-set-size 64"


def command(arguments: str) -> list[str]:
    return [sys.executable, "-m", "vecparity.eval", *arguments.split()]


def results(directory: Path) -> dict[str, Any]:
    """All that the JSON files say, but for how long it took."""
    files = {path.name: json.loads(path.read_text()) for path in directory.glob("*.json")}
    for content in files.values():
        del content["provenance"]["wall_seconds"]
    return files


def end_after(lines: int, number: signal.Signals, arguments: str) -> tuple[int, str]:
    """Starts the command and signals it when it has printed some windows' lines: exit status and standard error.

    So little is on the way to a reader who is held up that the command waits, and is not at another place by then.
    """
    piped: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "pipesize": 4096, "text": True}
    with Child(command(arguments), **piped) as process:
        assert process.stdout is not None
        seen = 0
        for line in process.stdout:
            seen += line.startswith("TRAIN_METRICS")
            if seen == lines:
                process.send_signal(number)
                break
        _, err = process.communicate()
    return process.returncode, err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], dict[str, Any]]:
    """Standard output and JSON of an evaluation never interrupted."""
    directory = tmp_path_factory.mktemp("whole")
    with redirect_stdout(io.StringIO()) as printed:
        assert main(f"{SETTINGS} --output-dir {directory}".split()) == 0
    assert sorted(path.name for path in directory.iterdir()) == [f"n{n}-k8_seed42.json" for n in (32, 50, 64)]
    return printed.getvalue().splitlines(), results(directory)


# In the first configuration, and in the second: 4 runs x 61 windows each.
@pytest.mark.parametrize(
    ("number", "lines"),
    [
        (signal.SIGINT, 40),
        pytest.param(signal.SIGTERM, 300, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, 320, marks=pytest.mark.slow),
    ],
)
def test_signalled_and_gone_on_with(
    run_eval: RunEval,
    tmp_path: Path,
    whole: tuple[list[str], dict[str, Any]],
    number: signal.Signals,
    lines: int,
) -> None:
    arguments = f"{SETTINGS} --output-dir {tmp_path} --checkpoint-seconds 0"
    status, err = end_after(lines, number, arguments)
    if number is signal.SIGKILL:
        assert status == -signal.SIGKILL
    else:
        assert status == 75
        assert re.search(rf"resume from step \d+ with --checkpoint {tmp_path}/checkpoints --resume$", err, re.M)
    assert results(tmp_path) != whole[1]
    status, printed, _ = run_eval(f"{arguments} --resume")
    assert (status, printed) == (0, whole[0])
    assert results(tmp_path) == whole[1]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json"] * 3, "no checkpoints are left"


@pytest.mark.slow
def test_by_default_checkpoints_are_kept_in_the_users_cache(
    run_eval: RunEval, tmp_path: Path, whole: tuple[list[str], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    status, err = end_after(8, signal.SIGINT, SETTINGS)
    assert status == 75
    assert f"--checkpoint {tmp_path}/vecparity/checkpoints --resume" in err
    status, lines, _ = run_eval(f"{SETTINGS} --resume")
    assert (status, lines) == (0, whole[0])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.filterwarnings("default:the evaluation starts from the beginning and replaces")
def test_a_checkpoint_is_replaced_with_a_word(
    run_eval: RunEval, tmp_path: Path, whole: tuple[list[str], dict[str, Any]]
) -> None:
    status, _ = end_after(8, signal.SIGTERM, f"{SETTINGS} --checkpoint {tmp_path}")
    assert status == 75
    before = sorted(path.name for path in tmp_path.iterdir())
    assert len(before) >= 3
    status, lines, err = run_eval(f"{SETTINGS} --checkpoint {tmp_path}")
    assert (status, lines) == (0, whole[0])
    assert re.search(rf"replaces its checkpoint n32-k8-\w{{16}} in {tmp_path}, from which .*--resume", err)
    assert not tmp_path.exists() or not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--resume --engine reference", "resume needs checkpoint, the directory to resume from"),
        ("--checkpoint {} --engine reference", "the reference engine writes no checkpoints"),
        ("--checkpoint {} --resume --sealed", "resumes under its own key: expected --seal-key FILE"),
        ("--checkpoint {} --checkpoint-seconds -1", "checkpoint_seconds must be a finite number"),
    ],
)
def test_wrong_use(
    run_eval: RunEval, tmp_path: Path, arguments: str, said: str, request: pytest.FixtureRequest
) -> None:
    if "seal" in arguments:
        request.getfixturevalue("can_seal")
    status, lines, err = run_eval(f"{SHORT} {arguments.format(tmp_path)}")
    assert (status, lines) == (2, [])
    assert said in err


def test_where_checkpoints_cannot_be_written(run_eval: RunEval, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, lines, err = run_eval(f"{SHORT} --checkpoint {tmp_path}/file")
    assert (status, lines) == (6, [])
    assert "checkpoint must be a directory that can be written" in err


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_several_killed_at_random_in_one_directory_lose_nothing(tmp_path: Path, level: levels.Level) -> None:
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    counts = kill_and_go_on(tmp_path, level, 3)
    assert counts["kills"] >= 3
    assert counts["gone on"] + counts["begun again"] == counts["kills"]
    assert counts["slowest end"] < 5000, "a second, on a machine that is several times as slow or busy"


@pytest.mark.slow
def test_an_audited_evaluation_goes_on_with_its_audit(tmp_path: Path) -> None:
    arguments = f"{SETTINGS} --audit strict --output-dir {tmp_path}"
    assert end_after(40, signal.SIGINT, arguments)[0] == 75
    subprocess.run(command(f"{arguments} --resume"), check=True, capture_output=True)
    for content in results(tmp_path).values():
        assert [finding["name"] for finding in content["audit"]] == [
            "repeatability", "overlap", "fresh-test", "cross-pairing", "foresight", "file",
        ]  # fmt: skip
        assert content["audit"][3]["passed"] is True


def test_a_second_signal_and_one_before_training_end_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        interruption.can_be_kept = True
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_an_interruption_while_preparing_ends_soon(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text("import time\nprint('begun')\ntime.sleep(1000)\n")
    log = tmp_path / "log"
    arguments = f"--strategy {path} --strategy-log {log}"
    with Child(command(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        await_that(lambda: log.exists() and log.read_text() == "begun\n")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate()
    assert (process.returncode, out) == (130, b"")
    assert b"interrupted" in err
