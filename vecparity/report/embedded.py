"""The figures behind a report, as JSON within its page."""

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from vecparity.evaluation import serialization
from vecparity.evaluation.result import Evaluation

# Points of an evaluation's curves that a report carries: more, and it is no longer a file to be sent.
_MOST_POINTS = 10_500


def embedded(evaluations: Sequence[Evaluation]) -> Markup:
    """Writes a list of what `serialization.to_document` makes of evaluations, for a ``<script>`` of data.

    Where there are more than 10 500 points of curves in an evaluation, only every n-th window is there, n being
    ``curves.every``; `serialization.from_document` reads it all the same. No ``<`` is left, so that nothing that a
    strategy's name holds ends the element.
    """
    text = json.dumps([_thinned(evaluation) for evaluation in evaluations], allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c"))


def _thinned(evaluation: Evaluation) -> dict[str, Any]:
    content = serialization.to_document(evaluation)
    curves = content["curves"]
    points = sum(len(losses) for losses in curves["loss"])
    every = max(1, -(-points // _MOST_POINTS))
    kept = {"step": curves["step"][::every]}
    kept |= {what: [values[::every] for values in curves[what]] for what in ("loss", "accuracy")}
    return content | {"curves": curves | kept | {"every": every}}
