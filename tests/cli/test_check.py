"""The command ``vecparity check``."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from in_process import InThisProcess, write

import vecparity
from vecparity.cli.commands import check
from vecparity.cli.main import main
from vecparity.inspection import checking
from vecparity.task.config import TaskConfig
from vecparity.training.runs import Initial

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in this process, however long that takes: exit status, standard output, standard error."""
    monkeypatch.setattr(check, "_PATIENCE_SECONDS", threading.TIMEOUT_MAX)

    def run_command(*arguments: object) -> tuple[int, str, str]:
        status = main(["check", *map(str, arguments)])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_command


def test_what_people_see(run: Run) -> None:
    status, out, err = run("isolated_cube", "--secrets", "2")
    assert (status, err) == (0, "")
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0].startswith(
        "strategy isolated_cube · n32-k8 · seed 42 · 10 secrets × 10 orderings · 100,000 steps · contained"
    )
    assert lines[1] == "loads and answers; training sets looked at: 2 of 10"
    shown = {line[:18].strip(): re.split(" {2,}", line[18:]) for line in lines[2:-1]}
    assert shown["training set"] == ["secret 0", "secret 1"]
    assert shown["secret bits"] == ["0 2 4 9 14 20 29 31", "0 1 12 15 19 21 26 27"]
    assert shown["distinct rows"] == ["256 (6.25%)"] * 2
    assert shown["labels"] == ["50.00% are 1; 100.00% are the parity"] * 2
    assert shown["patterns"] == ["256 of 256; rarest 0.391% of rows, commonest 0.391%"] * 2
    assert shown["constant bits"][0] == "24, of the secret's 0: 1 3 5 6 7 8 10 11 12 13 15 16 …"
    assert shown["test set"] == ["0 of its 16,384 rows are in it (by chance 0.000977), 0 within 2 flips (0.517)"] * 2
    assert shown["an epoch"] == ["32 batches, the last of 128"] * 2
    assert shown["epochs"] == ["3,125.0 in 100,000 steps"] * 2
    assert shown["initial networks"] == ["20 of 100 runs"]
    assert shown["wd"] == ["0.3"]
    # How many depends on how busy the machine is.
    assert re.fullmatch(
        r"calls made again: ([0-9]+, all returned the same|none)( \(not .*, which take long\))?", lines[-1]
    )


def test_warnings_are_seen(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "Sandbox", InThisProcess)
    path = write(tmp_path / "mine.py", make_dataset="y = y * 0")
    status, out, err = run(path)
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == "warning: secret 0: all labels are 0: there is nothing to learn"


def test_who_takes_long_is_said_to_be_waited_for(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    is_told = threading.Event()

    class Slow(InThisProcess):
        def initialise(self, config: TaskConfig, run_seeds: Sequence[int]) -> Sequence[Initial]:
            is_told.wait()
            return super().initialise(config, run_seeds)

    def say(words: str) -> None:
        told.append(words)
        is_told.set()

    monkeypatch.setattr(checking, "Sandbox", Slow)
    monkeypatch.setattr(check, "say", say)
    monkeypatch.setattr(check, "_PATIENCE_SECONDS", 0)
    assert run(write(tmp_path / "mine.py"), "--strategy-seconds", "90")[0] == 0
    assert told == ["still waiting for the strategy, which may take 90 s a call (--strategy-seconds)"]


def test_json_has_the_same_facts(run: Run) -> None:
    status, out, err = run("isolated_cube", "--json", "--config", "n50-k8", "--protocol", "published", "--seed", "7")
    assert (status, err) == (0, "")
    content = json.loads(out)
    assert content["ok"] is True
    assert content["exit_status"] == 0
    [ours] = content["configurations"]
    expected = vecparity.check("isolated_cube", "n50-k8", protocol="published", seed=7)
    assert ours["config"] == vars(expected.config)
    assert ours["networks"] == {**vars(expected.networks), "outputs": vars(expected.networks.outputs)}
    assert ours["hyperparameters"]["beta2"] == {"lowest": 0.95, "median": 0.95, "highest": 0.95, "distinct": 1}
    assert ours["datasets"][0]["secret"] == expected.datasets[0].secret
    assert ours["datasets"][0]["patterns"] == vars(expected.datasets[0].patterns)
    assert ours["warnings"] == []


def test_all_configurations(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "Sandbox", InThisProcess)
    _, out, _ = run("isolated_cube", "--all-configs", "--json")
    assert [each["config"]["n_features"] for each in json.loads(out)["configurations"]] == [32, 50, 64]


OK = "return dict(lr=1e-3, wd=0, beta1=0.9, beta2=0.9)"
REFUSED: list[tuple[dict[str, str], int, int, str]] = [
    ({"top": "def f(:"}, 3, 1, "does not load: SyntaxError: invalid syntax"),
    ({"make_dataset": "x = x[:, :5]"}, 3, 4, "x must have shape [num_examples, n_features=32], got [300, 5]"),
    ({"make_dataset": "y[7] = 2"}, 3, 4, "y must contain only 0 and 1, got 2.0 at row 7"),
    ({"get_optimizer_config": OK.replace("1e-3", "float('nan')")}, 3, 10, "lr must be finite and above 0, got nan"),
    ({"make_dataset": "raise ValueError('only here')"}, 4, 8, "make_dataset raised ValueError: only here"),
]


@pytest.mark.parametrize(("bodies", "expected", "line", "said"), REFUSED)
def test_what_is_refused(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bodies: dict[str, str],
    expected: int,
    line: int,
    said: str,
) -> None:
    monkeypatch.setattr(checking, "Sandbox", InThisProcess)
    path = write(tmp_path / "mine.py", **bodies)
    status, out, err = run(path, "--json")
    error: dict[str, Any] = json.loads(out)["error"]
    assert status == error["status"] == expected
    assert error["where"] == f"{path}:{line}"
    assert said in error["message"]
    assert err == f"vecparity: error: {error['message']}\n"


@pytest.mark.slow
def test_an_endless_loop(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", make_dataset="while True: pass")
    status, out, err = run(path, "--strategy-seconds", "10", "--json")  # far more than the others take
    assert status == 4
    said = f"{path}: make_dataset "
    said += "did not finish within 10 s (raise it with --strategy-seconds)"
    assert err == f"vecparity: error: {said}\n"
    error = json.loads(out)["error"]
    assert (error["message"], error["where"]) == (said, str(path))


def test_a_missing_function_and_what_was_printed(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", top="print('FINAL_METRICS')")
    path.write_text(path.read_text().replace("def make_dataset", "def make_datasets"))
    status, out, err = run(path, "--json")
    assert status == 3
    said = f"{path}: a strategy must define init_model, make_dataset, get_optimizer_config, got no make_dataset"
    # Twice: it is loaded again for its training set, in case that is refused for another reason.
    shown = "    | FINAL_METRICS\n" * 2
    assert err == f"vecparity: error: {said}\n  Last output of strategies:\n{shown}"
    assert json.loads(out)["error"]["notes"] == ["Last output of strategies:\n  | FINAL_METRICS\n  | FINAL_METRICS"]


@pytest.mark.slow
def test_what_a_strategy_prints_is_told_apart(run: Run, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py", top="print('FINAL_METRICS ' * 100_000)\nprint('done')")
    for arguments in ([path], [path, "--json"]):
        status, out, err = run(*arguments)
        assert status == 0
        assert "FINAL_METRICS" not in out or "--json" in arguments
        assert err.startswith("vecparity: the strategy printed:\n")
        assert err.endswith("\n    | done\n")
        assert len(err) < 500  # of 1.4 MB
    (made,) = json.loads(out)["configurations"]
    assert made["printed"].endswith("\ndone")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.py"], "strategy must be a Python file or one of clean_noisy_cube,"),
        ([str(Path(__file__).parent)], "Is a directory"),
        (["isolated_cube", "--secrets", "11"], "secrets must be between 1 and 10, got 11"),
        (
            ["isolated_cube", "--all-configs", "--config", "n50-k8"],
            "--all-configs cannot be combined with --config: got --config n50-k8",
        ),
    ],
)
def test_wrong_use(run: Run, arguments: list[str], said: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    error = json.loads(run(*arguments, "--json")[1])["error"]
    assert (error["kind"], error["status"], error["where"]) == ("usage", 2, None)
    assert said in error["message"]


def test_numbers_are_read_strictly(run: Run) -> None:
    status, _, err = run("isolated_cube", "--seed", "3.5")
    assert status == 2
    assert "expected an integer, got '3.5'" in err


def seconds_of(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - began


@pytest.mark.slow
@pytest.mark.alone
def test_it_answers_in_little_more_than_torch_takes_to_load() -> None:
    """Bounds the time by that of loading torch: a second on a quick machine, more on a slow or busy one."""
    loading, answering = list[float](), list[float]()
    # The longer of the two finds a quiet moment less easily: until it has.
    while len(loading) < 3 or (len(loading) < 12 and min(answering) >= 4 * min(loading)):
        loading.append(seconds_of("-c", "import torch"))
        answering.append(seconds_of("-m", "vecparity", "check", "isolated_cube"))
    assert min(answering) < 4 * min(loading)
