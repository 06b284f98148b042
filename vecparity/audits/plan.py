"""All audits of an evaluation: the additional runs that they need, and their findings after training."""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vecparity.audits.cross_pairing import FEWEST_PAIRS, choose_pairs, cross_pairing, crossed_runs, num_orderings_needed
from vecparity.audits.finding import AuditFinding
from vecparity.audits.findings import call_digests, overlap, repeatability
from vecparity.audits.foresight import FEWEST_CHOICES, foresight
from vecparity.audits.mode import AuditMode
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import PublicSeeds, SealedSeeds, Seeds, new_key
from vecparity.training.loop import Trained
from vecparity.training.runs import NO_EVALUATION, Author, Run

_MOST_KEYS = 3


@dataclass(frozen=True)
class Audit:
    """The audits of one evaluation while its runs train. Runs are named by their position among all trained runs.

    Attributes:
        settled: Findings that need no training.
        straight: Runs whose initial weights are exchanged in `crossed`, the two of each pair in sequence.
        crossed: The same runs with exchanged weights.
        public: One run of each secret.
        sealed: One run of each sealed secret, which no strategy could foresee.
    """

    settled: list[AuditFinding]
    straight: list[int]
    crossed: list[int]
    public: list[int]
    sealed: list[int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def findings(self, ends: Sequence[Trained]) -> list[AuditFinding]:
        """Returns the findings once all runs are trained.

        Args:
            ends: The result of every trained run.
        """
        public, sealed = ([ends[run].test_accuracy or 0.0 for run in runs] for runs in (self.public, self.sealed))
        crossing = cross_pairing([ends[run] for run in self.straight], [ends[run] for run in self.crossed])
        return [*self.settled, crossing, foresight(public, sealed)]


def num_orderings(config: TaskConfig, mode: AuditMode) -> int:
    """Returns the number of runs per secret. Only a strict audit of a small evaluation needs additional runs."""
    return num_orderings_needed(config) if mode == "strict" else config.num_orderings


def sealed_jobs(author: Author, seeds: Seeds, config: TaskConfig, mode: AuditMode) -> list[tuple[Author, Seeds]]:
    """Pairs the strategy with sealed seeds under new keys: as many as `foresight` needs, or none if it cannot decide.

    A report uses only one key, which is enough for 10 secrets. A sealed evaluation needs none.
    """
    public = config.num_hidden_secrets
    if not isinstance(seeds, PublicSeeds):
        return []
    for num_keys in range(1, (_MOST_KEYS if mode == "strict" else 1) + 1):
        if math.comb(public * (1 + num_keys), public) >= FEWEST_CHOICES:
            return [(author, SealedSeeds(new_key(), seeds.seed)) for _ in range(num_keys)]
    return []


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
        sealed: One run for each secret of the `sealed_jobs`.
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
        more.extend(replace(run, evaluation=NO_EVALUATION) for run in runs)
        return list(range(begin, begin + len(runs)))

    straight_ids = {id(run) for run in straight}
    wanted = [run for run in further if id(run) in straight_ids]
    positions |= dict(zip(map(id, wanted), add(wanted), strict=True))
    audit = Audit(
        settled=[repeatability(call_digests(prepared_runs), again), overlap(own_runs)],
        straight=[positions[id(run)] for run in straight],
        crossed=add(crossed_runs(pairs)),
        public=[positions[id(run)] for run in own_runs if run.order_index == 0] if sealed else [],
        sealed=add(sealed),
    )
    return more, audit
