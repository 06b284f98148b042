"""A comparison's figures in words: which differences are real, and with what certainty."""

from collections.abc import Callable

from vecparity.analysis.difference import Difference
from vecparity.analysis.intervals import LEAST_SECRETS

# Largest loss of accuracy that still counts as no worse: 1% of the range from guessing (0.5) to perfect (1.0).
NO_WORSE_MARGIN = 0.005


def in_words(accuracy: Difference, steps: Difference, num_secrets: int) -> str:
    """Describes both differences.

    Accuracy is "no worse" only if the interval excludes any loss, or any loss beyond `NO_WORSE_MARGIN`, which the text
    then names. The sign of a difference that is not real decides nothing.

    Args:
        accuracy: Difference in accuracy; higher is better.
        steps: Difference in steps; fewer is better.
        num_secrets: The number of secrets in common, or of the side with fewer if there are none.
    """
    if accuracy.is_real is None or steps.is_real is None:
        changes = f"accuracy {_share(accuracy.difference)}, {_count(steps.difference)} steps"
        return f"too few secrets to tell, {num_secrets} of at least {LEAST_SECRETS} ({changes})"
    return (
        f"{accuracy_in_words(accuracy)} ({_share(accuracy.difference)}, {_ends(accuracy, _share)}), "
        f"{steps_in_words(steps)} ({_count(steps.difference)} steps, {_ends(steps, _count)})"
    )


def accuracy_in_words(accuracy: Difference) -> str:
    """Says whether a difference in accuracy is real, as `in_words` does; not for too few secrets."""
    if accuracy.is_real:
        return "accuracy higher" if accuracy.difference > 0 else "accuracy lower"
    if accuracy.interval is None or accuracy.interval.low < -NO_WORSE_MARGIN:
        return "no real difference in accuracy"
    margin = f" by more than {NO_WORSE_MARGIN:g}" if accuracy.interval.low < 0 else ""
    return f"accuracy no worse{margin}, no real difference"


def steps_in_words(steps: Difference) -> str:
    """Says whether a difference in steps is real, as `in_words` does; not for too few secrets."""
    if steps.is_none:
        return "as many steps"
    if steps.is_real:
        return "fewer steps" if steps.difference < 0 else "more steps"
    return "no real difference in steps"


def _ends(difference: Difference, shown: Callable[[float], str]) -> str:
    if difference.interval is None:
        return "no interval: no secret differs from another"
    return f"95% interval {shown(difference.interval.low)} to {shown(difference.interval.high)}"


def _share(change: float) -> str:
    return f"{change:+.4f}"


def _count(change: float) -> str:
    return f"{change:+,.0f}"
