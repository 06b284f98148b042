"""What ranks together, and which of a source's evaluations count there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from vecparity.evaluation.result import Evaluation
from vecparity.task.config import Protocol, protocol_of
from vecparity.workbench.contenders import failed_audits


@dataclass(frozen=True)
class League:
    """Evaluations with the same settings whose secrets and weights were drawn alike.

    Attributes:
        protocol: Whose settings they have, with none overridden.
        seal: Digest of their seal, or None for public seeds.
        dtype: Of parameters, moments and gradients.
        init_device: Where ``init_model`` drew.
    """

    protocol: Protocol
    seal: str | None
    dtype: str = "float32"
    init_device: str = "cpu"


@dataclass
class Entry:
    """One source in a league.

    Attributes:
        sha256: Digest of the source.
        strategy: Its newest name.
        counting: The evaluations that count, by configuration and seed.
        failed_audits: Names of the audits that any recorded evaluation failed, whether it counts or not.
    """

    sha256: str
    strategy: str = ""
    counting: dict[tuple[str, int], Evaluation] = field(default_factory=dict)
    failed_audits: list[str] = field(default_factory=list)

    def add(self, evaluation: Evaluation, seeds: Sequence[int] | None) -> None:
        """Takes in the next newer evaluation, which counts instead of an older one of its configuration and seed.

        A score that a strict audit took is not given back by an evaluation that was not audited.
        """
        self.strategy = evaluation.provenance.strategy
        self.failed_audits = sorted({*self.failed_audits, *failed_audits([evaluation])})
        key = evaluation.config.label, evaluation.provenance.seed
        older = self.counting.get(key)
        is_undoing = older is not None and _failed_strictly(older) and evaluation.provenance.audit == "off"
        if (not seeds or evaluation.provenance.seed in seeds) and not is_undoing:
            self.counting[key] = evaluation


def league_of(evaluation: Evaluation) -> League | None:
    """Returns what an evaluation ranks in, or None where its settings are no protocol's."""
    protocol, made = protocol_of(evaluation.config), evaluation.provenance
    return None if protocol is None else League(protocol, made.seal, made.dtype, made.init_device)


def entries(evaluations: Iterable[Evaluation], league: League, seeds: Sequence[int] | None) -> list[Entry]:
    """Groups a league's evaluations by source.

    Args:
        evaluations: Any, oldest first.
        league: Those of others are left out.
        seeds: Which top-level seeds count; None or none for all.

    Returns:
        Those of which any evaluation counts.
    """
    made: dict[str, Entry] = {}
    for evaluation in evaluations:
        if league_of(evaluation) == league:
            sha256 = evaluation.provenance.strategy_sha256
            made.setdefault(sha256, Entry(sha256)).add(evaluation, seeds)
    return [entry for entry in made.values() if entry.counting]


def _failed_strictly(evaluation: Evaluation) -> bool:
    return evaluation.provenance.audit == "strict" and bool(evaluation.failed_findings)
