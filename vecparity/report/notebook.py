"""Results as fragments of HTML, for notebooks: one evaluation, several, comparisons, leaderboards.

The fragments use the notebook's text colour, light or dark; their style affects nothing outside them.
"""

import hashlib
from collections.abc import Sequence
from typing import Protocol

from markupsafe import Markup

from vecparity.analysis.text_table import TextTable
from vecparity.errors import UsageError
from vecparity.evaluation import serialization
from vecparity.evaluation.result import Evaluation
from vecparity.report.learning_curves import CURVES, learning_curves
from vecparity.report.page import environment
from vecparity.report.series import tell_apart
from vecparity.report.small_curves import small_curves
from vecparity.report.svg import drawing


class Tabular(Protocol):
    """A result that shows itself as a table of texts."""

    def as_table(self) -> TextTable: ...


def fragment(evaluation: Evaluation, /) -> str:
    """Returns the figures and, if Matplotlib is installed, the learning curves."""
    series = tell_apart([evaluation])
    prefix = f"vecparity-{hashlib.sha256(serialization.dumps(evaluation)).hexdigest()[:8]}"
    pictures: list[tuple[str, Markup]] = []
    missing = ""
    try:
        with drawing():
            if any(run.curve.step for run in evaluation.curves):
                pictures = [
                    (f"Training {quantity}", learning_curves(series, quantity, f"{prefix}-{quantity}"))
                    for quantity in CURVES
                ]
    except UsageError as error:
        missing = str(error)
    template = environment().get_template("notebook.html.j2")
    return template.render(every=series, pictures=pictures, missing=missing)


def evaluations(every: Sequence[Evaluation], /) -> str:
    """Returns one table with a row for each evaluation, its figures and two small curves."""
    rows = list(zip(every, small_curves(every), strict=True))
    return environment().get_template("notebook.evaluations.html.j2").render(rows=rows)


def tabulated(shown: Tabular, /) -> str:
    """Returns the table of comparisons or of a leaderboard, with the sentences below it."""
    return table(shown.as_table())


def table(shown: TextTable) -> str:
    """Returns a table of texts, its title above and its sentences below."""
    return environment().get_template("notebook.table.html.j2").render(table=shown)
