"""The throughput comparison: it reports a failed contender and goes on; a speed with a wrong answer means nothing."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CPU
from equivalence import CONFIG, make_runs

from benchmarks import limits, machine, oracle, throughput
from benchmarks.cases import Case, Contender, TrainWindow, with_steps
from vecparity.task.config import TaskConfig
from vecparity.training import reference
from vecparity.training.runs import Run

Prepare = Callable[[Sequence[Run], TaskConfig, int, torch.device], TrainWindow]


def prepare_right(runs: Sequence[Run], config: TaskConfig, num_steps: int, device: torch.device) -> TrainWindow:
    """The oracle itself, while the gate looks."""
    if num_steps > 1:
        return lambda: torch.zeros(len(runs), dtype=torch.float64)
    config = with_steps(config, throughput.GATE_STEPS)
    ends = reference.train(runs, config, CPU, torch.float32, lambda closed: None)
    losses = iter(torch.tensor([end.curve.loss for end in ends], dtype=torch.float64).T)
    return lambda: next(losses)


def prepare_wrong(runs: Sequence[Run], config: TaskConfig, num_steps: int, device: torch.device) -> TrainWindow:
    train_window = prepare_right(runs, config, num_steps, device)
    return lambda: train_window() + 1e-3


def prepare_nan(runs: Sequence[Run], config: TaskConfig, num_steps: int, device: torch.device) -> TrainWindow:
    train_window = prepare_right(runs, config, num_steps, device)
    return lambda: train_window() * float("nan")


def prepare_broken(runs: Sequence[Run], config: TaskConfig, num_steps: int, device: torch.device) -> TrainWindow:
    raise RuntimeError("out of memory\nand more lines")


def prepare_late(runs: Sequence[Run], config: TaskConfig, num_steps: int, device: torch.device) -> TrainWindow:
    """Trains the gate's windows only."""
    if num_steps > 1:
        raise RuntimeError("no room for a longer window")
    return prepare_right(runs, config, num_steps, device)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Narrow networks, short windows, and an oracle and a machine that need not be measured."""
    monkeypatch.setattr(Case, "make", lambda case: (make_runs()[: case.num_runs], CONFIG))
    monkeypatch.setattr(machine, "cores", lambda: 1)
    monkeypatch.setattr(throughput, "SECONDS", 0.001)
    monkeypatch.setattr(oracle, "one_process", lambda *arguments: 1_000.0)
    monkeypatch.setattr(oracle, "sharded", lambda *arguments: 2_000.0)
    monkeypatch.setattr(limits, "measure", lambda device: {"copy_bytes_per_second": 1e9})


def contender(name: str, prepare: Prepare) -> Contender:
    return Contender(name, lambda device: None, prepare)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        (prepare_wrong, "losses differ from the oracle's by 1.0e-03, more than 1e-05"),
        (prepare_nan, "losses differ from the oracle's by nan, more than 1e-05"),
        (prepare_broken, "RuntimeError: out of memory"),
        (prepare_late, "RuntimeError: no room for a longer window"),
    ],
)
def test_a_contender_that_fails_is_a_row_and_not_the_end(prepare: Prepare, problem: str) -> None:
    contenders = [contender("left", prepare), contender("right", prepare_right)]
    measured = throughput.measure(Case("isolated_cube", 32, 3), contenders, CPU, None, 1)
    assert measured["problems"] == {"left": problem}
    assert measured["medians"]["right"] > 0
    assert "left" not in measured["medians"]
    json.dumps(measured, allow_nan=False)


@pytest.mark.usefixtures("small")
def test_the_table_names_it_the_others_are_written_and_the_status_tells(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contenders = [contender("left", prepare_wrong), contender("right", prepare_right)]
    monkeypatch.setattr(throughput, "CONTENDERS", contenders)
    arguments: dict[str, Any] = {"n_features": (32,), "runs": (1, 3), "rows": ("isolated_cube",), "repeats": 1}
    with pytest.raises(SystemExit) as ended:
        throughput.main(**arguments, output_dir=tmp_path)
    assert ended.value.code == "2 of 2 cases have a contender that failed: left"
    output = capsys.readouterr().out
    assert output.count("failed") == 2
    assert "isolated_cube N=32, 1 runs: left: losses differ from the oracle's by 1.0e-03, more than 1e-05" in output
    content = json.loads((tmp_path / "throughput.json").read_text())
    assert [set(case["medians"]) for case in content["measured"]] == [{"oracle", "oracle sharded", "right"}] * 2


@pytest.mark.usefixtures("small")
def test_what_was_measured_is_written_before_the_next_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(throughput, "CONTENDERS", [contender("right", prepare_right)])
    measure = throughput.measure

    def measure_small(case: Case, *arguments: Any) -> dict[str, Any]:
        if case.num_runs == 3:
            raise KeyboardInterrupt
        return measure(case, *arguments)

    monkeypatch.setattr(throughput, "measure", measure_small)
    with pytest.raises(KeyboardInterrupt):
        throughput.main(n_features=(32,), runs=(1, 3), rows=("isolated_cube",), repeats=1, output_dir=tmp_path)
    content = json.loads((tmp_path / "throughput.json").read_text())
    assert [case["num_runs"] for case in content["measured"]] == [1]
