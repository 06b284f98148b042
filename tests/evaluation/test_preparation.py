import signal
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tasks import make_task, prepare

from vecparity.audits.mode import AuditMode
from vecparity.errors import InvalidStrategyError, StrategyFailedError
from vecparity.evaluation import preparation
from vecparity.evaluation.callbacks import Followers
from vecparity.evaluation.job import Task
from vecparity.evaluation.options import Options
from vecparity.evaluation.pipeline import Pipeline
from vecparity.sandbox import levels
from vecparity.sandbox.limits import Limits
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import Secret, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.training.runs import Initial

CONFIGS = [
    TaskConfig(n_features=n, secret_size=2, hidden_width=4, num_hidden_secrets=2, num_orderings=2, test_set_size=8)
    for n in (5, 6, 7)
]
SLOW = """
import time

def init_model(model, config):
    print("asked for", config.n_features)

def make_dataset(secret, config, seed):
    if config.n_features == 6:
        time.sleep(600)
    return torch.zeros(1, config.n_features), [0]

def get_optimizer_config(config):
    return dict(lr=1e-3, wd=0, beta1=0.9, beta2=0.9)
"""


def plan(chosen: str | Path, mode: AuditMode = "off") -> list[tuple[TaskConfig, list[Task]]]:
    return [(config, [make_task(chosen, config, mode)]) for config in CONFIGS]


# Fails only where it is called a second time: its clock is ahead of its files.
FAILS_AGAIN = """
import pathlib, time

def is_again():
    pathlib.Path("mark").touch()
    return time.time() - pathlib.Path("mark").stat().st_mtime > 1e6

def init_model(model, config):
    {init_model}

def make_dataset(secret, config, seed):
    {make_dataset}
    return torch.zeros(1, config.n_features), [0]

def get_optimizer_config(config):
    return dict(lr=1e-3, wd=0, beta1=0.9, beta2=0.9)
"""


class Recorder:
    """Stands where a sandbox stands, and notes what it is asked for."""

    def __init__(self, *arguments: object, again: bool = False) -> None:
        self.again = again
        self._interface = interface.load(load("default_4096"))
        self.asked: list[tuple[str, int]] = []
        self.second_is_asked_for = threading.Event()
        self.datasets: list[weakref.ref[Dataset]] = []
        recorders.append(self)

    def initialise(self, config: TaskConfig, run_seeds: Sequence[int]) -> Sequence[Initial]:
        self._note("networks", config)
        return self._interface.initialise(config, run_seeds)

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> object:
        self._note("dataset", config)
        if config.n_features == 6:
            self.second_is_asked_for.set()
        dataset = self._interface.training_set(config, secret, dataset_seed)
        self.datasets.append(weakref.ref(dataset))
        alive = sum(made() is not None for recorder in recorders for made in recorder.datasets)
        num_alive.append(alive)
        return dataset

    def _note(self, what: str, config: TaskConfig) -> None:
        self.asked.append((what, config.n_features))
        everything_asked.append((what, self.again))


recorders: list[Recorder] = []
everything_asked: list[tuple[str, bool]] = []
num_alive: list[int] = []


@pytest.fixture(autouse=True)
def no_recorders() -> None:
    for noted in (recorders, everything_asked, num_alive):
        noted.clear()


@pytest.mark.parametrize("mode", ["off", "strict"])
def test_all_networks_come_before_any_secret_is_shown(mode: AuditMode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "Sandbox", Recorder)
    several = [
        (config, [*tasks, make_task("default_4096", config, mode, seed=2)])
        for config, tasks in plan("default_4096", mode)
    ]
    runs = [prepared.runs for prepared in prepare(several)]
    assert {again for _, again in everything_asked} == ({False} if mode == "off" else {False, True})
    asked = [what for what, _ in everything_asked]
    assert asked == sorted(asked, reverse=True), "networks, then datasets"
    assert {n for recorder in recorders for _, n in recorder.asked} == {5, 6, 7}
    assert [made[0].dataset.n_features for made in runs] == [5, 6, 7]


@pytest.mark.parametrize(("mode", "most"), [("off", 10), ("report", 54), ("strict", 54)])
def test_datasets_that_are_made_again_are_let_go_one_by_one(
    mode: AuditMode, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts the datasets alive at the end: those of 10 secrets, and of 44 sealed secrets for an audit."""
    monkeypatch.setattr(preparation, "Sandbox", Recorder)
    config = replace(CONFIGS[0], n_features=12, num_hidden_secrets=10, num_orderings=2)
    (prepared,) = prepare([(config, [make_task("default_4096", config, mode)])])
    assert len({id(run.dataset) for run in prepared.runs}) == most
    assert sum(len(recorder.datasets) for recorder in recorders) == (10 if mode == "off" else 64)
    assert max(num_alive) == most


def test_the_next_configuration_is_prepared_while_one_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "Sandbox", Recorder)
    tasks = [make_task("default_4096", config, index=index) for index, config in enumerate(CONFIGS)]
    with Pipeline(Options(containment="none")) as pipeline:
        groups = pipeline.run(tasks, Followers([]), fails_fast=True)
        next(groups)
        recorders[1].second_is_asked_for.wait()
        groups.close()


@pytest.mark.parametrize(
    ("init_model", "make_dataset", "expected"),
    [
        ("1 / (not is_again())", "pass", r":9: init_model raised ZeroDivisionError: division by zero"),
        ("pass", "1 / (not is_again())", r":12: make_dataset raised ZeroDivisionError: division by zero"),
        ("pass", "return [[2 * is_again()] * config.n_features], [0]", r":11: .* got 2 at row 0"),
    ],
)
@pytest.mark.slow
def test_an_error_of_a_call_made_again_says_so(
    tmp_path: Path, init_model: str, make_dataset: str, expected: str
) -> None:
    path = tmp_path / "fails.py"
    path.write_text(FAILS_AGAIN.format(init_model=init_model, make_dataset=make_dataset))
    with pytest.raises((StrategyFailedError, InvalidStrategyError), match=expected) as error:
        list(prepare(plan(path, "report")[:1], levels.choose("auto")))
    assert str(error.value).endswith("(in the repeatability audit, which repeats the call: the first call returned)")
    (prepared,) = prepare(plan(path, "off")[:1], levels.choose("auto"))
    assert len(prepared.runs) == 4


@pytest.mark.slow
def test_what_is_being_prepared_ends_when_it_is_not_wanted(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    tasks = [make_task(path, config, index=index) for index, config in enumerate(CONFIGS)]
    with Pipeline(Options(containment="none")) as pipeline:
        groups = pipeline.run(tasks, Followers([]), fails_fast=True)
        next(groups)
        time.sleep(0.3)  # the second configuration's dataset is being made
        began = time.monotonic()
        groups.close()
    assert time.monotonic() - began < 60


def test_a_signal_does_not_break_off_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off inside, it could leave a lock held for which the thread that prepares would wait for ever."""
    waits = list[str]()

    def interrupted_wait(*arguments: Any, **options: Any) -> Any:
        waits.append("begun")
        if len(waits) == 1:
            signal.raise_signal(signal.SIGINT)
        waits.append("ended")
        return wait(*arguments, **options)

    monkeypatch.setattr("vecparity.evaluation.pipeline.wait", interrupted_wait)
    with Pipeline(Options()) as pipeline, pytest.raises(KeyboardInterrupt):
        next(pipeline.run([make_task("isolated_cube", CONFIGS[0])], Followers([])))
    assert waits == ["begun", "ended"]


@pytest.mark.slow
def test_an_error_tells_what_was_printed(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text(SLOW)
    limits = Limits(strategy_seconds=20)  # far more than the quick calls take, on a busy machine too
    with pytest.raises(
        StrategyFailedError, match=r"did not finish within 20 s .raise it with --strategy-seconds"
    ) as error:
        list(prepare(plan(path), limits=limits))
    assert error.value.__notes__[0].splitlines() == [
        "Last output of strategies:",
        *(f"  | asked for {n}" for n in (5, 6, 7) for _ in range(4)),
    ]
