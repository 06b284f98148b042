"""All audits of an evaluation: the additional runs that they need, and their findings after training."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vecparity.audits.cross_pairing import FEWEST_PAIRS, choose_pairs, cross_pairing, crossed_runs, num_orderings_needed
from vecparity.audits.finding import AuditFinding
from vecparity.audits.findings import call_digests, overlap, repeatability
from vecparity.audits.foresight import foresight, num_sealed_needed
from vecparity.audits.fresh_test import fresh_test
from vecparity.audits.mode import AuditMode
from vecparity.task.config import Secret, TaskConfig, has_subsets
from vecparity.task.dataset import make_fresh_test_set
from vecparity.task.seeds import PublicSeeds, SealedSeeds, Seeds, new_key
from vecparity.training.loop import Trained
from vecparity.training.runs import NO_EVALUATION, Author, Initial, Run

# Rows of all sealed secrets for which a report makes training sets: half a gigabyte of rows of up to 64 features.
_MOST_ROWS_IN_REPORT = 1 << 26


@dataclass(frozen=True)
class Audit:
    """The audits of one evaluation while its runs train. Runs are named by their position among all trained runs.

    Attributes:
        settled: Findings that need no training.
        own: The evaluation's runs, which are tested on new rows, too.
        straight: Runs whose initial weights are exchanged in `crossed`, the two of each pair in sequence.
        crossed: The same runs with exchanged weights.
        public: One run of each secret, which no strategy could foresee.
        sealed: One run of each sealed secret.
    """

    settled: list[AuditFinding]
    own: list[int]
    straight: list[int]
    crossed: list[int]
    public: list[int]
    sealed: list[int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def findings(self, runs: Sequence[Run], ends: Sequence[Trained], config: TaskConfig) -> list[AuditFinding]:
        """Returns the findings once all runs are trained.

        Args:
            runs: All trained runs.
            ends: The result of each.
            config: The settings.
        """
        public, sealed = ([ends[run].test_accuracy or 0.0 for run in own] for own in (self.public, self.sealed))
        return [
            *self.settled,
            fresh_test([runs[run] for run in self.own], [ends[run] for run in self.own], config),
            cross_pairing([ends[run] for run in self.straight], [ends[run] for run in self.crossed]),
            foresight(public, sealed),
        ]


def num_orderings(config: TaskConfig, mode: AuditMode) -> int:
    """Returns the number of runs per secret. Only a strict audit of a small evaluation needs additional runs."""
    return num_orderings_needed(config) if mode == "strict" else config.num_orderings


def takes_much_memory(runs: Sequence[Run], sealed: int) -> bool:
    """Estimates from an evaluation's training sets whether those of its sealed secrets have very many rows in all."""
    datasets = {run.secret_index: run.dataset for run in runs}
    rows = sum(dataset.num_examples for dataset in datasets.values())
    return rows / len(datasets) * sealed > _MOST_ROWS_IN_REPORT


def num_sealed(seeds: Seeds, config: TaskConfig, mode: AuditMode) -> int:
    """Returns the number of sealed secrets that an audit trains on: as many as `foresight` needs to decide, or none.

    A sealed evaluation needs none. A report on an evaluation too small for `cross_pairing` stays undecided anyway.
    """
    needed = num_sealed_needed(config.num_hidden_secrets)
    if mode == "off" or needed is None or not isinstance(seeds, PublicSeeds):
        return 0
    if mode == "report" and num_orderings_needed(config) > config.num_orderings:
        return 0
    return needed if has_subsets(config, needed) else 0


class SealedRuns:
    """One run of each of several sealed secrets, for `foresight`. The strategy sees the settings of the evaluation.

    Args:
        count: Number of secrets.
        seed: The top-level seed.
        config: The settings.

    Attributes:
        count: Number of secrets.
    """

    def __init__(self, count: int, seed: int, config: TaskConfig) -> None:
        self.count = count
        self._seeds, self._config = SealedSeeds(new_key(), seed), config
        self._secrets = self._seeds.secrets(replace(config, num_hidden_secrets=count)) if count else []

    def initialise(self, author: Author) -> list[Initial]:
        """Returns the initial networks, which are made before a strategy sees any of the secrets."""
        seeds = [self._seeds.run_seed(self._config, i, 0) for i in range(len(self._secrets))]
        return list(author.initialise(self._config, seeds)) if seeds else []

    def make(self, author: Author, initial: Sequence[Initial]) -> list[Run]:
        """Returns the runs of initial networks."""
        return [self._run(author, i, *place) for i, place in enumerate(zip(self._secrets, initial, strict=True))]

    def _run(self, author: Author, i: int, secret: Secret, initial: Initial) -> Run:
        seeds, config = self._seeds, self._config
        dataset = author.training_set(config, secret, seeds.dataset_seed(config, i))
        test_set = make_fresh_test_set(config, secret, seeds.test_set_seed(config, i))
        return Run(NO_EVALUATION, i, 0, *initial, dataset, test_set, seeds.ordering_seed(config, i, 0))


def with_fresh_test_sets(runs: Sequence[Run], seeds: Seeds, config: TaskConfig) -> list[Run]:
    """Gives each run new rows of its secret to be tested on, drawn under a key made now."""
    fresh = SealedSeeds(new_key(), seeds.seed)
    test_sets = [
        make_fresh_test_set(config, secret, fresh.test_set_seed(config, i))
        for i, secret in enumerate(seeds.secrets(config))
    ]
    return [replace(run, fresh_test_set=test_sets[run.secret_index]) for run in runs]


def prepare(
    prepared_runs: Sequence[Run],
    again: Mapping[str, str],
    sealed: Sequence[Run],
    config: TaskConfig,
    own: int,
    first: int,
) -> tuple[list[Run], Audit]:
    """Prepares the audits of one evaluation.

    Args:
        prepared_runs: The evaluation's runs, and the runs of further orderings.
        again: Digests of the same calls, made a second time (`findings.call_digests`).
        sealed: The `SealedRuns`.
        config: The settings.
        own: Position of the evaluation's first run among all trained runs.
        first: Position of the first added run among all trained runs.

    Returns:
        The added runs, and the audits.
    """
    own_runs = [run for run in prepared_runs if run.order_index < config.num_orderings]
    further = [run for run in prepared_runs if run.order_index >= config.num_orderings]
    pairs = choose_pairs(prepared_runs, secrets.randbits(63))  # unforeseeable, and drawn after all weights
    if len(pairs) < FEWEST_PAIRS:  # too few to decide anything
        pairs = []
    straight = [run for pair in pairs for run in pair]
    positions = {id(run): own + index for index, run in enumerate(own_runs)}
    more: list[Run] = []

    def add(runs: Sequence[Run]) -> list[int]:
        begin = first + len(more)
        more.extend(replace(run, evaluation=NO_EVALUATION, fresh_test_set=None) for run in runs)
        return list(range(begin, begin + len(runs)))

    straight_ids = {id(run) for run in straight}
    wanted = [run for run in further if id(run) in straight_ids]
    positions |= dict(zip(map(id, wanted), add(wanted), strict=True))
    audit = Audit(
        settled=[repeatability(call_digests(prepared_runs), again), overlap(own_runs)],
        own=list(range(own, own + len(own_runs))),
        straight=[positions[id(run)] for run in straight],
        crossed=add(crossed_runs(pairs)),
        public=[positions[id(run)] for run in _one_of_each_secret(own_runs)],
        sealed=add(sealed),
    )
    return more, audit


def _one_of_each_secret(runs: Sequence[Run]) -> list[Run]:
    """Chooses one run of each secret. A strategy that could foresee the choice could be honest in the chosen runs."""
    by_secret: dict[int, list[Run]] = {}
    for run in runs:
        by_secret.setdefault(run.secret_index, []).append(run)
    return [secrets.choice(of_secret) for of_secret in by_secret.values()]
