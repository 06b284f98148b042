"""The finding of one audit. This module loads without torch."""

from dataclasses import dataclass

# Probability that an honest strategy fails an audit that compares accuracies.
FALSE_ALARMS = 1 / 1000
# Audits that must all decide, and be passed, before a score under public seeds ranks. That of the file is not among
# them: strategies that are made of functions have no file.
DECIDING = ("repeatability", "overlap", "fresh-test", "cross-pairing", "foresight")


@dataclass(frozen=True)
class AuditFinding:
    """The finding of one audit.

    Attributes:
        name: The audit's name.
        passed: Whether the strategy passed, or None if the audit is undecided.
        summary: One line with the measured and expected values and how often an honest strategy fails.
        figures: The measured values, by name.
    """

    name: str
    passed: bool | None
    summary: str
    figures: dict[str, float | int]

    @property
    def verdict(self) -> str:
        """The outcome: passed, failed or undecided."""
        return "undecided" if self.passed is None else "passed" if self.passed else "failed"
