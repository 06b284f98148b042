"""The sides of comparisons, with their names."""

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
        name: The strategy's name and parameters, with a distinguishing suffix if several sides have the same.
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
        UsageError: There are no evaluations, they mix strategies, configurations or seals, or two have the same seed.
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
        ("configuration", {evaluation.config.label: evaluation.config.label for evaluation in side}),
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


def described(sides: Sequence[Sequence[Evaluation]], names: Sequence[str] | None = None) -> list[Contender]:
    """Returns all sides, under the given names or else under distinct names if anything distinguishes the sides."""
    return [_contender(name, side) for name, side in zip(names or _distinct(sides), sides, strict=True)]


def _distinct(sides: Sequence[Sequence[Evaluation]]) -> list[str]:
    """Returns the sides' titles; equal ones with the first suffix that tells them apart, or else with several."""
    ways = [
        [f" ({side[0].provenance.strategy_sha256[:8]})" for side in sides],
        [f" (seed {', '.join(map(str, _seeds(side)))})" for side in sides],
        [f" (sealed {seal[:8]})" if (seal := side[0].provenance.seal) else " (public)" for side in sides],
    ]
    names = [side[0].provenance.title for side in sides]
    for name in {name for name in names if names.count(name) > 1}:
        equal = [index for index, other in enumerate(names) if other == name]
        differing = [way for way in ways if len({way[index] for index in equal}) > 1]
        enough = [way for way in differing if len({way[index] for index in equal}) == len(equal)]
        for index in equal:
            names[index] += "".join(way[index] for way in enough[:1] or differing)
    return names


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
