"""``--workers``: what commands print and write is what they print and write without."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from conftest import SHORT_FLAGS, STRATEGIES, RunCommand, RunEval
from outcomes import contents
from processes import Child, await_end, await_that, user_seconds

from vecparity import History
from vecparity.cli.display import Display
from vecparity.evaluation.callbacks import AtWork
from vecparity.progress.cells import CellProgress
from vecparity.sandbox.processes import descendants
from vecparity.task.config import TaskConfig

FLAGS = f"{SHORT_FLAGS} --threads 1"
VARIED = str(STRATEGIES / "varied.py")


def recorded(file: Path) -> list[tuple[str, int, float]]:
    with History(file) as history:
        every = [record.evaluation for record in history.evaluations()]
    return sorted((made.provenance.strategy, made.provenance.seed, made.metrics.test_accuracy) for made in every)


@pytest.mark.slow
@pytest.mark.parametrize("log", ["full", "digest", "json"])
def test_eval_prints_and_writes_the_same(run_eval: RunEval, tmp_path: Path, log: str) -> None:
    said = {}
    for name, flags in {"without": "", "with": "--workers 2"}.items():
        at = tmp_path / name
        status, lines, _ = run_eval(
            f"isolated_cube {VARIED} --seed 1 2 --all-configs {FLAGS} --audit off --log {log} --output-dir {at} "
            f"--history {at}/history.sqlite {flags}"
        )
        assert status == 0
        said[name] = [re.sub(r'"seconds": [0-9.]+', "", line) for line in lines]
    assert said["with"] == said["without"]
    assert contents(tmp_path / "with") == contents(tmp_path / "without")
    assert len(contents(tmp_path / "with")) == 12
    assert recorded(tmp_path / "with/history.sqlite") == recorded(tmp_path / "without/history.sqlite")
    assert not (tmp_path / "with/checkpoints").exists()


@pytest.mark.slow
def test_exit_statuses_and_errors_are_the_same(run_eval: RunEval, tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(Path(VARIED).read_text().replace('"wd": wd', '"wd": -1.0'))
    diverges = STRATEGIES / "diverges.py"
    for flags, expected in {f"{bad} --seed 1 2 {FLAGS}": 3, f"{diverges} --smoke --max-steps 30": 4}.items():
        arguments = f"{flags} --no-history --audit off --log final"
        status, lines, said = run_eval(arguments)
        assert run_eval(f"{arguments} --workers 1") == (status, lines, said)
        assert status == expected


@pytest.mark.slow
@pytest.mark.usefixtures("can_seal")
def test_a_sealed_evaluation_is_repeated_by_its_draw(run_eval: RunEval, tmp_path: Path) -> None:
    flags = f"isolated_cube {FLAGS} --no-history --log final --workers 2"
    assert run_eval(f"{flags} --sealed --output-dir {tmp_path}/first")[0] == 0
    (first,) = contents(tmp_path / "first").values()
    (key,) = Path(os.environ["XDG_DATA_HOME"]).glob(f"vecparity/keys/{first['provenance']['seal'][:16]}.key")
    again = f"--seal-key {key} --draw {first['provenance']['draw']} --output-dir {tmp_path}/again"
    assert run_eval(f"{flags.replace('--workers 2', '')} {again}")[0] == 0
    assert contents(tmp_path / "again") == contents(tmp_path / "first")


@pytest.mark.slow
def test_compare_says_the_same(run_command: RunCommand, tmp_path: Path) -> None:
    words = ["compare", "isolated_cube", "multi_epoch", "--seed", "1", "2", *SHORT_FLAGS.split()]
    said = [
        run_command(*words, *flags, "--history", str(tmp_path / f"{len(flags)}.sqlite"))[:2]
        for flags in ([], ["--workers", "2"])
    ]
    assert said[0] == said[1]
    assert said[0][0] == 0


@pytest.mark.slow
def test_a_sweep_has_the_same_cells(run_command: RunCommand, tmp_path: Path) -> None:
    words = ["sweep", VARIED, "--over", "lr=0.01,0.001", "hidden_width=16,32,48", "--smoke", "--max-steps", "40"]
    tables = []
    for flags in ([], ["--workers", "2"]):
        path = tmp_path / f"{len(flags)}.csv"
        status, out, _ = run_command(*words, *flags, "--csv", str(path), "--format", "csv")
        assert status == 0
        tables.append((out, path.read_text()))
    assert tables[0] == tables[1]


@pytest.mark.slow
def test_a_search_makes_the_same_trials(run_command: RunCommand, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="needs pip install 'vecparity[search]'")
    words = ["search", VARIED, "--tune", "lr=1e-3:1e-1:log", "wd=0:1", "--trials", "14", "--batch", "6", "--smoke"]
    words += ["--rescore", "1", "--no-history", "--format", "json", "--race", *SHORT_FLAGS.split()]
    found = []
    for flags in ([], ["--workers", "2"]):
        status, out, _ = run_command(*words, *flags)
        assert status == 0
        found.append(json.loads(out)["trials"])
    assert found[0] == found[1]
    assert len(found[0]) == 14


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["eval", "--workers", "0"],
            "workers must be a number of processes (--workers 8), ray or ray://HOST:PORT, got '0'",
        ),
        (["eval", "--workers", "two"], "workers must be a number of processes"),
        (["eval", "--workers", "2", "--resume", "--no-history"], "resume needs checkpoint, the directory to resume"),
        (["eval", "--workers", "2", "--strategy-log", "x", "--no-history"], "strategy_log is for evaluations of this"),
        (["compare", "isolated_cube", "multi_epoch", "--workers", "-1"], "workers must be a number of processes"),
        (["search", VARIED, "--workers", "x"], "workers must be a number of processes"),
        (["sweep", VARIED, "--over", "lr=1,2", "--workers", "x"], "workers must be a number of processes"),
    ],
)
def test_what_is_refused(
    run_command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Sequence[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run_command(*words)
    assert (status, out) == (2, "")
    assert said in err


def test_the_display_tells_what_workers_have_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    display = Display(True, [TaskConfig()])
    cells = CellProgress(16)
    for shown in (display, cells):
        shown.begin(TaskConfig())
        shown.at_work(AtWork(3, 48, workers=2, busy=1, run_steps=90_000, again=1, seconds=2.0))
    with display:
        display.refresh()
    words = "3 of 48 evaluations done, 1 of 2 workers busy, 1 begun again, 45,000 run-steps/s"
    assert words in " ".join(capsys.readouterr().err.split())
    assert cells.in_words.startswith(f"0 of 16 cells done; {words}; 0:0")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_command_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    words = [VARIED, "--seed", "1", "2", "3", "4", "--early-stop-acc", "2", "--no-history", "--audit", "off"]
    command = [sys.executable, "-m", "vecparity", "eval", *words, "--workers", "2"]
    with Child(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        every = dict[int, int]()

        def is_training() -> bool:
            every.update(descendants(process.pid))
            return sum(user_seconds(pid) > 5 for pid in every) >= 2

        await_that(is_training)
        process.send_signal(number)
        _, said = process.communicate()
    await_end(every)
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert "interrupted" in said
