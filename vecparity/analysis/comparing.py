"""Compares strategies on one configuration."""

from collections.abc import Sequence
from typing import overload

from vecparity.analysis.by_secret import BySecret, by_secret
from vecparity.analysis.comparison import ComparedSecret, Comparison, Comparisons
from vecparity.analysis.contenders import Contender, described, pooled, require_same_settings
from vecparity.analysis.difference import difference
from vecparity.errors import UsageError
from vecparity.evaluation.result import Evaluation

Side = Evaluation | Sequence[Evaluation]


@overload
def compare(baseline: Side, other: Side, /, *, names: Sequence[str] | None = None) -> Comparison: ...


@overload
def compare(
    baseline: Side, other: Side, another: Side, /, *others: Side, names: Sequence[str] | None = None
) -> Comparisons: ...


def compare(baseline: Side, /, *others: Side, names: Sequence[str] | None = None) -> Comparison | Comparisons:
    """Compares strategies with a baseline, secret by secret on the secrets that both have.

    Both have the secrets of their common seeds, if they were drawn under the same seal and draw. A secret's figures are
    means over its orderings, so the result is the mean over runs paired by seed, secret and ordering. With no secrets
    in common, each side's secrets are treated as an independent sample of all secrets.

    Args:
        baseline: One evaluation, or several of one strategy under different seeds, which are pooled.
        *others: The same of each strategy to compare with the baseline, under the same settings.
        names: Names of all sides, the baseline's first; by default the strategies' names, made distinct.

    Returns:
        One comparison, or a list with one for each of several others. Each is a comparison of its own: of many, one in
        twenty calls a difference real that is none.

    Raises:
        UsageError: There is nothing to compare with the baseline; a side has no evaluations, mixes strategies,
            configurations or seals, or has two evaluations of one seed; or the settings differ.
        DivergedError: A run diverged: there is no score.
        AuditFailedError: A strict audit failed: there is no score.
    """
    if not others:
        raise UsageError("expected a baseline and at least one other to compare with it, got one")
    if names is not None and not (
        isinstance(names, tuple | list)
        and all(isinstance(name, str) for name in names)
        and len(names) == 1 + len(others)
    ):
        raise UsageError(f"names must be {1 + len(others)}, one for each side, got {names!r}")
    sides = [pooled(side) for side in (baseline, *others)]
    require_same_settings([evaluation for side in sides for evaluation in side])
    first, *rest = described(sides, names)
    of_first, *of_rest = map(by_secret, sides)
    config = sides[0][0].config.label
    comparisons = [_compared(config, first, second, of_first, own) for second, own in zip(rest, of_rest, strict=True)]
    return comparisons[0] if len(comparisons) == 1 else Comparisons(comparisons)


def _compared(
    config: str, first: Contender, second: Contender, first_secrets: BySecret, second_secrets: BySecret
) -> Comparison:
    common = [key for key in first_secrets if key in second_secrets]
    before = [first_secrets[key] for key in common or first_secrets]
    after = [second_secrets[key] for key in common or second_secrets]
    return Comparison(
        config=config,
        first=first,
        second=second,
        num_common=len(common),
        accuracy=difference(
            [secret.accuracy for secret in before],
            [secret.accuracy for secret in after],
            is_paired=bool(common),
            more_is_better=True,
        ),
        steps=difference(
            [secret.steps for secret in before],
            [secret.steps for secret in after],
            is_paired=bool(common),
            more_is_better=False,
        ),
        secrets=_compared_secrets(first_secrets, second_secrets, bool(common)),
    )


def _compared_secrets(first_secrets: BySecret, second_secrets: BySecret, is_paired: bool) -> list[ComparedSecret]:
    if is_paired:
        return [
            ComparedSecret(*key[:2], first_secrets.get(key), second_secrets.get(key))
            for key in sorted(first_secrets.keys() | second_secrets.keys())
        ]
    return [ComparedSecret(*key[:2], secret, None) for key, secret in first_secrets.items()] + [
        ComparedSecret(*key[:2], None, secret) for key, secret in second_secrets.items()
    ]
