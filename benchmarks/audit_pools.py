"""Trains pools of runs of honest strategies, from which `benchmarks.audit_power` resamples evaluations.

python -m benchmarks.audit_pools

A pool has the test accuracy of every network of several initialisations on each of many sealed secrets, and its
accuracy on as many new rows. The initialisations are the same for all secrets, so that a pool also has the runs with
exchanged initial weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from cyclopts import App
from einops import rearrange

from benchmarks import machine
from vecparity.audits.plan import with_fresh_test_sets
from vecparity.strategy import interface
from vecparity.strategy.source import load
from vecparity.task.config import Secret, TaskConfig, task_config
from vecparity.task.dataset import make_test_set
from vecparity.task.seeds import SealedSeeds
from vecparity.training.engines.select import choose_engine, make_engine
from vecparity.training.loop import train
from vecparity.training.runs import Run

app = App(help=__doc__)
_CPU = torch.device("cpu")
_SECRETS = 64
# Secrets whose training sets are in memory at once.
_SECRETS_AT_ONCE = 16
_SEEDS = SealedSeeds(bytes(range(32)), 42)


@dataclass(frozen=True)
class Pool:
    """A pool to train.

    Attributes:
        kind: What the strategy's networks do.
        strategy: A bundled strategy or a file.
        label: A configuration.
        inits: Initialisations of each secret's networks.
        settings: Settings besides those of protocol published.
    """

    kind: str
    strategy: str
    label: str
    inits: int
    settings: dict[str, Any]


_ONE_PASS = {"max_train_examples": 30_000 * 128}
POOLS = [
    Pool("learn every secret", "isolated_cube", "n32-k8", 8, {}),
    Pool("learn nothing in time", "clean_noisy_cube", "n32-k8", 2, {"max_steps": 10_000}),
    Pool("memorise their rows", "default_4096", "n32-k8", 8, {}),
    Pool("overfit their rows", "multi_epoch", "n50-k8", 4, {"max_steps": 10_000}),
    Pool(
        "learn half of the secrets", str(Path(__file__).parent / "strategies/half_of_the_secrets.py"), "n32-k8", 8, {}
    ),
    Pool("learn some secrets in time", "one_pass", "n32-k8", 2, _ONE_PASS),
]


def train_pool(pool: Pool) -> dict[str, Any]:
    """Trains a pool, a part of the secrets at a time, and returns its accuracies."""
    config = task_config(pool.label, protocol="published", **pool.settings)
    author = interface.load(load(pool.strategy))
    initial = author.initialise(config, [_SEEDS.run_seed(config, i, 0) for i in range(pool.inits)])
    secrets = _SEEDS.secrets(replace(config, num_hidden_secrets=_SECRETS))
    engine = make_engine(choose_engine("auto", [_CPU], torch.float32, config), None)
    accuracies, fresh = [], []
    for first in range(0, len(secrets), _SECRETS_AT_ONCE):
        part = list(enumerate(secrets))[first : first + _SECRETS_AT_ONCE]
        runs = _runs(author, initial, part, config)
        ends = train(runs, config, engine, [_CPU], torch.float32, lambda closed: None)
        accuracies += [end.test_accuracy or 0.0 for end in ends]
        fresh += [end.fresh_accuracy or 0.0 for end in ends]
        print(f"{pool.strategy} {pool.label}: {len(accuracies)} runs, accuracy {sum(accuracies) / len(accuracies):.3f}")

    def by_secret(values: Sequence[float]) -> list[list[float]]:
        return rearrange(
            torch.tensor(values, dtype=torch.float64), "(secret init) -> secret init", init=pool.inits
        ).tolist()

    return {
        "kind": pool.kind,
        "strategy": Path(pool.strategy).stem,
        "label": pool.label,
        "settings": pool.settings,
        "test_set_size": config.test_set_size,
        "accuracies": by_secret(accuracies),
        "fresh_accuracies": by_secret(fresh),
    }


def _runs(author: Any, initial: Sequence[Any], part: Sequence[tuple[int, Secret]], config: TaskConfig) -> list[Run]:
    runs = []
    datasets = {i: author.training_set(config, secret, _SEEDS.dataset_seed(config, i)) for i, secret in part}
    tests = {i: make_test_set(config, secret, _SEEDS.test_set_seed(config, i)) for i, secret in part}
    for (i, _), (j, (params, optimizer)) in product(part, enumerate(initial)):
        runs.append(Run(0, i, j, params, optimizer, datasets[i], tests[i], _SEEDS.ordering_seed(config, i, 0)))
    return with_fresh_test_sets(runs, _SEEDS, replace(config, num_hidden_secrets=_SECRETS))


@app.default
def main(*, only: str | None = None, output: str = "audit_pools") -> Path:
    """Trains all pools and writes JSON into ``benchmarks/own/``.

    Args:
        only: Train only the pools of this strategy.
        output: Name of the JSON file.
    """
    pools = [train_pool(pool) for pool in POOLS if only in (None, Path(pool.strategy).stem)]
    return machine.save(output, {"machine": machine.describe(), "pools": pools})


if __name__ == "__main__":
    app(result_action="return_value")
