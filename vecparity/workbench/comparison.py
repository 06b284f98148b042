"""Whether one strategy does better than another on the same configuration."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vecparity.evaluation import Evaluation
from vecparity.workbench.by_secret import BySecret, SecretFigures, by_secret
from vecparity.workbench.contenders import Contender, described, pooled, require_same_settings
from vecparity.workbench.difference import Difference, difference
from vecparity.workbench.intervals import LEAST_SECRETS


@dataclass(frozen=True)
class ComparedSecret:
    """What the sides did with one secret; None for a side that does not have it."""

    seed: int
    secret_index: int
    first: SecretFigures | None
    second: SecretFigures | None


@dataclass(frozen=True)
class Comparison:
    """The second side against the first.

    Attributes:
        config: The configuration's label.
        first: What is compared with.
        second: What is compared.
        is_paired: Whether both have the same secrets, which are then compared one by one.
        accuracy: Test accuracy, of which more is better.
        steps: Steps until a run stopped, of which fewer are better.
        secrets: Ordered by seed and secret; where they are not paired, the first side's before the second's.
    """

    config: str
    first: Contender
    second: Contender
    is_paired: bool
    accuracy: Difference
    steps: Difference
    secrets: list[ComparedSecret]

    @property
    def verdict(self) -> str:
        """One line that says in words which differences are real, and how large.

        What is not real may still be: how large a loss is left possible is the interval's lower end.
        """
        pairing = "" if self.is_paired else " (on other secrets)"
        accuracy, steps = self.accuracy, self.steps
        changes = f"{accuracy.difference:+.4f}", f"{steps.difference:+,.0f} steps"
        if accuracy.interval is None or steps.interval is None:
            least = min(self.first.num_secrets, self.second.num_secrets)
            said = f"too few secrets to tell, {least} of at least {LEAST_SECRETS} (accuracy {changes[0]}, {changes[1]})"
        else:
            from_, to = accuracy.interval.low, accuracy.interval.high
            said = f"{_accuracy_in_words(accuracy)} ({changes[0]}, 95% interval {from_:+.4f} to {to:+.4f}), "
            from_, to = steps.interval.low, steps.interval.high
            said += f"{_steps_in_words(steps)} ({changes[1]}, 95% interval {from_:+,.0f} to {to:+,.0f})"
        return f"{self.config}, {self.second.name} against {self.first.name}{pairing}: {said}"

    def as_json(self) -> dict[str, Any]:
        """Plain values: all fields, and the verdict."""
        return asdict(self) | {"verdict": self.verdict}


def compare(first: Evaluation | Sequence[Evaluation], second: Evaluation | Sequence[Evaluation]) -> Comparison:
    """Compares a strategy with another, secret by secret where both have the same ones.

    They do where both sides have the same seeds under the same seal. A secret's figures are means over its orderings,
    so that this is the mean over runs paired by seed, secret and ordering. Else each side's secrets are an independent
    sample of all secrets.

    Args:
        first: What to compare with: an evaluation, or several of one strategy under different seeds, which are pooled.
        second: What to compare, with the same settings.

    Raises:
        UsageError: Settings that differ; a side of several strategies or seals, or with two evaluations of one seed.
        DivergedError: A run diverged: there is no score.
        AuditFailedError: A strict audit failed: there is no score.
    """
    one, other = pooled(first), pooled(second)
    require_same_settings([*one, *other])
    ours, theirs = by_secret(one), by_secret(other)
    is_paired = ours.keys() == theirs.keys() and one[0].provenance.seal == other[0].provenance.seal
    sides = described(one, other)
    return Comparison(
        config=one[0].config.label,
        first=sides[0],
        second=sides[1],
        is_paired=is_paired,
        accuracy=difference(
            [secret.accuracy for secret in ours.values()],
            [secret.accuracy for secret in theirs.values()],
            is_paired=is_paired,
            more_is_better=True,
        ),
        steps=difference(
            [secret.steps for secret in ours.values()],
            [secret.steps for secret in theirs.values()],
            is_paired=is_paired,
            more_is_better=False,
        ),
        secrets=_compared_secrets(ours, theirs, is_paired),
    )


def _compared_secrets(ours: BySecret, theirs: BySecret, is_paired: bool) -> list[ComparedSecret]:
    if is_paired:
        return [ComparedSecret(*key, ours[key], theirs[key]) for key in ours]
    return [ComparedSecret(*key, secret, None) for key, secret in ours.items()] + [
        ComparedSecret(*key, None, secret) for key, secret in theirs.items()
    ]


def _accuracy_in_words(accuracy: Difference) -> str:
    if accuracy.is_real:
        return "accuracy higher" if accuracy.difference > 0 else "accuracy lower"
    no_worse = "no worse" if accuracy.difference >= 0 else "not shown to be worse"
    return f"accuracy {no_worse}, no real difference"


def _steps_in_words(steps: Difference) -> str:
    if steps.is_real:
        return "fewer steps" if steps.difference < 0 else "more steps"
    return "no real difference in steps"
