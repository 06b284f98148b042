"""Comparisons of strategies on one configuration, as `comparing` makes them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from vecparity.analysis import verdict
from vecparity.analysis.by_secret import SecretFigures
from vecparity.analysis.contenders import Contender
from vecparity.analysis.difference import Difference
from vecparity.analysis.text_table import Heading, TextTable


@dataclass(frozen=True)
class ComparedSecret:
    """Both sides' figures for one secret; None for a side that does not have the secret."""

    seed: int
    secret_index: int
    first: SecretFigures | None
    second: SecretFigures | None


@dataclass(frozen=True)
class Comparison:
    """The second side compared with the first; shows itself as a table and its verdict.

    Attributes:
        config: The configuration's label.
        first: The baseline.
        second: The side compared with the baseline.
        num_common: Secrets that both sides have. If there are any, only these are compared, one by one.
        accuracy: Test accuracy; higher is better.
        steps: Steps until a run stopped; fewer is better.
        secrets: All secrets, ordered by seed and secret; with none in common, the first side's before the second's.
    """

    __module__ = "vecparity"  # the public module, from which pickle imports the class with its attached method

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

    @property
    def made_differently_in_words(self) -> str:
        """`made_differently` as one line, in the order of the verdict: the second side against the first; or empty."""
        fields = self.made_differently.items()
        words = [f"{name} {', '.join(second)} against {', '.join(first)}" for name, (first, second) in fields]
        return f"made differently: {'; '.join(words)}" if words else ""

    def as_json(self) -> dict[str, Any]:
        """Returns all fields and derived properties as plain values."""
        return asdict(self) | {
            "is_paired": self.is_paired,
            "made_differently": self.made_differently,
            "verdict": self.verdict,
        }

    def __repr__(self) -> str:
        return str(self.as_table())

    def as_table(self) -> TextTable:
        """Returns a row for the second side, and the verdict."""
        return _table([self])

    if TYPE_CHECKING:
        # `api` attaches this: reports import comparisons, not the reverse.
        def _repr_html_(self, /) -> str: ...


class Comparisons(list[Comparison]):
    """Comparisons of several strategies with one baseline, which show themselves as one table and their verdicts."""

    __module__ = "vecparity"  # see `Comparison`

    def __repr__(self) -> str:
        return str(self.as_table()) if self else "<no comparisons>"

    def as_table(self) -> TextTable:
        """Returns a row for each strategy, and the verdicts."""
        return _table(self) if self else TextTable("no comparisons", [], [], [])

    if TYPE_CHECKING:

        def _repr_html_(self, /) -> str: ...


_COLUMNS = (
    Heading("strategy"),
    Heading("secrets", is_number=True),
    Heading("accuracy", is_number=True),
    Heading("change", is_number=True),
    Heading("won / lost / tied", is_number=True),
    Heading("steps", is_number=True),
    Heading("change", is_number=True),
    Heading("won / lost / tied", is_number=True),
)


def _table(comparisons: Sequence[Comparison]) -> TextTable:
    baseline = comparisons[0].first
    failing = {
        side.name: side.failed_audits
        for each in comparisons
        for side in (each.first, each.second)
        if side.failed_audits
    }
    return TextTable(
        title=f"{comparisons[0].config}, baseline: {baseline.name}; a change is from it",
        columns=_COLUMNS,
        rows=[_cells(comparison) for comparison in comparisons],
        notes=[
            *(note for each in comparisons for note in (each.verdict, each.made_differently_in_words) if note),
            *(f"{name} fails {', '.join(audits)}" for name, audits in failing.items()),
        ],
    )


def _cells(comparison: Comparison) -> list[str]:
    accuracy, steps = comparison.accuracy, comparison.steps
    return [
        comparison.second.name,
        str(comparison.num_common or comparison.second.num_secrets),
        *(f"{accuracy.second:.4f}", f"{accuracy.difference:+.4f}", _tally(accuracy)),
        *(f"{steps.second:,.0f}", f"{steps.difference:+,.0f}", _tally(steps)),
    ]


def _tally(difference: Difference) -> str:
    tally = difference.tally
    return f"{tally.wins} / {tally.losses} / {tally.ties}" if tally else ""
