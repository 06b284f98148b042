"""One evaluation as a fragment of HTML, for notebooks."""

import hashlib

from markupsafe import Markup

from vecparity.errors import UsageError
from vecparity.evaluation import serialization
from vecparity.evaluation.result import Evaluation
from vecparity.report.learning_curves import CURVES, learning_curves
from vecparity.report.page import environment
from vecparity.report.series import tell_apart
from vecparity.report.svg import drawing


def fragment(evaluation: Evaluation, /) -> str:
    """Returns the figures and, if Matplotlib is installed, the learning curves.

    The fragment uses the notebook's text colour, light or dark; its style affects nothing outside the fragment.
    """
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
