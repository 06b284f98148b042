"""An evaluation's audits as a whole: the runs that they need besides its own, and what they find in the end."""

import math
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vecparity.audits.cross_pairing import FEWEST_PAIRS, choose_pairs, cross_pairing, crossed_runs, num_orderings_needed
from vecparity.audits.findings import AuditFinding, call_digests, overlap, repeatability
from vecparity.audits.foresight import FEWEST_CHOICES, foresight
from vecparity.audits.mode import AuditMode
from vecparity.task.config import TaskConfig
from vecparity.task.seeds import PublicSeeds, SealedSeeds, Seeds, new_key
from vecparity.training.loop import Trained
from vecparity.training.runs import NO_EVALUATION, Author, Run

_MOST_KEYS = 3


@dataclass(frozen=True)
class Audit:
    """What one evaluation's audits wait for. Runs are named by their position among all that train.

    Attributes:
        settled: Findings that no training is needed for.
        straight: Runs that exchange their initial weights, the two of each pair one after the other.
        crossed: The same with exchanged weights.
        public: One run of each secret.
        sealed: One run of each of the secrets that nobody could foresee.
    """

    settled: list[AuditFinding]
    straight: list[int]
    crossed: list[int]
    public: list[int]
    sealed: list[int]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def findings(self, ends: Sequence[Trained]) -> list[AuditFinding]:
        """Finds, when all runs have been trained.

        Args:
            ends: How each of them ended.
        """
        public, sealed = ([ends[run].test_accuracy or 0.0 for run in runs] for runs in (self.public, self.sealed))
        crossing = cross_pairing([ends[run] for run in self.straight], [ends[run] for run in self.crossed])
        return [*self.settled, crossing, foresight(public, sealed)]


def num_orderings(config: TaskConfig, mode: AuditMode) -> int:
    """Runs per secret to be made. Only a strict audit has more than the evaluation, where that is small."""
    return num_orderings_needed(config) if mode == "strict" else config.num_orderings


def sealed_jobs(author: Author, seeds: Seeds, config: TaskConfig, mode: AuditMode) -> list[tuple[Author, Seeds]]:
    """The same strategy under keys made for this: as many as `foresight` needs to decide, or none if it cannot.

    A report makes do with one key, which is enough for 10 secrets. An evaluation that is sealed itself needs none.
    """
    public = config.num_hidden_secrets
    if not isinstance(seeds, PublicSeeds):
        return []
    for num_keys in range(1, (_MOST_KEYS if mode == "strict" else 1) + 1):
        if math.comb(public * (1 + num_keys), public) >= FEWEST_CHOICES:
            return [(author, SealedSeeds(new_key(), seeds.seed)) for _ in range(num_keys)]
    return []


def prepare(
    made: Sequence[Run], again: Mapping[str, str], sealed: Sequence[Run], config: TaskConfig, own: int, first: int
) -> tuple[list[Run], Audit]:
    """Prepares the audits of one evaluation.

    Args:
        made: The evaluation's runs, and those of further orderings.
        again: Digests of the same calls, made a second time (`findings.call_digests`).
        sealed: One run for each secret of the `sealed_jobs`.
        config: The settings.
        own: Position of the evaluation's first run among all that train.
        first: Position of the first run that is added to them.

    Returns:
        The runs to be added, and the audits.
    """
    ours = [run for run in made if run.order_index < config.num_orderings]
    further = [run for run in made if run.order_index >= config.num_orderings]
    pairs = choose_pairs(made, secrets.randbits(63))  # not to be foreseen, and drawn after all weights
    if len(pairs) < FEWEST_PAIRS:  # nothing could be decided
        pairs = []
    straight = [run for pair in pairs for run in pair]
    positions = {id(run): own + index for index, run in enumerate(ours)}
    more: list[Run] = []

    def add(runs: Sequence[Run]) -> list[int]:
        begin = first + len(more)
        more.extend(replace(run, evaluation=NO_EVALUATION) for run in runs)
        return list(range(begin, begin + len(runs)))

    chosen = {id(run) for run in straight}
    wanted = [run for run in further if id(run) in chosen]
    positions |= dict(zip(map(id, wanted), add(wanted), strict=True))
    audit = Audit(
        settled=[repeatability(call_digests(made), again), overlap(ours)],
        straight=[positions[id(run)] for run in straight],
        crossed=add(crossed_runs(pairs)),
        public=[positions[id(run)] for run in ours if run.order_index == 0] if sealed else [],
        sealed=add(sealed),
    )
    return more, audit
