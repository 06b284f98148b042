import pytest
import torch

from vecparity import Strategy, TaskConfig
from vecparity.errors import StrategyFailedError
from vecparity.strategy import interface, variants
from vecparity.strategy.interface import Interface

CONFIG = TaskConfig(n_features=6, secret_size=2, hidden_width=4, max_train_examples=100)
SEEDS = [1, 2, 3]
RATES = [{"lr": 0.5}, {"lr": 0.25}, {}]
STRATEGY = """
import random
import numpy as np

{top}

def init_model(model, config):
    torch.nn.init.normal_(model[0].weight)
    {init_model}

def make_dataset(secret, config, seed):
    pass

def get_optimizer_config(config, *, lr=0.1):
    {body}
    return dict(lr=lr, wd=0, beta1=0.5, beta2=0.5)
"""


def load(body: str = "pass", top: str = "", init_model: str = "pass") -> Interface:
    return interface.load(Strategy.from_source(STRATEGY.format(body=body, top=top, init_model=init_model)))


@pytest.mark.parametrize(
    ("body", "top", "init_model"),
    [
        ("pass", "", "pass"),
        ("lr *= 1 - random.random() / 2 - float(torch.rand(())) / 4", "", "pass"),
        ("lr *= 1 + CALLS[0]", "CALLS = [0]", "CALLS[0] += 1"),
        ("lr *= 1 + abs(SEEN[-1][0].weight[0, 0].item())", "SEEN = []", "SEEN.append(model)"),
    ],
)
def test_each_variant_gets_what_it_gets_by_itself(body: str, top: str, init_model: str) -> None:
    params, optimizers = variants.initialise(load(body, top, init_model), CONFIG, SEEDS, RATES)
    for arguments, own in zip(RATES, optimizers, strict=True):
        strategy = Strategy.from_source(STRATEGY.format(body=body, top=top, init_model=init_model))
        by_itself = interface.load(strategy, arguments={"get_optimizer_config": arguments})
        expected = by_itself.initialise(CONFIG, SEEDS)
        assert all(torch.equal(ours, theirs) for ours, (theirs, _) in zip(params, expected, strict=True))
        assert own == [optimizer for _, optimizer in expected]


@pytest.mark.parametrize(
    ("body", "top"),
    [
        ("global CALLS; CALLS += 1", "CALLS = 0"),
        ("SEEN.append(lr)", "SEEN = []"),
        ("get_optimizer_config.calls = lr", ""),
        ("State.lr = lr", "class State: lr = 0"),
        ("STATE.lr = lr", "class State: pass\nSTATE = State()"),
        ("KEPT(lr)", "def keep():\n    held = []\n    return lambda lr: held.append(lr)\nKEPT = keep()"),
        ("np.random.rand()", ""),
        ("TABLE[0] = lr", "TABLE = torch.zeros(3)"),
        ("next(NUMBERS)", "NUMBERS = (i for i in range(100))"),
        ("1 / (lr - 0.25)", ""),
    ],
)
def test_calls_that_a_later_call_could_see_are_not_made_in_one_go(body: str, top: str) -> None:
    with pytest.raises(StrategyFailedError):
        variants.initialise(load(body, top), CONFIG, SEEDS, RATES)
