"""The properties that every engine guarantees."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from conftest import CPU
from equivalence import (
    CONFIG,
    ENGINES,
    assert_equivalent,
    diverging,
    make_dataset,
    make_runs,
    start,
    state_bits,
    train_silently,
    windows,
)

from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.task.network import flatten
from vecparity.training import reference
from vecparity.training.engines.interface import Engine
from vecparity.training.loop import Trained
from vecparity.training.schedule import Window

each_engine = pytest.mark.parametrize("make_engine", ENGINES.values(), ids=ENGINES.keys())


def share(engine: Engine, params: torch.Tensor, dataset: Dataset, hidden_width: int) -> float:
    return float(engine.test(params[None], [dataset], hidden_width))


@each_engine
def test_float32_follows_the_oracle(make_engine: Callable[[], Engine]) -> None:
    config = replace(CONFIG, max_steps=10)
    assert_equivalent(make_engine(), make_runs(config)[:6], config, torch.float32, 1e-5)


@each_engine
def test_a_runs_result_does_not_depend_on_the_order_of_the_runs(make_engine: Callable[[], Engine]) -> None:
    runs = make_runs()
    order = [4, 8, 0, 2, 7, 6, 1, 5, 3]
    ends = train_silently(runs, CONFIG, make_engine(), torch.float32)
    shuffled = train_silently([runs[run] for run in order], CONFIG, make_engine(), torch.float32)
    for position, run in enumerate(order):
        assert shuffled[position].curve == ends[run].curve
        assert shuffled[position].test_accuracy == ends[run].test_accuracy


@each_engine
def test_frozen_runs_stay_bit_identical(make_engine: Callable[[], Engine]) -> None:
    runs = make_runs()
    ensemble = start(runs)
    first, second = windows(runs, [7, 9])
    make_engine().advance(ensemble, first)
    before = {run: state_bits(ensemble, run) for run in range(len(runs))}
    frozen = [0, 4, 8]
    ensemble.active[frozen] = False
    metrics = make_engine().advance(ensemble, second)
    for run in range(len(runs)):
        assert torch.equal(state_bits(ensemble, run), before[run]) == (run in frozen)
        assert metrics.num_batches[run] == (0 if run in frozen else 9)
        assert metrics.loss[run] == 0 or run not in frozen


@each_engine
def test_a_diverging_run_is_frozen_where_its_loss_ceased_to_be_finite(make_engine: Callable[[], Engine]) -> None:
    runs = make_runs()
    runs[1] = diverging(runs[1])
    ensemble, alone = start(runs), start(runs)
    (window,) = windows(runs, [20])
    metrics = make_engine().advance(ensemble, window)
    until = int(metrics.num_batches[1])
    assert 0 < until < 20
    assert ensemble.active.tolist() == [run != 1 for run in range(len(runs))]
    assert metrics.num_batches.tolist() == [until if run == 1 else 20 for run in range(len(runs))]
    assert metrics.loss.isfinite().all()
    # Its state is that after the last step whose loss was finite, bit for bit.
    make_engine().advance(alone, Window(window.indices[:, :until].contiguous(), window.lengths[:, :until].contiguous()))
    assert torch.equal(state_bits(ensemble, 1), state_bits(alone, 1))


@each_engine
def test_runs_diverge_where_the_oracles_do(make_engine: Callable[[], Engine]) -> None:
    # In whatever order sums are made, and with products rounded or not: as all labels are 1, the first step takes every
    # output weight far up and each hidden unit's weights all up or all down, so that outputs are infinite and right,
    # and the second takes them to infinity, times hidden units of 0.
    optimizer = OptimizerConfig(lr=1.6e38, wd=0.0, beta1=0.5, beta2=0.01)
    runs = [
        replace(run, optimizer=optimizer, dataset=replace(run.dataset, labels=torch.ones_like(run.dataset.labels)))
        for run in make_runs()[:4]
    ]
    expected = reference.train(runs, CONFIG, CPU, torch.float32, lambda closed: None)
    ends = train_silently(runs, CONFIG, make_engine(), torch.float32)
    assert [(end.steps, end.diverged) for end in ends] == [(end.steps, True) for end in expected]
    assert {end.steps for end in expected} == {3}


@each_engine
def test_a_diverging_run_does_not_disturb_the_others(make_engine: Callable[[], Engine]) -> None:
    runs = make_runs()
    with_it = [diverging(runs[0]), *runs[1:]]
    ends = train_silently(runs, CONFIG, make_engine(), torch.float32)
    others = train_silently(with_it, CONFIG, make_engine(), torch.float32)
    assert others[0].diverged
    for run in range(1, len(runs)):
        assert others[run].curve == ends[run].curve


@each_engine
def test_windows_may_be_cut_anywhere(make_engine: Callable[[], Engine]) -> None:
    runs = make_runs()
    whole, cut = start(runs), start(runs)
    for lengths, ensemble in (([12], whole), ([1, 4, 7], cut)):
        for window in windows(runs, lengths):
            make_engine().advance(ensemble, window)
    assert whole.step == cut.step == 12
    assert torch.equal(whole.params.view(torch.int32), cut.params.view(torch.int32))


def train_one_with_each(config: TaskConfig, position: int, optimizer: OptimizerConfig | None = None) -> list[Trained]:
    run = make_runs()[position]
    run = replace(run, optimizer=optimizer or run.optimizer)
    ends = [train_silently([run], config, make_engine(), torch.float32)[0] for make_engine in ENGINES.values()]
    return [*ends, *reference.train([run], config, CPU, torch.float32, lambda closed: None)]


def test_parameters_that_overflow_at_the_last_step_have_no_score() -> None:
    config = replace(CONFIG, max_steps=1)
    for end in train_one_with_each(config, 0, OptimizerConfig(lr=3e38, wd=1.0, beta1=0.1, beta2=0.9)):
        assert (end.diverged, end.steps) == (True, 1)


def test_no_steps_at_all_scores_the_initial_network() -> None:
    ends = train_one_with_each(replace(CONFIG, max_steps=0), 2)
    assert {(end.steps, end.test_accuracy) for end in ends} == {(0, ends[-1].test_accuracy)}
    assert ends[-1].test_accuracy is not None


@each_engine
def test_the_score_is_the_share_of_right_answers(make_engine: Callable[[], Engine]) -> None:
    # One hidden unit that passes feature 0 on: p >= 0.5 where it is set, the other way for the negated network.
    parameters = {
        "0.weight": torch.tensor([[1.0, 0.0, 0.0, 0.0]]),
        "0.bias": torch.zeros(1),
        "2.weight": torch.tensor([[2.0]]),
        "2.bias": torch.tensor([-1.0]),
    }
    dataset = make_dataset(2500, 1, 4)
    expected = ((dataset.bits[:, 0] & 1) == dataset.labels).double().mean().item()
    assert share(make_engine(), flatten(parameters), dataset, 1) == expected
    parameters["2.weight"], parameters["2.bias"] = torch.tensor([[-2.0]]), torch.tensor([1.0])
    assert share(make_engine(), flatten(parameters), dataset, 1) == pytest.approx(1 - expected)


@each_engine
def test_several_networks_are_tested_each_on_its_own_rows(make_engine: Callable[[], Engine]) -> None:
    runs = make_runs()
    test_sets = [make_dataset(size, size, CONFIG.n_features) for size in (1, 10, 700, 1300, 64)]
    params = torch.stack([run.params for run in runs[: len(test_sets)]])
    alone = [share(make_engine(), *pair, CONFIG.hidden_width) for pair in zip(params, test_sets, strict=True)]
    assert make_engine().test(params, test_sets, CONFIG.hidden_width).tolist() == alone
    by_torch = [share(ENGINES["vmap"](), *pair, CONFIG.hidden_width) for pair in zip(params, test_sets, strict=True)]
    assert alone == by_torch


@each_engine
def test_a_probability_of_one_half_means_one(make_engine: Callable[[], Engine]) -> None:
    dataset = make_dataset(100, 1, 4)
    zeros = torch.zeros(3 * (4 + 2) + 1)
    assert share(make_engine(), zeros, dataset, 3) == dataset.positive_rate
