"""The audits' false alarms and power, simulated.

python -m benchmarks.audit_power

False alarms: evaluations of honest strategies are drawn from the pools of `benchmarks.audit_pools`, secrets and runs
anew each time, and audited. Power: the same evaluations, in which a cheat gains on some of the secrets, of which it
chooses those on which the honest strategy does worst.
"""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cyclopts import App
from scipy.stats import beta

from benchmarks import machine
from vecparity.audits.cross_pairing import FEWEST_PAIRS, cross_pairing
from vecparity.audits.finding import AuditFinding
from vecparity.audits.findings import overlap
from vecparity.audits.foresight import foresight, num_sealed_needed
from vecparity.audits.fresh_test import of_means
from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.dataset import Dataset, make_fresh_test_set
from vecparity.training.curve import Curve
from vecparity.training.loop import Trained
from vecparity.training.runs import Run

app = App(help=__doc__)
# Secrets, test rows and pairs of runs of each protocol, audited strictly.
PROTOCOLS = {"full": (10, 16_384, 20), "published": (5, 16_384, 10), "full+smoke": (2, 2_048, 10)}
_GAINS = (0.1, 0.5)
_CONFIDENCE = 0.95
Draw = np.random.Generator


@dataclass(frozen=True)
class Pool:
    """Accuracies of honest networks, see `benchmarks.audit_pools`: on test sets and on new rows."""

    kind: str
    name: str
    accuracies: np.ndarray  # [secret, init]
    fresh: np.ndarray  # [secret, init]
    test_set_size: int

    def secrets(self, count: int, draw: Draw) -> np.ndarray:
        """Draws secrets for an evaluation, the worst first."""
        drawn = draw.choice(len(self.accuracies), count, replace=False)
        return np.asarray(drawn[np.argsort(self.accuracies[drawn].mean(axis=1), kind="stable")])

    def one_run_each(self, secrets: np.ndarray, draw: Draw) -> np.ndarray:
        return np.asarray(self.accuracies[secrets, draw.integers(self.accuracies.shape[1], size=len(secrets))])


def load_pools() -> list[Pool]:
    content = json.loads((machine.RESULTS / "audit_pools.json").read_text())
    return [
        Pool(
            pool["kind"],
            f"{pool['strategy']} {pool['label']}",
            np.array(pool["accuracies"]),
            np.array(pool["fresh_accuracies"]),
            pool["test_set_size"],
        )
        for pool in content["pools"]
    ]


def foresight_of(pool: Pool, protocol: str, draw: Draw, gained: int = 0, gain: float = 0.0) -> AuditFinding:
    """Audits an evaluation whose accuracy is higher by a gain on some of its secrets, at most 1."""
    num_secrets = PROTOCOLS[protocol][0]
    sealed = num_sealed_needed(num_secrets)
    assert sealed is not None
    drawn = draw.permutation(pool.secrets(num_secrets + sealed, draw))
    public, others = (pool.one_run_each(secrets, draw) for secrets in (drawn[:num_secrets], drawn[num_secrets:]))
    worst = np.argsort(public)[:gained]
    public[worst] = np.minimum(public[worst] + gain, 1.0)
    return foresight(public.tolist(), others.tolist())


def cross_pairing_of(pool: Pool, protocol: str, draw: Draw, gained: int = 0, gain: float = 0.0) -> AuditFinding:
    """Audits an evaluation in which some secrets' runs gain from their own initial weights."""
    num_secrets, _, num_pairs = PROTOCOLS[protocol]
    secrets, inits = pool.secrets(num_secrets, draw), range(pool.accuracies.shape[1])
    order = draw.permutation(num_secrets)
    places = [(a, b) for a, b in zip(order[::2], order[1::2], strict=False)]
    straight, crossed = [], []
    for pair in range(num_pairs):
        places_of_pair = places[pair % len(places)]
        own = draw.choice(inits, 2, replace=False)
        for place, init, other in zip(places_of_pair, own, own[::-1], strict=True):
            accuracy = pool.accuracies[secrets[place], init]
            straight.append(min(accuracy + gain, 1.0) if place < gained else accuracy)
            crossed.append(pool.accuracies[secrets[place], other])
    assert num_pairs >= FEWEST_PAIRS
    return cross_pairing(_ended(straight), _ended(crossed))


def fresh_test_of(pool: Pool, protocol: str, draw: Draw, gained: int = 0, gain: float = 0.0) -> AuditFinding:
    """Audits an evaluation whose networks do better on some of their test sets than on new rows.

    Which of a pool's two sets of rows is the test set is drawn for each secret. A smaller test set has more noise.
    """
    num_secrets, num_rows, _ = PROTOCOLS[protocol]
    secrets = pool.secrets(num_secrets, draw)
    runs = draw.integers(pool.accuracies.shape[1], size=(num_secrets, 10))
    sets = np.stack([each[secrets[:, None], runs].mean(axis=1) for each in (pool.accuracies, pool.fresh)])
    if num_rows < pool.test_set_size:
        sets = draw.binomial(num_rows, sets) / num_rows
    own, fresh = np.where(draw.random(num_secrets) < 0.5, sets, sets[::-1])
    own[:gained] = np.minimum(own[:gained] + gain, 1.0)
    return of_means(own, fresh, num_rows)


AUDITS: dict[str, Callable[..., AuditFinding]] = {
    "fresh-test": fresh_test_of,
    "cross-pairing": cross_pairing_of,
    "foresight": foresight_of,
}


def _ended(accuracies: Sequence[float]) -> list[Trained]:
    return [Trained(0, float(accuracy), Curve(), None) for accuracy in accuracies]


def overlap_of(protocol: str, draw: Draw, gained: int, flips: int, near: int) -> AuditFinding:
    """Audits an evaluation of uniform training sets, some of which have rows near rows of their test sets."""
    num_secrets, num_rows, _ = PROTOCOLS[protocol]
    config = TaskConfig(n_features=32, num_hidden_secrets=1, num_orderings=1, test_set_size=num_rows)
    runs = []
    for i in range(num_secrets):
        test_set = make_fresh_test_set(config, tuple(range(8)), int(draw.integers(2**62)))
        training_set = make_fresh_test_set(config, tuple(range(8)), int(draw.integers(2**62)))
        bits = training_set.bits[:4096].clone()
        if i < gained:
            flipped = sum(1 << int(feature) for feature in draw.choice(32, flips, replace=False))
            bits[:near] = test_set.bits[:near] ^ flipped
        dataset = Dataset(bits, training_set.labels[:4096], 32)
        runs.append(Run(0, i, 0, torch.zeros(1), OptimizerConfig(1, 0, 0.5, 0.5), dataset, test_set, 0))
    return overlap(runs)


def counted(findings: Sequence[AuditFinding]) -> dict[str, Any]:
    """Returns how many of some findings failed, and the ends of the exact interval of the share (Clopper & Pearson)."""
    assert all(finding.passed is not None for finding in findings)
    return _shares(sum(finding.passed is False for finding in findings), len(findings))


def _shares(failed: int, total: int) -> dict[str, Any]:
    tail = (1 - _CONFIDENCE) / 2
    return {
        "failed": failed,
        "of": total,
        "share": failed / total,
        "lower": float(beta.ppf(tail, failed, total - failed + 1)) if failed else 0.0,
        "upper": float(beta.ppf(1 - tail, failed + 1, total - failed)) if failed < total else 1.0,
    }


def pooled(cells: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds up the false alarms of each audit over all strategies, by protocol."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for cell in cells:
        groups.setdefault((cell["audit"], cell["protocol"]), []).append(cell)
    return [
        {"audit": audit, "protocol": protocol}
        | _shares(sum(cell["failed"] for cell in own), sum(cell["of"] for cell in own))
        for (audit, protocol), own in groups.items()
    ]


@dataclass(frozen=True)
class Cell:
    """Evaluations to simulate: an audit of a kind of evaluation, so many times."""

    audit: str
    protocol: str
    pool: Pool | None  # of uniform rows if None
    times: int
    gained: int = 0
    gain: float = 0.0
    flips: int = 0
    near: int = 0

    def simulate(self) -> dict[str, Any]:
        draw = np.random.default_rng(1)
        cell: dict[str, Any] = {"audit": self.audit, "protocol": self.protocol, "secrets": PROTOCOLS[self.protocol][0]}
        cell |= {"gained": self.gained}
        if self.pool is None:
            cell |= {"kind": "uniform rows", "flips": self.flips, "near": self.near}
            args = (self.protocol, draw, self.gained, self.flips, self.near)
            findings = [overlap_of(*args) for _ in range(self.times)]
        else:
            cell |= {"kind": self.pool.kind, "pool": self.pool.name, "gain": self.gain}
            audit = AUDITS[self.audit]
            findings = [audit(self.pool, self.protocol, draw, self.gained, self.gain) for _ in range(self.times)]
        return cell | counted(findings)


def honest_cells(pools: Sequence[Pool], times: int) -> list[Cell]:
    cells = [Cell(audit, protocol, pool, times) for pool, audit, protocol in product(pools, AUDITS, PROTOCOLS)]
    for protocol, (num_secrets, num_rows, _) in PROTOCOLS.items():
        fewer = 2 if num_secrets * num_rows < 10_000 else 20  # comparing very many rows takes long
        cells.append(Cell("overlap", protocol, None, max(1, times // fewer)))
    return cells


def cheating_cells(pools: Sequence[Pool], times: int) -> list[Cell]:
    return [
        Cell(audit, protocol, pool, times, gained, gain)
        for pool, audit, (protocol, (num_secrets, *_)), gain in product(pools, AUDITS, PROTOCOLS.items(), _GAINS)
        for gained in range(1, num_secrets + 1)
    ]


def near_cells(times: int) -> list[Cell]:
    return [
        Cell("overlap", protocol, None, times, gained, flips=flips, near=near)
        for protocol, (num_secrets, *_) in PROTOCOLS.items()
        for gained, flips, near in product(sorted({1, num_secrets}), range(3), (1, 2, 10, 100))
    ]


def simulated(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Simulates cells in as many processes as there are CPUs, and prints each."""
    done = []
    with ProcessPoolExecutor(machine.cores(), mp_context=get_context("spawn")) as processes:
        for cell in processes.map(Cell.simulate, cells):
            print(cell, flush=True)
            done.append(cell)
    return done


# Pools whose strategies leave room for a gain.
_WITH_ROOM = ("overfit their rows", "learn half of the secrets")


@app.default
def main(*, honest: int = 10_000, cheats: int = 1_000, output: str = "audit_power") -> Path:
    """Simulates, prints and writes JSON into ``benchmarks/own/``.

    Args:
        honest: Evaluations of each honest strategy; fewer of them for overlap.
        cheats: Evaluations of each kind of cheat; a twentieth of them for overlap.
        output: Name of the JSON file.
    """
    pools = load_pools()
    alarms = simulated(honest_cells(pools, honest))
    content = {
        "machine": machine.describe(),
        "confidence": _CONFIDENCE,
        "false_alarms": alarms,
        "all_false_alarms": pooled(alarms),
        "power": simulated(cheating_cells([pool for pool in pools if pool.kind in _WITH_ROOM], cheats)),
        "power_of_overlap": simulated(near_cells(max(1, cheats // 20))),
    }
    return machine.save(output, content)


if __name__ == "__main__":
    app(result_action="return_value")
