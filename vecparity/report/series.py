"""The letter, colour and line style of each evaluation, the same throughout a report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vecparity.evaluation.result import Evaluation
from vecparity.report.svg import SERIES

# Lengths on and off, in line widths: they distinguish lines without colours too.
_DASHES = ((), (5.0, 2.0), (1.5, 1.5), (6.0, 1.5, 1.5, 1.5))


@dataclass(frozen=True)
class Series:
    """One evaluation as it is drawn.

    Attributes:
        letter: Its name in pictures.
        number: Index of its colour.
        dashes: Dashes of its line, empty for a solid line.
        evaluation: The evaluation.
    """

    letter: str
    number: int
    dashes: tuple[float, ...]
    evaluation: Evaluation

    @property
    def colour(self) -> str:
        return SERIES[self.number]

    @property
    def line_style(self) -> tuple[float, tuple[float, ...]] | str:
        return (0.0, self.dashes) if self.dashes else "solid"

    @property
    def name(self) -> str:
        provenance = self.evaluation.provenance
        return f"{provenance.title}, seed {provenance.seed}"


def tell_apart(evaluations: Sequence[Evaluation]) -> list[Series]:
    """Assigns letters in order; one strategy, parameters, seed and seal have one letter over configurations."""
    letters: dict[tuple[object, ...], int] = {}
    seen: Counter[tuple[object, ...]] = Counter()
    series = []
    for evaluation in evaluations:
        provenance = evaluation.provenance
        whose = (provenance.strategy, provenance.identity, provenance.seed, provenance.seal)
        seen[evaluation.config.label, whose] += 1
        number = letters.setdefault((*whose, seen[evaluation.config.label, whose]), len(letters))
        # 12 is a multiple of both counts: without the quotient, styles would repeat after 12 series
        colour, dashes = number % len(SERIES), _DASHES[(number + number // 12) % len(_DASHES)]
        series.append(Series(_letter(number), colour, dashes, evaluation))
    return series


def _letter(number: int) -> str:
    """Returns A to Z, then AA, AB and so on."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)
