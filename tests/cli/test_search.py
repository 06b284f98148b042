import csv
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
from conftest import SHORT_FLAGS, STRATEGIES, RunCommand
from processes import Child, await_that, has_sandbox
from studies import count_finished

pytest.importorskip("optuna", reason="needs pip install 'vecparity[search]'")

from vecparity import History, evaluate
from vecparity.cli.commands import search_work
from vecparity.cli.search_display import SearchDisplay
from vecparity.errors import MachineError
from vecparity.strategy.source import load
from vecparity.task.config import task_config
from vecparity.tuning.results import Trial, TrialState
from vecparity.tuning.winners import Rescoring

pytestmark = pytest.mark.usefixtures("served")

VARIED = STRATEGIES / "varied.py"
TUNED = ("--tune", "lr=1e-3:1e-1:log", "wd=0,0.1", "--batch", "2")
SHORT = (*TUNED, "--trials", "4", "--no-progress", *SHORT_FLAGS.split())
LONGER = SHORT_FLAGS.replace("--max-steps 40", "--max-steps 4000").split()
# Seconds of training, in which a display is drawn.
LASTING = [*SHORT_FLAGS.replace("--max-steps 40", "--max-steps 40000").split(), "--early-stop-acc", "2"]


def test_the_winner_becomes_a_file_of_its_own(run_command: RunCommand, can_seal: None, tmp_path: Path) -> None:
    best, history = tmp_path / "best.py", tmp_path / "history.sqlite"
    status, out, err = run_command(
        "search", str(VARIED), *SHORT, "--rescore", "2", "-o", str(best), "--history", str(history)
    )
    assert status == 0, err
    assert re.search(r"^4 trials, each 4 runs of n32-k8; this sitting took \d+:\d\d", out, re.MULTILINE)
    assert "best in the search: trial " in out
    assert "the best 2, evaluated anew under a fresh seal" in out
    assert out.count("n64-k8") == 1
    digest = load(best).sha256
    assert f"wrote {best} ({digest[:8]}); next: vecparity eval" in err
    assert "the key is in " in err
    changed = [
        (own, other)
        for own, other in zip(VARIED.read_text().split("\n"), best.read_text().split("\n"), strict=True)
        if own != other
    ]
    assert all("def get_optimizer_config" in own for own, _ in changed)
    assert len(changed) <= 1
    with History(history) as recorded:
        assert digest in {entry.strategy_sha256 for entry in recorded.entries()}


def test_json_has_everything(run_command: RunCommand, can_seal: None) -> None:
    status, out, _ = run_command("search", str(VARIED), *SHORT, "--rescore", "1", "--format", "json", "--no-history")
    found = json.loads(out)
    assert status == 0
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2, 3]
    assert found["space"] == {"lr": "0.001:0.1:log", "wd": "0,0.1"}
    (winner,) = found["winners"]
    assert [own["config"]["n_features"] for own in winner["evaluations"]] == [32, 50, 64]
    assert all(own["provenance"]["draw"] for own in winner["evaluations"])
    trial = found["trials"][winner["trial"]]
    config = task_config("n32-k8", protocol="published", **_settings())
    own = evaluate(VARIED, config, seed=1, params=trial["params"], audit="off").metrics
    assert (trial["accuracy"], trial["mean_steps"]) == (own.test_accuracy, own.mean_steps)


def _settings() -> Any:
    words = SHORT_FLAGS.split()
    return {flag[2:].replace("-", "_"): int(value) for flag, value in zip(words[::2], words[1::2], strict=True)}


def test_a_study_goes_on(run_command: RunCommand, tmp_path: Path) -> None:
    arguments = ["search", str(VARIED), *SHORT, "--rescore", "0", "--study", str(tmp_path / "study.db")]
    _, first, _ = run_command(*arguments)
    arguments[arguments.index("--trials") + 1] = "6"
    _, again, _ = run_command(*arguments, "--format", "json")
    assert "4 trials" in first
    assert len(json.loads(again)["trials"]) == 6
    status, _, err = run_command(*arguments, "--seed", "2")
    assert status == 2
    assert "is of another search: expected seed 1, got 2 (--study with another file begins anew)" in err


def test_a_report_has_pictures(run_command: RunCommand, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    status, _, err = run_command("search", str(VARIED), *SHORT, "--rescore", "0", "--report", str(report))
    assert status == 0, err
    assert f"wrote {report}" in err
    assert report.read_text().count("<svg") >= 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--tune", "lr"), "tune 'lr': expected LOW:HIGH, LOW:HIGH:log or values with commas"),
        ((), "expected a range to search in, as in --tune lr=1e-3:1e-1:log, got none"),
        (("--tune", "rate=0:1"), "no parameter 'rate': its parameters are lr, rows, scale, wd"),
        (("--tune", "lr=0:1", "--seed", "42"), "must not see the secrets of seed 42"),
        (("--tune", "lr=0:1", "--trials", "2.5"), "expected an integer, got '2.5'"),
        (("--tune", "lr=0:1", "-o", "best.txt"), "--output must be a name that ends in .py, got 'best.txt'"),
        (("--tune", "lr=0:1", "-o", "not/a.py"), "--output must be a file in a directory that exists, got not/a.py"),
        (("--tune", "lr=0:1", "--report", "/"), "--report must be a file, got the directory /"),
        (
            ("--tune", "lr=0:1", "--report", "a", "--study", "./a"),
            "--report must be another file than --study",
        ),
        (("--tune", "lr=0:1", "--no-history", "--history", "h"), "--no-history cannot be combined with --history h"),
        (
            ("--tune", "lr=0:1", "--study", "not/there.db"),
            "the study must be a file in a directory that exists",
        ),
    ],
)
def test_wrong_use_is_said_before_anything_is_evaluated(
    arguments: tuple[str, ...], said: str, run_command: RunCommand
) -> None:
    status, out, err = run_command("search", str(VARIED), *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_no_other_strategy_is_overwritten(run_command: RunCommand, tmp_path: Path) -> None:
    mine, other, best = tmp_path / "mine.py", tmp_path / "other.py", tmp_path / "best.py"
    mine.write_bytes(VARIED.read_bytes())
    other.write_text("import torch\n")
    for output, said in (
        (other, "must be a new file, or the same strategy"),
        (mine, "must be another file than STRATEGY"),
    ):
        before = output.read_bytes()
        status, _, err = run_command("search", str(mine), *SHORT, "-o", str(output))
        assert (status, output.read_bytes()) == (2, before)
        assert said in err
    arguments = ("search", str(mine), *SHORT, "--rescore", "0", "-o", str(best))
    assert run_command(*arguments)[0] == 0
    first = best.read_bytes()
    assert run_command(*arguments, "--seed", "3")[0] == 0  # an earlier search's file is no other strategy
    assert best.read_bytes() != first
    longer = tmp_path / "longer.py"
    longer.write_bytes(first + b"\n\ndef mine_alone(): ...\n")
    status, _, err = run_command(*arguments[:-1], str(longer))
    assert (status, longer.read_bytes()[-24:]) == (2, b"\n\ndef mine_alone(): ...\n"[-24:])
    for seed in ("1", "2"):
        bundled = ("search", "isolated_cube", *SHORT, "--rescore", "0", "-o", str(tmp_path / "cube.py"))
        assert run_command(*bundled, "--seed", seed)[0] == 0


def test_a_strategy_whose_trials_all_fail_has_its_own_status(run_command: RunCommand, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(VARIED.read_text().replace('return {"lr": lr', 'raise ValueError("no"); return {"lr": lr'))
    status, out, err = run_command("search", str(broken), *SHORT)
    assert (status, out) == (4, "")
    assert "get_optimizer_config raised ValueError: no" in err


def test_a_file_that_cannot_be_written_in_the_end_loses_no_result(
    run_command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(search_work, "write_whole", fails)
    best = tmp_path / "best.py"
    status, out, err = run_command("search", str(VARIED), *SHORT, "--rescore", "0", "-o", str(best))
    assert status == MachineError.exit_status
    assert "best in the search" in out
    assert f"{best} cannot be written: No space left on device" in err


@pytest.mark.slow
@pytest.mark.parametrize("keeps", [True, False])
def test_an_interruption_keeps_finished_trials(keeps: bool, tmp_path: Path) -> None:
    study = tmp_path / "study.db"
    command = [sys.executable, "-m", "vecparity", "search", str(VARIED), "--tune", "lr=1e-3:1e-1:log"]
    command += ["--trials", "500", "--batch", "2", "--rescore", "0", *LONGER]
    command += ["--no-history", *(["--study", str(study)] if keeps else [])]
    error = tmp_path / "error"
    with error.open("w") as stream, Child(command, stderr=stream, stdout=subprocess.PIPE, text=True) as child:
        if keeps:
            await_that(lambda: count_finished(study) >= 4)
        else:
            await_that(lambda: has_sandbox(child.pid))  # nobody sees a trial finish
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate()
    said = error.read_text()
    assert out == ""
    assert "vecparity: interrupted after " in said
    if keeps:
        assert child.returncode == 75
        assert f"they are kept in {study}: the same command goes on" in said
        assert f"interrupted after {count_finished(study)} trials" in said
        assert not study.with_name("study.db.lock").exists()
    else:
        assert child.returncode == 130
        assert "(--study FILE keeps trials)" in said


@pytest.mark.slow
def test_a_terminal_has_a_live_table_that_leaves_nothing(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "vecparity", "search", str(VARIED), *TUNED, *LASTING]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"}
    with Child(
        [*command, "--rescore", "0", "--trials", "4"], stderr=follower, stdout=subprocess.PIPE, env=environment
    ) as child:
        os.close(follower)
        drawn = b""
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            drawn += part
        out = child.communicate()[0]
    os.close(leader)
    assert child.returncode == 0
    assert b"varied, n32-k8, protocol published, seed 1" in drawn
    assert b"2 trials, of 4; " in drawn
    assert b"of 40,000, " in drawn
    assert out.startswith(b"4 trials")


def test_a_line_says_how_far_the_search_is() -> None:
    now = [0.0]
    display = SearchDisplay(False, "mine", lambda: now[0])
    display.batch(10, 30)
    states: list[TrialState] = ["complete", "dropped", "failed", "complete"]
    for number, state in enumerate(states):
        accuracy = None if state == "failed" else 0.75 + number / 100
        display.told(Trial(number, {"lr": number / 10}, state, accuracy, accuracy and 100.0 * number, 4))
    display.trials += display.trials[:1] * 16
    now[0] = 30.0
    others = "1 dropped, 1 failed, 16 with the values of another"
    assert display.in_words == (
        f"20 trials ({others}), of 30; 0:30, about 0:30 left, the best so far trial 3: accuracy 0.780000, 300 steps"
    )


def test_a_study_without_a_score_has_a_status(run_command: RunCommand, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(VARIED.read_text().replace('return {"lr": lr', 'raise ValueError("no"); return {"lr": lr'))
    arguments = ("search", str(broken), *SHORT, "--study", str(tmp_path / "study.db"))
    assert run_command(*arguments)[0] == 4
    status, out, err = run_command(*arguments)
    assert status == 4
    assert "no trial has a score" in out
    assert "4 trials without a score: " in err
    assert err.count("get_optimizer_config raised ValueError: no") == 1


def test_failures_have_reasons(run_command: RunCommand) -> None:
    arguments = ["search", "isolated_cube", "--tune", "beta1=0.9,0.95,1.5", "--trials", "30", "--no-progress"]
    status, out, err = run_command(*arguments, "--sampler", "random", "--rescore", "0", *SHORT_FLAGS.split())
    assert status == 0
    assert " failed" in out
    assert "without a score: " in err
    assert "beta1 must be between 0 and 1, both excluded, got 1.5" in err


def test_a_winner_without_a_score_somewhere_has_a_status(run_command: RunCommand, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    config = 'assert config.n_features != 50; return {"lr": lr'
    broken.write_text(VARIED.read_text().replace('return {"lr": lr', config))
    status, out, err = run_command("search", str(broken), *SHORT, "--rescore", "1", "--no-history")
    assert status == 4
    assert "evaluated anew" in out
    assert "has no score on n50-k8: " in err


def test_figures_and_parameters_of_the_same_names_are_told_apart(run_command: RunCommand, tmp_path: Path) -> None:
    named = tmp_path / "named.py"
    text = VARIED.read_text().replace("lr: float = 1e-2, wd: float", "steps: float = 1e-2, trial: float")
    named.write_text(text.replace('"lr": lr, "wd": wd', '"lr": steps, "wd": trial'))
    tune = ("--tune", "steps=0.5,0.25", "trial=0.125,0.375", "--trials", "2", "--no-progress", "--no-history")
    arguments = ("search", str(named), *tune, "--rescore", "1", *SHORT_FLAGS.split(), "--format", "csv")
    status, out, _ = run_command(*arguments)
    assert status == 0
    (row,) = csv.DictReader(out.splitlines())
    assert float(row["steps"]) == 40.0
    assert int(row["trial"]) in (0, 1)
    assert float(row["param steps"]) in (0.5, 0.25)
    assert float(row["param trial"]) in (0.125, 0.375)


def test_what_was_found_is_not_lost_where_rescoring_is_stopped(
    run_command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    best = tmp_path / "best.py"
    arguments = ("search", str(VARIED), *SHORT, "-o", str(best), "--no-history")
    for error, status, said in (
        (KeyboardInterrupt(), 130, "interrupted, and the best were not evaluated anew (--study FILE keeps trials)"),
        (MachineError("no memory"), 6, "error: no memory"),
    ):

        def stops(self: Rescoring, trials: object, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(Rescoring, "evaluate", stops)
        got, out, err = run_command(*arguments)
        assert got == status
        assert said in err
        assert "best in the search: trial " in out
        assert load(best).source != VARIED.read_bytes() or "trial 0," in out
        best.unlink()
