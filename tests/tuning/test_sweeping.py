"""Sweeps: their cells, frames and failures, and how one goes on after it was killed."""

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import STRATEGIES
from processes import Child, await_that

from vecparity import Evaluator, History, Job, Strategy, Sweep, TaskConfig, evaluate, parity_labels, sweep
from vecparity.errors import DivergedError, InvalidStrategyError, StrategyFailedError, UsageError
from vecparity.strategy.source import load
from vecparity.tuning.sweeping import evaluate_cells, plan_sweep

TINY: dict[str, Any] = {
    "n_features": 8,
    "secret_size": 2,
    "num_hidden_secrets": 3,
    "num_orderings": 2,
    "max_steps": 60,
    "log_interval": 20,
    "hidden_width": 16,
    "test_set_size": 100,
}
OVER: dict[str, list[Any]] = {"hidden_width": [8, 16], "num_examples": [50, 400], "lr": [0.001, 0.01]}
FIGURES = ["test_accuracy", "accuracy_low", "accuracy_high", "mean_steps", "share_solved", "num_runs", "error"]


def _but(name: str) -> dict[str, Any]:
    """Returns the settings without one that is swept over."""
    return {other: value for other, value in TINY.items() if other != name}


@pytest.fixture(scope="module")
def swept() -> Sweep:
    return sweep("random_rows", OVER, **_but("hidden_width"))


def test_every_cell_is_what_its_own_evaluation_is(swept: Sweep) -> None:
    assert len(swept.cells) == 8
    for cell in swept.cells:
        values = dict(cell.values)
        settings = TINY | {"hidden_width": values.pop("hidden_width")}
        alone = evaluate("random_rows", params=values, audit="off", **settings)
        assert cell.evaluation is not None
        assert cell.evaluation.results == alone.results
        assert cell.evaluation.provenance.params == alone.provenance.params
        assert cell.evaluation.config == alone.config


def test_cells_keep_no_curves_and_their_evaluations_go_through_pickle(swept: Sweep) -> None:
    for cell in swept.cells:
        assert cell.evaluation is not None
        assert [run.curve.step for run in cell.evaluation.curves] == [[]] * 6
    again = pickle.loads(pickle.dumps(swept))
    assert again == swept
    assert len(again.runs) == 48


def test_a_frame_with_a_row_for_each_run(swept: Sweep) -> None:
    frame = swept.runs
    figures = ["secret_index", "order_index", "steps", "test_accuracy", "diverged", "error"]
    assert list(frame.columns) == [*OVER, *figures]
    assert len(frame) == 8 * 6
    assert not frame["diverged"].any() and frame["error"].isna().all()
    one = frame[(frame.hidden_width == 16) & (frame.num_examples == 50) & (frame.lr == 0.01)]
    (cell,) = (cell for cell in swept.cells if tuple(cell.values.values()) == (16, 50, 0.01))
    assert cell.evaluation is not None
    assert one["test_accuracy"].tolist() == [run.test_accuracy for run in cell.evaluation.results]
    assert one["steps"].tolist() == [run.steps for run in cell.evaluation.results]


def test_a_frame_with_a_row_for_each_cell(swept: Sweep) -> None:
    frame = swept.summary
    assert list(frame.columns) == [*OVER, *FIGURES]
    means = swept.runs.groupby(list(OVER), sort=False)["test_accuracy"].mean()
    assert frame["test_accuracy"].tolist() == pytest.approx(means.tolist(), abs=1e-12)
    solved = swept.runs.assign(solved=swept.runs["test_accuracy"] >= 0.99).groupby(list(OVER), sort=False)["solved"]
    assert frame["share_solved"].tolist() == solved.mean().tolist()
    has_interval = frame["accuracy_low"].notna()
    assert has_interval.any()
    within = frame[has_interval]
    assert (within["accuracy_low"] < within["test_accuracy"]).all()
    assert (within["accuracy_high"] > within["test_accuracy"]).all()
    assert set(frame["num_runs"]) == {6}


def test_what_is_seen_of_a_sweep(swept: Sweep) -> None:
    assert repr(swept) == "<Sweep of random_rows over 2 hidden_width x 2 num_examples x 2 lr: 8 cells>"
    html = swept._repr_html_()
    assert html.count("<tr>") == 9 and "num_examples" in html and "0.001" in html


def test_frames_need_pandas_and_nothing_else_does(swept: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert "<table>" in swept._repr_html_()
    for frame in ("runs", "summary"):
        with pytest.raises(UsageError, match=r"pip install 'vecparity\[pandas\]'"):
            getattr(swept, frame)


def test_a_cells_failure_is_its_own() -> None:
    swept = sweep("random_rows", {"lr": [-1.0, 0.01, 1e30]}, **TINY)
    refused, good, diverged = swept.cells
    assert isinstance(refused.error, InvalidStrategyError) and refused.evaluation is None
    assert isinstance(diverged.error, DivergedError) and diverged.evaluation is None
    assert good.error is None and good.evaluation is not None
    assert refused.without_score is None
    assert diverged.without_score is not None and len(diverged.without_score.diverged) == 6
    assert repr(swept).endswith("3 cells, 2 without a score>")
    runs, summary = swept.runs, swept.summary
    assert len(runs) == 1 + 6 + 6
    assert runs["steps"].isna().tolist() == [True] + [False] * 12
    assert runs["diverged"].fillna(False).sum() == 6
    assert runs["test_accuracy"].notna().sum() == 6
    assert "got -1.0" in runs["error"][0] and "6 diverged of 6 runs" in runs["error"][12]
    assert summary["num_runs"].tolist() == [0, 6, 0]
    assert summary["error"].isna().tolist() == [False, True, False]
    assert "no score" in swept._repr_html_()


@pytest.mark.usefixtures("served")
def test_a_strategy_that_fails_for_some_settings_only() -> None:
    source = """
def init_model(model, config):
    if config.hidden_width == 8:
        raise RuntimeError("too narrow")

def make_dataset(secret, config, seed):
    x = torch.randint(0, 2, (50, config.n_features))
    return x, parity_labels(x, secret)

def get_optimizer_config(config):
    return dict(lr=1e-2, wd=0.0, beta1=0.9, beta2=0.95)
"""
    swept = sweep(Strategy.from_source(source), {"hidden_width": [8, 16]}, **_but("hidden_width"))
    assert isinstance(swept.cells[0].error, StrategyFailedError)
    assert "too narrow" in str(swept.cells[0].error)
    assert swept.cells[1].error is None


def init_model(model: Any, config: Any, *, scale: float = 1.0) -> None:
    with torch.no_grad():
        model[0].weight.mul_(scale)


def make_dataset(secret: Any, config: Any, seed: int, *, num_examples: int = 10) -> Any:
    x = torch.randint(0, 2, (num_examples, config.n_features))
    return x, parity_labels(x, secret)


def get_optimizer_config(config: Any, *, kind: str = "slow") -> dict[str, float]:
    return {"lr": 1e-2 if kind == "fast" else 1e-3, "wd": 0.0, "beta1": 0.9, "beta2": 0.95}


@pytest.mark.usefixtures("served")
def test_functions_are_a_strategy_whose_arguments_are_axes() -> None:
    mine = Strategy.from_functions(
        init_model=init_model, make_dataset=make_dataset, get_optimizer_config=get_optimizer_config
    )
    swept = sweep(mine, {"kind": ["slow", "fast"], "scale": [0.5, 2.0], "num_examples": range(20, 60, 20)}, **TINY)
    assert mine.origin == "functions"
    points = product(("slow", "fast"), (0.5, 2.0), (20, 40))
    assert [tuple(cell.values.values()) for cell in swept.cells] == list(points)
    results = [str(cell.evaluation.results) for cell in swept.cells if cell.evaluation]
    assert len(set(results)) == 8


@pytest.mark.usefixtures("served")
def test_adamws_numbers_are_axes_of_every_strategy() -> None:
    source = load("isolated_cube").source.decode()
    swept = sweep("isolated_cube", {"lr": [0.001, 0.02]}, params={"wd": 0.5}, **TINY)
    for cell in swept.cells:
        written = source.replace('"lr": 1e-2, "wd": 0.3', f'"lr": {cell.values["lr"]}, "wd": 0.5')
        assert written != source
        expected = evaluate(Strategy.from_source(written), audit="off", **TINY)
        assert cell.evaluation is not None
        assert cell.evaluation.results == expected.results
        assert cell.evaluation.provenance.params == {"lr": cell.values["lr"], "wd": 0.5}
    assert swept.cells[0].evaluation != swept.cells[1].evaluation


def test_a_random_part_has_the_cells_of_the_whole(swept: Sweep) -> None:
    part = sweep("random_rows", OVER, random=3, **_but("hidden_width"))
    whole = {tuple(cell.values.values()): cell for cell in swept.cells}
    assert len(part.cells) == 3
    for cell in part.cells:
        same = whole[tuple(cell.values.values())].evaluation
        assert cell.evaluation is not None and same is not None
        assert cell.evaluation.results == same.results


@pytest.mark.usefixtures("served")
def test_a_parameter_of_a_figures_name_has_a_column_of_its_own() -> None:
    source = (
        "def get_optimizer_config(config, *, steps=3, error='x'): return dict(lr=steps, wd=0, beta1=0.9, beta2=0.9)\n"
    )
    source += "def init_model(model, config): pass\n"
    source += "def make_dataset(secret, config, seed): return torch.zeros(3, config.n_features), torch.zeros(3)\n"
    swept = sweep(Strategy.from_source(source), {"steps": [1, 2], "error": ["a"]}, **TINY)
    assert list(swept.runs.columns)[:2] == ["param_steps", "param_error"]
    assert swept.runs["param_steps"].tolist() == [1] * 6 + [2] * 6
    assert swept.runs["steps"].tolist() == [60] * 12
    assert list(swept.summary.columns)[:2] == ["steps", "param_error"]


@pytest.mark.parametrize(
    ("over", "arguments", "message"),
    [
        ({"hidden_width": [16, 0]}, {}, "hidden_width must be at least 1, got 0"),
        ({"hidden_width": [16, 8.5]}, {}, "hidden_width must be an integer, got 8.5"),
        ({"hidden_width": [True, 1]}, {}, "hidden_width must be an integer, got True"),
        ({"secret_size": [2, 9]}, {}, "secret_size must be at most n_features=8, got 9"),
        ({"lr": [0.1]}, {"params": {"lr": 0.2}}, "lr is swept over: expected no single value"),
        ({"hidden_width": [8]}, {}, "hidden_width is swept over: expected no single value"),
        ({"lr": [0.1]}, {"params": {"ls": 0.2}}, "no parameter 'ls'"),
        ({"lr": [0.1]}, {"max_step": 3}, r"sweep has no argument 'max_step' \(is max_steps meant\?\)"),
        ({"lr": [0.1]}, {"reuse": True}, "reuse needs a history"),
        ({"lr": [0.1]}, {"random": 0}, "random must be a number of cells"),
        (["lr"], {}, "over must be a mapping from names to values"),
    ],
)
def test_what_is_refused_before_anything_is_evaluated(
    over: Any, arguments: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluator, "as_completed", lambda *_: pytest.fail("an evaluation began"))
    settings = TINY if "hidden_width is swept over" in message else _but(next(iter(over), ""))
    with pytest.raises(UsageError, match=message):
        sweep("random_rows", over, **settings, **arguments)


def test_settings_that_only_the_axes_make_valid() -> None:
    settings = _but("secret_size") | {"n_features": 6}  # the secret of n32-k8 is larger
    swept = sweep("random_rows", {"secret_size": [2, 3]}, **settings)
    assert [cell.evaluation.config.secret_size for cell in swept.cells if cell.evaluation] == [2, 3]
    assert swept.config.secret_size == 2


def test_a_config_of_ones_own() -> None:
    swept = sweep("random_rows", {"hidden_width": [8]}, TaskConfig(**TINY), seed=7)
    (cell,) = swept.cells
    assert cell.evaluation is not None
    assert (swept.protocol, swept.seed, cell.evaluation.provenance.seed) == ("custom", 7, 7)


@pytest.mark.usefixtures("served")
@pytest.mark.slow
def test_nothing_is_audited_unless_asked_for() -> None:
    mine = Strategy.from_source((STRATEGIES / "varied.py").read_text())
    (quiet,) = sweep(mine, {"max_steps": [20]}, **_but("max_steps")).cells
    (audited,) = sweep(mine, {"max_steps": [20]}, audit="report", **_but("max_steps")).cells
    assert quiet.evaluation is not None and audited.evaluation is not None
    assert quiet.evaluation.findings == [] and audited.evaluation.findings != []


def test_a_history_remembers_the_cells_and_nothing_else_does(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    over = {"lr": [0.001, 0.01]}
    first = sweep("random_rows", over, history=path, **TINY)
    with History(path) as history:
        assert history.count() == 2
    again = sweep("random_rows", {"lr": [0.01, 0.1, 0.001]}, history=path, reuse=True, **TINY)
    with History(path) as history:
        assert history.count() == 3
    by_lr = {cell.values["lr"]: cell.evaluation for cell in again.cells}
    for cell in first.cells:
        recalled = by_lr[cell.values["lr"]]
        assert recalled is not None and cell.evaluation is not None
        assert recalled.results == cell.evaluation.results


KILLED = f"""
from vecparity import sweep
over = {{"hidden_width": [8, 12, 16, 20], "lr": [0.001, 0.01]}}
settings = {_but("hidden_width")} | {{"max_steps": 20_000, "early_stop_acc": 2.0}}
swept = sweep("random_rows", over, history="history.sqlite", reuse=True, threads=1, **settings)
swept.summary.to_csv("summary.csv")
"""


def _recorded(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM evaluations").fetchone()[0])
    except sqlite3.OperationalError:  # it is just being made
        return 0


@pytest.mark.slow
def test_a_sweep_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    directories = {name: tmp_path / name for name in ("killed", "whole")}
    for directory in directories.values():
        directory.mkdir()
    history = directories["killed"] / "history.sqlite"
    with Child([sys.executable, "-c", KILLED], cwd=directories["killed"]) as process:
        await_that(lambda: _recorded(history) >= 2)
        os.kill(process.pid, signal.SIGKILL)
    before = _recorded(history)
    assert 2 <= before < 8, "it was to be killed in its midst"
    for directory in directories.values():
        subprocess.run([sys.executable, "-c", KILLED], cwd=directory, check=True)
    assert _recorded(history) == 8
    killed, whole = ((directory / "summary.csv").read_text() for directory in directories.values())
    assert killed == whole


def test_cells_are_yielded_as_they_are_done() -> None:
    plan = plan_sweep(Job("random_rows", settings=_but("hidden_width")), {"hidden_width": [8, 16], "lr": [1, 2]}, None)
    places = []
    with Evaluator(audit="off") as evaluator:
        for place, cell in evaluate_cells(plan, evaluator):
            places.append(place)
            assert cell.values == plan.grid.points[place]
            if len(places) == 3:
                break
    assert len(set(places)) == 3
    part = plan.sweep_of({3: cell, 0: cell}, 1.0)
    assert len(part.cells) == 2


def test_numbers_of_the_optimizer_can_vary_where_a_strategy_has_no_parameters() -> None:
    swept = sweep("isolated_cube", {"lr": [0.01, 0.02]}, **TINY)
    first = swept.cells[0].evaluation
    assert first is not None
    assert first.metrics == evaluate("isolated_cube", **TINY).metrics
    assert [dict(cell.values) for cell in swept.cells] == [{"lr": 0.01}, {"lr": 0.02}]
