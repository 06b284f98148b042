"""`check`, its calls and its warnings; our own strategies run in this process."""

import math
from pathlib import Path

import pytest
from in_process import InThisProcess, asked, write
from tasks import make_task, prepare

import vecparity
from vecparity.errors import InvalidStrategyError, StrategyFailedError, UsageError
from vecparity.inspection import checking, probe
from vecparity.inspection.checking import Check, Spread, check_all
from vecparity.inspection.probe import Repeatability
from vecparity.sandbox.limits import Limits
from vecparity.strategy.source import load
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import PublicSeeds

CONFIG = TaskConfig(
    n_features=40, secret_size=4, hidden_width=16, num_hidden_secrets=3, num_orderings=2, test_set_size=1_000
)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "Sandbox", InThisProcess)
    monkeypatch.setattr(probe, "_MOST_SECONDS_AGAIN", math.inf)  # however busy the machine is


def checked(path: Path, seed: int = 42, secrets: int = 2) -> Check:
    return check_all(path, [CONFIG], seed, secrets, "none", Limits())[0]


def test_isolated_cube() -> None:
    check = vecparity.check("isolated_cube", CONFIG, secrets=2)
    assert (check.strategy, check.strategy_sha256) == ("isolated_cube", load("isolated_cube").sha256)
    assert (check.config, check.seed) == (CONFIG, 42)
    secrets = PublicSeeds(42).secrets(CONFIG)
    assert [tuple(data.secret) for data in check.datasets] == secrets[:2]
    for data in check.datasets:
        assert (data.num_examples, data.distinct_rows, data.positive_rate, data.parity_rate) == (4096, 16, 0.5, 1)
        assert (data.patterns.covered, data.patterns.rarest, data.patterns.commonest) == (16, 1 / 16, 1 / 16)
        assert data.constant_features == [feature for feature in range(40) if feature not in data.secret]
        assert data.constant_secret_features == []
        assert (data.batches_per_epoch, data.last_batch, data.epochs) == (32, 128, 3125)
        assert data.overlaps[0].rows == 0
    assert check.networks.num_runs == 4
    assert check.networks.train_rows == 4096
    assert check.networks.outputs is not None
    assert check.hyperparameters["lr"] == Spread(0.01, 0.01, 0.01, 1)
    assert check.repeatability.differing == []
    assert check.warnings == []


def test_all_networks_are_asked_for_before_any_secret_is_shown(here: None, tmp_path: Path) -> None:
    configs = [TaskConfig(n_features=n, secret_size=2, num_hidden_secrets=3, num_orderings=2) for n in (5, 6)]
    made = check_all(write(tmp_path / "mine.py"), configs, 42, 1, "none", Limits())
    assert asked == [
        *((f"{count} networks", n) for n in (5, 6) for count in (6, 2)),
        *(("dataset 0", n) for n in (5, 6) for _ in range(2)),
    ]
    assert [check.config.n_features for check in made] == [5, 6]


def test_what_takes_long_is_not_asked_twice(here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_MOST_SECONDS_AGAIN", 0.0)
    check = checked(write(tmp_path / "mine.py"))
    assert [what for what, _ in asked] == ["6 networks", "dataset 0", "dataset 1"]
    left_out = ["init_model", "get_optimizer_config", "make_dataset secret=0", "make_dataset secret=1"]
    assert check.repeatability == Repeatability(0, [], left_out)


@pytest.mark.slow
def test_what_the_next_process_would_answer_otherwise_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second calls are made in another interpreter, as an audit's are."""
    monkeypatch.setattr(probe, "_MOST_SECONDS_AGAIN", math.inf)
    body = "x = (x + torch.tensor([hash(f'{i}') % 2 for i in range(300)])[:, None]) % 2; y = parity_labels(x, secret)"
    check = checked(write(tmp_path / "mine.py", make_dataset=body), secrets=1)
    assert check.repeatability.differing == ["make_dataset secret=0"]


def test_hyperparameters_over_all_runs(here: None, tmp_path: Path) -> None:
    body = "return dict(lr=next(LR), wd=0, beta1=0.9, beta2=0.9)"
    path = write(
        tmp_path / "mine.py", top="LR = iter([3.0, 1.0, 2.0, 2.0, 9.0, 2.0, 3.0, 1.0])", get_optimizer_config=body
    )
    check = checked(path, secrets=1)
    assert check.hyperparameters["lr"] == Spread(1.0, 2.0, 9.0, 4)
    assert check.hyperparameters["beta1"] == Spread(0.9, 0.9, 0.9, 1)


def test_an_honest_strategy_has_no_warnings(here: None, tmp_path: Path) -> None:
    check = checked(write(tmp_path / "mine.py"))
    assert check.warnings == []
    assert check.repeatability == Repeatability(10, [], [])


@pytest.mark.parametrize(
    ("function", "body", "said"),
    [
        (
            "init_model",
            "return torch.nn.Sequential()",
            "init_model left the networks of 4 of 4 runs as torch makes them, which is allowed: is it meant? It has to "
            "change the model that it is given; what it returns is not looked at",
        ),
        ("make_dataset", "y = y * 0 + 1", "secrets 0, 1: all labels are 1: there is nothing to learn"),
        (
            "make_dataset",
            "x[:, list(secret)] = 1",
            "secrets 0, 1: all rows show the same pattern of the secret's bits: nothing can be learnt of the parity",
        ),
        (
            "make_dataset",
            "x[:, list(secret)[:3]] = 1; y = parity_labels(x, secret)",
            "secrets 0, 1: 3 of the secret's 4 bits are the same in all rows: nothing can be learnt of them",
        ),
        (
            "make_dataset",
            "y[:3] = 1 - y[:3]",
            "secrets 0, 1: 1.00% of the labels are not the parity, which is allowed: is it meant?",
        ),
        (
            "make_dataset",
            "x, y = x[:127], y[:127]",
            "secrets 0, 1: 127 rows are fewer than batch_size=128: every batch is short",
        ),
        (
            "make_dataset",
            "x[:2] = torch.randint(0, 2, (1000, 40), generator=torch.Generator().manual_seed(840_000))[9:11]; "
            "y = parity_labels(x, secret)",
            "rows of the test set of secret 0 that are in its training set: 2, where chance would have 2.73e-07: "
            "an audit would fail",
        ),
        (
            "init_model",
            "model[2].bias.data.fill_(200)",
            "100.00% of the outputs on training rows are exactly 0 or 1 before the first step: they pass no gradient, "
            "right or wrong (contract section 4)",
        ),
        (
            "init_model",
            "model[0].bias.data.fill_(-100)",
            "in 4 of 4 runs every hidden unit is off on all training rows looked at: the first layer gets no gradient",
        ),
        (
            "init_model",
            "model[0].weight.data.fill_(3e38); model[2].weight.data.fill_(3e38); model[2].weight.data[0, 0] = -3e38",
            "4 of 4 runs have outputs that are no finite number: they diverge at their first step",
        ),
        (
            "init_model",
            "model[2].bias.data.fill_(int.from_bytes(os.urandom(3)) / 2**24)",
            "4 of 10 calls returned something else when made again under the same seed, the first of them init_model "
            "secret=0 order=0: an audit would fail",
        ),
        (
            "get_optimizer_config",
            "return dict(lr=1 + int.from_bytes(os.urandom(6)), wd=0, beta1=0.9, beta2=0.9)",
            "4 of 10 calls returned something else when made again under the same seed, the first of them "
            "get_optimizer_config secret=0 order=0: an audit would fail",
        ),
        (
            "make_dataset",
            "x[:, 0] = torch.tensor(list(os.urandom(300))) % 2; y = parity_labels(x, secret)",
            "2 of 10 calls returned something else when made again under the same seed, the first of them "
            "make_dataset secret=0: an audit would fail",
        ),
    ],
)
def test_what_is_probably_not_meant_is_said(here: None, tmp_path: Path, function: str, body: str, said: str) -> None:
    assert said in checked(write(tmp_path / "mine.py", **{function: body})).warnings


def test_seed_0_seeds_datasets_as_test_sets(here: None, tmp_path: Path) -> None:
    check = checked(write(tmp_path / "mine.py"), seed=0, secrets=1)
    assert check.datasets[0].overlaps[0].rows == 300
    assert check.warnings[0].endswith("an audit would fail (under seed 0 datasets and test sets are seeded alike)")


@pytest.mark.parametrize("secrets", [0, 4])
def test_secrets_that_there_are_not(secrets: int) -> None:
    with pytest.raises(UsageError, match=f"secrets must be between 1 and 3, got {secrets}"):
        vecparity.check("isolated_cube", CONFIG, secrets=secrets)


def test_wrong_use() -> None:
    with pytest.raises(UsageError, match="config must be one of n32-k8, n50-k8, n64-k8, got 'n99'"):
        vecparity.check("isolated_cube", "n99")
    with pytest.raises(UsageError, match="protocol needs a label as config"):
        vecparity.check("isolated_cube", CONFIG, protocol="published")
    with pytest.raises(UsageError, match="strategy must be a Python file or one of"):
        vecparity.check("nowhere.py", CONFIG)


@pytest.mark.usefixtures("served")
def test_two_refusals_are_told_at_once(tmp_path: Path) -> None:
    returned = "return dict(lr=float('nan'), wd=0, beta1=0.9, beta2=0.9)"
    path = write(tmp_path / "mine.py", get_optimizer_config=returned, make_dataset="y = y * 2")
    with pytest.raises(InvalidStrategyError, match="lr must be finite and above 0, got nan") as raised:
        check_all(path, [CONFIG], 42, 1, "none", Limits())
    (another,) = raised.value.__notes__
    assert another.startswith(f"and {path}:")
    assert "make_dataset: y must contain only 0 and 1, got 2.0" in another


@pytest.mark.slow
def test_refusals_are_the_evaluators_own(tmp_path: Path) -> None:
    """In a sandbox: the same words, and the same last words of the strategy."""
    path = write(tmp_path / "mine.py", top="print('loaded')", make_dataset="raise ValueError('only here')")
    with pytest.raises(StrategyFailedError) as ours:
        check_all(path, [CONFIG], 42, 1, "none", Limits())
    with pytest.raises(StrategyFailedError) as theirs:
        list(prepare([(CONFIG, [make_task(path, CONFIG, seed=42)])]))
    assert str(ours.value) == str(theirs.value) == f"{path}:8: make_dataset raised ValueError: only here"
    assert set(ours.value.__notes__[0].splitlines()) == {"Last output of strategies:", "  | loaded"}
    assert theirs.value.__notes__[0].startswith("Last output of strategies:\n  | loaded")
