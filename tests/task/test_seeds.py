import hashlib
import hmac
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import golden
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from vecparity.errors import MachineError, UsageError
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import (
    PublicSeeds,
    SealedSeeds,
    Seeds,
    check_seed,
    key_digest,
    new_draw,
    new_key,
    read_key,
    write_key,
)
from vecparity.training.runs import make_runs

# A strategy that counts the networks that it initialises, in the output's bias.
COUNTS = (
    "calls = 0\n"
    "def init_model(model, config):\n"
    "    global calls\n"
    "    calls += 1\n"
    "    model[2].bias.data.fill_(calls)\n"
    "def make_dataset(secret, config, seed):\n    return torch.zeros(1, config.n_features), [0]\n"
    "def get_optimizer_config(config):\n    return dict(lr=1, wd=0, beta1=0.9, beta2=0.9)\n"
)

SECRETS = golden("seeding")["secrets"]
KEY = bytes(range(32))
CONFIG = TaskConfig()


@pytest.mark.parametrize("case", SECRETS)
def test_secrets_are_the_originals(case: str) -> None:
    n_features, seed = (int(part.lstrip("nsed")) for part in case.split("_"))
    config = TaskConfig(n_features=n_features)
    assert [list(secret) for secret in PublicSeeds(seed).secrets(config)] == SECRETS[case]


def test_public_seeds_are_the_contracts() -> None:
    seeds = PublicSeeds(42)
    assert seeds.dataset_seed(CONFIG, 3) == 420_003
    assert seeds.test_set_seed(CONFIG, 3) == 840_003
    assert seeds.run_seed(CONFIG, 3, 2) == 42_003_002
    assert seeds.ordering_seed(CONFIG, 3, 2) == 84_003_002


@pytest.mark.parametrize("seeds", [PublicSeeds(3), SealedSeeds(KEY, 3)])
def test_all_subsets_can_be_drawn(seeds: Seeds) -> None:
    secrets = seeds.secrets(TaskConfig(n_features=5, secret_size=2, num_hidden_secrets=10))
    assert len(set(secrets)) == 10
    assert all(list(secret) == sorted(secret) for secret in secrets)


@pytest.mark.parametrize("seeds", [PublicSeeds(3), SealedSeeds(KEY, 3)])
def test_more_secrets_begin_with_the_same(seeds: Seeds) -> None:
    assert seeds.secrets(CONFIG)[:3] == seeds.secrets(TaskConfig(num_hidden_secrets=3))


@pytest.mark.parametrize("seed", [1.5, True, "42", 2**60, -(2**60)])
def test_impossible_seeds_are_refused(seed: Any) -> None:
    for take in (check_seed, PublicSeeds, lambda seed: SealedSeeds(KEY, seed)):
        with pytest.raises(UsageError, match=r"seed must be .*, got "):
            take(seed)


def by_hand(message: str) -> int:
    digest = hmac.new(KEY, f"vecparity seed 1|{message}".encode(), hashlib.sha256).hexdigest()
    return int(digest[:16], 16) // 2


def test_sealed_seeds_by_hand() -> None:
    seeds, config = SealedSeeds(KEY, -7), TaskConfig(n_features=50, secret_size=6, num_hidden_secrets=1)
    assert seeds.dataset_seed(config, 3) == by_hand("dataset|50|6|-7|3") & 0xFFFF_FFFF
    assert seeds.test_set_seed(config, 3) == by_hand("test set|50|6|-7|3")
    assert seeds.run_seed(config, 3, 2) == by_hand("run|50|6|-7|3|2") & 0xFFFF_FFFF
    assert seeds.ordering_seed(config, 3, 2) == by_hand("ordering|50|6|-7|3|2")
    drawn = random.Random(by_hand("secrets|50|6|-7")).sample(range(50), 6)
    assert seeds.secrets(config) == [tuple(sorted(drawn))]


def test_whatever_seed_a_strategy_sees_under_a_seal_numpy_takes(tmp_path: Path) -> None:
    path = tmp_path / "numpy.py"
    path.write_text(
        "import numpy as np\n"
        "def init_model(model, config):\n"
        "    np.random.seed(torch.initial_seed())\n"
        "    model[2].bias.data.fill_(np.random.rand())\n"
        "def make_dataset(secret, config, seed):\n"
        "    assert seed == torch.initial_seed()\n"
        "    np.random.seed(torch.initial_seed())\n"
        "    x = np.random.randint(0, 2, (4, config.n_features))\n"
        "    return x, [0] * 4\n"
        "def get_optimizer_config(config):\n"
        "    np.random.seed(torch.initial_seed())\n"
        "    return dict(lr=np.random.rand(), wd=0, beta1=0.9, beta2=0.9)\n"
    )
    config = TaskConfig(n_features=6, secret_size=2, hidden_width=4, num_hidden_secrets=4, num_orderings=4)
    runs = make_runs([(interface.load(load(path)), SealedSeeds(KEY, 42))], config)
    assert len({float(run.params[-1]) for run in runs}) == 16
    assert len({run.optimizer.lr for run in runs}) == 16


@given(st.integers(0, 2**63 - 1))
def test_torch_heeds_32_bits_of_a_seed(seed: int) -> None:
    """So that a sealed evaluation's draws from it are what they were when run seeds had 63."""
    draws = [torch.rand(9, generator=torch.Generator().manual_seed(each)) for each in (seed, seed % 2**32)]
    assert draws[0].equal(draws[1])


def all_seeds(seeds: Seeds, config: TaskConfig) -> list[int]:
    return [
        *(seeds.dataset_seed(config, i) for i in range(12)),
        *(seeds.test_set_seed(config, i) for i in range(12)),
        *(seeds.run_seed(config, i, j) for i in range(12) for j in range(12)),
        *(seeds.ordering_seed(config, i, j) for i in range(12) for j in range(12)),
    ]


def test_sealed_streams_share_no_seed() -> None:
    """Over indices, configurations, top-level seeds and keys; one shared by chance has probability 0.003 (32 bits)."""
    configs = [TaskConfig(n_features=n, secret_size=k) for n, k in [(32, 8), (64, 8), (32, 3), (33, 2)]]
    sources = [SealedSeeds(key, seed) for key in (KEY, bytes(32)) for seed in (0, 1, -1, 42)]
    seen = [value for seeds in sources for config in configs for value in all_seeds(seeds, config)]
    assert len(set(seen)) == len(seen)
    assert all(0 <= value < 2**63 for value in seen)
    assert seen == [value for seeds in sources for config in configs for value in all_seeds(seeds, config)]
    drawn = {tuple(seeds.secrets(config)) for seeds in sources for config in configs}
    assert len(drawn) == len(sources) * len(configs)


def test_draws_under_one_key_share_no_seed() -> None:
    config = TaskConfig()
    sources = [SealedSeeds(KEY, 42, draw) for draw in (None, "0" * 32, "0" * 31 + "1", new_draw(), new_draw())]
    seen = [value for seeds in sources for value in all_seeds(seeds, config)]
    assert len(set(seen)) == len(seen)
    assert len({tuple(seeds.secrets(config)) for seeds in sources}) == len(sources)
    assert SealedSeeds(KEY, 42, "0" * 32).secrets(config) == sources[1].secrets(config)
    assert SealedSeeds(bytes(32), 42, "0" * 32).secrets(config) != sources[1].secrets(config)


@pytest.mark.parametrize("draw", ["", "0" * 31, "0" * 33, "G" * 32, "A" * 32, 5])
def test_what_is_no_draw(draw: Any) -> None:
    with pytest.raises(UsageError, match="draw must be 32 hex digits"):
        SealedSeeds(KEY, 42, draw)


def test_sealed_networks_are_initialised_in_an_order_that_the_key_shuffles(tmp_path: Path) -> None:
    path = tmp_path / "counts.py"
    path.write_text(COUNTS)
    config = TaskConfig(n_features=6, secret_size=2, hidden_width=4, num_hidden_secrets=5, num_orderings=4)

    def calls(seeds: Seeds) -> list[int]:
        runs = make_runs([(interface.load(load(path)), seeds)], config)
        return [int(run.params[-1]) for run in runs]

    assert calls(PublicSeeds(42)) == list(range(1, 21))
    sealed = [calls(SealedSeeds(key, 42, draw)) for key in (KEY, bytes(32)) for draw in (None, "0" * 32)]
    assert all(sorted(order) == list(range(1, 21)) for order in sealed)
    assert len(set(map(tuple, sealed))) == 4
    assert calls(SealedSeeds(KEY, 42)) == sealed[0]
    # Correlation of the order of calls with the order of runs, of which chance gives 0.22 or less in two of three.
    assert all(abs(np.corrcoef(order, range(20))[0, 1]) < 0.7 for order in sealed)


def test_sealed_secrets_choose_all_features_alike() -> None:
    """Chi-square over 2 000 keys; fails by chance once in 10 000 (but always alike, since the keys are given)."""
    config = TaskConfig(n_features=16, secret_size=4, num_hidden_secrets=1)
    keys = [hashlib.sha256(bytes([n % 256, n // 256])).digest() for n in range(2000)]
    counts = Counter(feature for key in keys for feature in SealedSeeds(key, 42).secrets(config)[0])
    observed = np.array([counts[feature] for feature in range(16)])
    expected = len(keys) * 4 / 16
    # Features of one secret are drawn without replacement: counts vary by (N - K) / (N - 1) of what chi-square says.
    statistic = ((observed - expected) ** 2 / expected).sum() / ((16 - 4) / (16 - 1))
    assert chi2.sf(statistic, 15) > 1e-4


def test_runs_take_all_their_seeds_from_the_source() -> None:
    config = TaskConfig(n_features=6, secret_size=2, hidden_width=4, num_hidden_secrets=2, num_orderings=2)
    strategy, seeds = interface.load(load("default_4096")), SealedSeeds(KEY, 42)
    runs = make_runs([(strategy, seeds)], config)
    again = make_runs([(strategy, PublicSeeds(42)), (strategy, seeds)], config)[4:]
    for run, other in zip(runs, again, strict=True):
        assert run.ordering_seed == seeds.ordering_seed(config, run.secret_index, run.order_index)
        assert run.params.equal(other.params)
        assert run.dataset.bits.equal(other.dataset.bits)
        assert run.test_set.bits.equal(other.test_set.bits)
    assert not runs[0].params.equal(runs[1].params)


def test_more_orderings_leave_the_others_as_they_are(tmp_path: Path) -> None:
    """Even for a strategy that counts its calls."""
    path = tmp_path / "counts.py"
    path.write_text(COUNTS)
    config = TaskConfig(n_features=6, secret_size=2, hidden_width=4, num_hidden_secrets=2, num_orderings=2)
    usual = make_runs([(interface.load(load(path)), PublicSeeds(42))], config)
    more = make_runs([(interface.load(load(path)), PublicSeeds(42))], config, num_orderings=3)
    assert [(run.secret_index, run.order_index) for run in more] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    kept = [run for run in more if run.order_index < 2]
    assert all(ours.params.equal(theirs.params) for ours, theirs in zip(kept, usual, strict=True))


def test_key_does_not_show() -> None:
    assert KEY.hex() not in repr(SealedSeeds(KEY, 1))
    assert repr(KEY) not in repr(SealedSeeds(KEY, 1))
    with pytest.raises(UsageError, match="key must have 32 bytes, got 31"):
        SealedSeeds(KEY[1:], 1)


def test_digest_names_a_key() -> None:
    assert key_digest(KEY) == key_digest(KEY) != key_digest(new_key())
    assert key_digest(KEY) != hashlib.sha256(KEY).hexdigest()
    assert new_key() != new_key()


def test_key_file(tmp_path: Path) -> None:
    path, key = tmp_path / "key", new_key()
    umask = os.umask(0)
    try:
        write_key(path, key)
    finally:
        os.umask(umask)
    assert path.read_text() == f"{key.hex()}\n"
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600
    assert read_key(path) == key
    with pytest.raises(UsageError, match=r"must not exist yet, got .*/key"):
        write_key(path, new_key())
    assert read_key(path) == key
    with pytest.raises(MachineError, match="cannot be written: No such file"):
        write_key(tmp_path / "none" / "key", key)


@pytest.mark.parametrize("content", ["", "00" * 31, "00" * 33, "0g" * 32, " " + "00" * 32, "00 " * 32, "é" * 64])
def test_keys_of_another_form_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(UsageError, match="expected a key of 64 hex digits, got ") as error:
        read_key(path)
    assert not content or content not in str(error.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_keys_that_others_may_read_are_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    write_key(path, KEY)
    path.chmod(mode)
    with pytest.raises(
        UsageError, match=f"must be accessible to its owner only, got mode {mode:04o}: chmod 600 {path}"
    ):
        read_key(path)
    path.chmod(0o400)
    assert read_key(path) == KEY


def test_missing_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must be readable, got .*: No such file"):
        read_key(tmp_path / "key")
