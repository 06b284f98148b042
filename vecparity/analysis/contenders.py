"""The two sides of a comparison, with their names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from vecparity.errors import UsageError
from vecparity.evaluation.params import Params
from vecparity.evaluation.result import Evaluation, listed

# Provenance fields that may affect the figures (the first four) or how far they are verified (the audit).
_MADE_WITH = ("engine", "dtype", "init_device", "vecparity", "audit")


@dataclass(frozen=True)
class Contender:
    """One side of a comparison.

    Attributes:
        name: The strategy's name and parameters, with a distinguishing suffix if both sides have the same.
        sha256: Digest of its source.
        params: Values of its keyword parameters.
        seeds: Top-level seeds, ascending.
        seal: Digest of the seal, or None if the seeds are public.
        num_secrets: Number of secrets over all seeds.
        num_runs: Number of runs over all seeds.
        failed_audits: Names of the audits that any of its evaluations failed.
        made_with: Values of the provenance fields that may differ between two sides, by name.
    """

    name: str
    sha256: str
    params: Params
    seeds: list[int]
    seal: str | None
    num_secrets: int
    num_runs: int
    failed_audits: list[str]
    made_with: dict[str, list[str]]


def pooled(evaluations: Evaluation | Sequence[Evaluation]) -> list[Evaluation]:
    """Returns one side's evaluations, ordered by seed.

    Raises:
        UsageError: There are no evaluations, they mix strategies or seals, or two have the same seed.
    """
    side = listed(evaluations)
    if not side:
        raise UsageError("expected at least one evaluation on each side of a comparison, got none")
    provenances = [evaluation.provenance for evaluation in side]
    for kind, values in (
        (
            "strategy",
            {
                provenance.identity: f"{provenance.title} ({provenance.strategy_sha256[:8]})"
                for provenance in provenances
            },
        ),
        ("seal", {provenance.seal: provenance.seal or "public seeds" for provenance in provenances}),
    ):
        if len(values) > 1:
            raise UsageError(f"expected one {kind} on each side of a comparison, got {', '.join(values.values())}")
    seeds = sorted(provenance.seed for provenance in provenances)
    if len(set(seeds)) < len(seeds):
        name = provenances[0].strategy
        raise UsageError(f"expected one evaluation per seed on each side of a comparison, got seeds {seeds} of {name}")
    return sorted(side, key=lambda evaluation: evaluation.provenance.seed)


def require_same_settings(evaluations: Sequence[Evaluation]) -> None:
    """Checks that evaluations have the same settings and so can be compared.

    Raises:
        UsageError: A setting differs.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        for field in fields(first.config):
            first_value, other_value = getattr(first.config, field.name), getattr(other.config, field.name)
            if first_value != other_value:
                raise UsageError(
                    f"expected evaluations with the same settings, got {field.name} {first_value} of "
                    f"{first.provenance.strategy} and {other_value} of {other.provenance.strategy}"
                )


def described(
    first: Sequence[Evaluation], second: Sequence[Evaluation], names: tuple[str, str] | None = None
) -> tuple[Contender, Contender]:
    """Returns both sides, under the given names or else under distinct names if anything distinguishes the sides."""
    if names is not None:
        return _contender(names[0], first), _contender(names[1], second)
    sides = first, second
    ways = [
        ["" for _ in sides],
        [f" ({side[0].provenance.strategy_sha256[:8]})" for side in sides],
        [f" (seed {', '.join(map(str, _seeds(side)))})" for side in sides],
        [f" (sealed {seal[:8]})" if (seal := side[0].provenance.seal) else " (public)" for side in sides],
    ]
    for way in ways:
        candidates = [side[0].provenance.title + distinction for side, distinction in zip(sides, way, strict=True)]
        if candidates[0] != candidates[1]:
            return _contender(candidates[0], first), _contender(candidates[1], second)
    name = first[0].provenance.title
    return _contender(name, first), _contender(name, second)


def _contender(name: str, side: Sequence[Evaluation]) -> Contender:
    config, provenance = side[0].config, side[0].provenance
    return Contender(
        name=name,
        sha256=provenance.strategy_sha256,
        params=provenance.params,
        seeds=_seeds(side),
        seal=provenance.seal,
        num_secrets=config.num_hidden_secrets * len(side),
        num_runs=config.num_runs * len(side),
        failed_audits=failed_audits(side),
        made_with={
            name: sorted({str(getattr(evaluation.provenance, name)) for evaluation in side}) for name in _MADE_WITH
        },
    )


def failed_audits(evaluations: Iterable[Evaluation]) -> list[str]:
    """Returns the sorted names of the audits that any of the evaluations failed, each once."""
    return sorted({name for evaluation in evaluations for name in evaluation.failed_audits})


def _seeds(side: Sequence[Evaluation]) -> list[int]:
    return [evaluation.provenance.seed for evaluation in side]
