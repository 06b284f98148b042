from pathlib import Path

import pytest
import torch
from conftest import SHORT

from vecparity import Evaluation, evaluate
from vecparity.evaluation import serialization
from vecparity.evaluation.gathering import by_feature
from vecparity.strategy.source import load
from vecparity.task.seeds import PublicSeeds
from vecparity.training.engines.names import EngineName


def test_the_dataset_is_told_by_feature(evaluation: Evaluation) -> None:
    """`isolated_cube` shows every pattern of the secret's bits as often, and nothing else."""
    secrets = PublicSeeds(42).secrets(evaluation.config)
    for data, secret in zip(evaluation.datasets, secrets, strict=True):
        assert data.secret == list(secret)
        assert data.patterns_covered == 256
        assert (data.density.secret, data.density.others) == (0.5, 0.0)
        assert data.density.each == [0.5 if feature in secret else 0.0 for feature in range(32)]


@pytest.mark.parametrize("engine", ["native", "vmap", "reference"])
def test_the_first_layer_of_a_run_that_takes_no_step_is_the_initial_one(engine: EngineName) -> None:
    made = evaluate("default_4096", engine=engine, **SHORT | {"max_steps": 0})
    assert [(layer.secret_index, layer.order_index) for layer in made.first_layers] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    torch.manual_seed(42_001_001)
    first, _ = torch.nn.Linear(32, 32), torch.nn.Linear(32, 1)
    torch.nn.init.xavier_uniform_(first.weight, gain=torch.nn.init.calculate_gain("relu"))
    expected = first.weight.abs().mean(dim=0).tolist()
    assert made.first_layers[3].mean_abs_weight.each == pytest.approx(expected, rel=1e-6)


def test_engines_agree_on_the_first_layer() -> None:
    ours, theirs = (evaluate("isolated_cube", engine=engine, **SHORT) for engine in ("native", "reference"))
    for layer, expected in zip(ours.first_layers, theirs.first_layers, strict=True):
        assert layer.mean_abs_weight.each == pytest.approx(expected.mean_abs_weight.each, rel=1e-3)


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_weights_whose_sum_is_no_float32_have_a_mean(tmp_path: Path, engine: EngineName) -> None:
    source = Path(load("default_4096").path).read_text().replace("def init_model", "def unused")
    huge = "\n\ndef init_model(model, config):\n    model[0].weight.data.fill_(-3e38)\n"
    (tmp_path / "huge.py").write_text(source + huge)
    made = evaluate(tmp_path / "huge.py", engine=engine, audit="off", **SHORT | {"max_steps": 0})
    assert made.first_layers[0].mean_abs_weight.secret == pytest.approx(3e38)
    assert b"Infinity" not in serialization.dumps(made)


@pytest.mark.usefixtures("can_seal")
def test_nothing_in_a_sealed_evaluation_tells_its_secrets() -> None:
    made = evaluate("isolated_cube", seal_key=bytes(32), **SHORT)
    assert [(data.secret, data.density.each) for data in made.datasets] == [(None, None)] * 2
    assert all(layer.mean_abs_weight.each is None for layer in made.first_layers)
    assert all(data.density.secret == 0.5 for data in made.datasets)


def test_a_diverged_run_has_no_first_layer(diverged: Evaluation) -> None:
    assert [(layer.secret_index, layer.order_index) for layer in diverged.first_layers] == [(0, 0), (1, 0), (1, 1)]


def test_by_feature_where_there_are_no_others() -> None:
    made = by_feature([1.0, 3.0], (0, 1), is_sealed=False)
    assert (made.secret, made.others, made.each) == (2.0, None, [1.0, 3.0])
