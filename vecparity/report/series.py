"""The evaluations of a report told apart: a letter, a colour and a line style each, the same throughout."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vecparity.evaluation.result import Evaluation
from vecparity.report.svg import SERIES

# On, off, in widths of the line: told apart without colours, too.
_DASHES = ((), (5.0, 2.0), (1.5, 1.5), (6.0, 1.5, 1.5, 1.5))


@dataclass(frozen=True)
class Series:
    """One evaluation as it is drawn.

    Attributes:
        letter: Names it in pictures.
        number: Of its colour.
        dashes: Of its line, empty for a whole one.
        evaluation: What is drawn.
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
        return f"{provenance.strategy}, seed {provenance.seed}"


def tell_apart(evaluations: Sequence[Evaluation]) -> list[Series]:
    """Gives evaluations their letters, in order: those of one strategy, seed and seal share one over configurations."""
    letters: dict[tuple[object, ...], int] = {}
    seen: Counter[tuple[object, ...]] = Counter()
    made = []
    for evaluation in evaluations:
        provenance = evaluation.provenance
        whose = (provenance.strategy, provenance.strategy_sha256, provenance.seed, provenance.seal)
        seen[evaluation.config.label, whose] += 1
        number = letters.setdefault((*whose, seen[evaluation.config.label, whose]), len(letters))
        # 12 is a multiple of both: without the quotient, no more than that many would be told apart
        colour, dashes = number % len(SERIES), _DASHES[(number + number // 12) % len(_DASHES)]
        made.append(Series(_letter(number), colour, dashes, evaluation))
    return made


def _letter(number: int) -> str:
    """A to Z, then AA, AB and so on."""
    return (_letter(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)
