import torch
from conftest import CPU
from equivalence import CONFIG, make_runs

from vecparity.training.ensemble import Ensemble


def test_start_stacks_the_runs() -> None:
    runs = make_runs()
    ensemble = Ensemble.start(runs, CONFIG.hidden_width, CPU, torch.float64)
    assert ensemble.num_runs == len(runs)
    assert ensemble.step == 0
    assert ensemble.active.all()
    assert not ensemble.exp_avg.any()
    assert not ensemble.exp_avg_sq.any()
    for position, run in enumerate(runs):
        assert torch.equal(ensemble.params[position], run.params.double())
        for name in ("lr", "wd", "beta1", "beta2"):
            assert getattr(ensemble, name)[position] == getattr(run.optimizer, name)
        rows = slice(ensemble.first_row[position], ensemble.first_row[position] + run.dataset.num_examples)
        assert torch.equal(ensemble.data.bits[rows], run.dataset.bits)
        assert torch.equal(ensemble.data.labels[rows], run.dataset.labels)


def test_runs_of_one_dataset_share_its_rows() -> None:
    runs = make_runs()
    ensemble = Ensemble.start(runs, CONFIG.hidden_width, CPU)
    assert runs[0].dataset is runs[1].dataset
    assert ensemble.first_row[0] == ensemble.first_row[1]
    assert ensemble.data.num_examples == sum({run.dataset.num_examples for run in runs})


def test_training_leaves_the_runs_as_they_are() -> None:
    runs = make_runs()
    before = runs[0].params.clone()
    Ensemble.start(runs, CONFIG.hidden_width, CPU).params += 1
    assert torch.equal(runs[0].params, before)


def test_parameters_are_named_views() -> None:
    ensemble = Ensemble.start(make_runs(), CONFIG.hidden_width, CPU)
    shapes = {name: tuple(value.shape) for name, value in ensemble.parameters.items()}
    assert shapes == {"0.weight": (9, 24, 20), "0.bias": (9, 24), "2.weight": (9, 1, 24), "2.bias": (9, 1)}
    ensemble.parameters["2.bias"][3] = 7
    assert ensemble.params[3, -1] == 7


def test_take_keeps_the_order_given() -> None:
    ensemble = Ensemble.start(make_runs(), CONFIG.hidden_width, CPU)
    ensemble.exp_avg += torch.arange(9)[:, None]
    ensemble.active[2] = False
    taken = ensemble.take(torch.tensor([5, 2]))
    assert torch.equal(taken.params, ensemble.params[[5, 2]])
    assert taken.exp_avg[:, 0].tolist() == [5, 2]
    assert taken.active.tolist() == [True, False]
    assert taken.lr.tolist() == ensemble.lr[[5, 2]].tolist()
    assert taken.first_row.tolist() == ensemble.first_row[[5, 2]].tolist()
    assert taken.data is ensemble.data
