"""Compares two strategies on one configuration."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vecparity.analysis import verdict
from vecparity.analysis.by_secret import BySecret, SecretFigures, by_secret
from vecparity.analysis.contenders import Contender, described, pooled, require_same_settings
from vecparity.analysis.difference import Difference, difference
from vecparity.errors import UsageError
from vecparity.evaluation.result import Evaluation


@dataclass(frozen=True)
class ComparedSecret:
    """Both sides' figures for one secret; None for a side that does not have the secret."""

    seed: int
    secret_index: int
    first: SecretFigures | None
    second: SecretFigures | None


@dataclass(frozen=True)
class Comparison:
    """The second side compared with the first.

    Attributes:
        config: The configuration's label.
        first: The baseline.
        second: The side compared with the baseline.
        num_common: Secrets that both sides have. If there are any, only these are compared, one by one.
        accuracy: Test accuracy; higher is better.
        steps: Steps until a run stopped; fewer is better.
        secrets: All secrets, ordered by seed and secret; with none in common, the first side's before the second's.
    """

    config: str
    first: Contender
    second: Contender
    num_common: int
    accuracy: Difference
    steps: Difference
    secrets: list[ComparedSecret]

    @property
    def is_paired(self) -> bool:
        """True if secrets are compared one by one."""
        return self.num_common > 0

    @property
    def verdict(self) -> str:
        """One line of text that says which differences are real, and how large.

        A difference that is not called real may still exist: the interval's lower end is the largest plausible loss.
        """
        first_secrets, second_secrets = self.first.num_secrets, self.second.num_secrets
        if not self.is_paired:
            secrets, least = " (on other secrets)", min(first_secrets, second_secrets)
        else:
            is_all = self.num_common == first_secrets == second_secrets
            secrets = (
                "" if is_all else f" ({self.num_common} of {first_secrets} and {second_secrets} secrets in common)"
            )
            least = self.num_common
        summary = verdict.in_words(self.accuracy, self.steps, least)
        return f"{self.config}, {self.second.name} against {self.first.name}{secrets}: {summary}"

    @property
    def made_differently(self) -> dict[str, tuple[list[str], list[str]]]:
        """Provenance fields that differ between the sides, by name: the first side's values, then the second's."""
        first_values, second_values = self.first.made_with, self.second.made_with
        return {
            name: (first_values[name], second_values[name])
            for name in first_values
            if first_values[name] != second_values[name]
        }

    def as_json(self) -> dict[str, Any]:
        """Returns all fields and derived properties as plain values."""
        return asdict(self) | {
            "is_paired": self.is_paired,
            "made_differently": self.made_differently,
            "verdict": self.verdict,
        }


def compare(
    first: Evaluation | Sequence[Evaluation],
    second: Evaluation | Sequence[Evaluation],
    *,
    names: tuple[str, str] | None = None,
) -> Comparison:
    """Compares two strategies, secret by secret on the secrets that both have.

    Both have the secrets of their common seeds, if they were drawn under the same seal and draw. A secret's figures are
    means over its orderings, so the result is the mean over runs paired by seed, secret and ordering. With no secrets
    in common, each side's secrets are treated as an independent sample of all secrets.

    Args:
        first: The baseline: one evaluation, or several of one strategy under different seeds, which are pooled.
        second: The evaluations to compare with the baseline, with the same settings.
        names: Names of the sides; by default the strategies' names, made distinct.

    Raises:
        UsageError: A side has no evaluations, mixes strategies or seals, or has two evaluations of one seed; or the
            settings differ.
        DivergedError: A run diverged: there is no score.
        AuditFailedError: A strict audit failed: there is no score.
    """
    if names is not None and not (isinstance(names, tuple | list) and list(map(type, names)) == [str, str]):
        raise UsageError(f"names must be two, one for each side, got {names!r}")
    first_side, second_side = pooled(first), pooled(second)
    require_same_settings([*first_side, *second_side])
    first_secrets, second_secrets = by_secret(first_side), by_secret(second_side)
    common = [key for key in first_secrets if key in second_secrets]
    sides = described(first_side, second_side, names)
    before = [first_secrets[key] for key in common or first_secrets]
    after = [second_secrets[key] for key in common or second_secrets]
    return Comparison(
        config=first_side[0].config.label,
        first=sides[0],
        second=sides[1],
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
