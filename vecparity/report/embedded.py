"""The data behind a report, as JSON within its page."""

import json
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from vecparity.evaluation import serialization
from vecparity.evaluation.result import Evaluation

# Most points of an evaluation's curves in a report: more would make the file too large to send.
_MOST_POINTS = 10_500


def embedded(evaluations: Sequence[Evaluation]) -> Markup:
    """Writes the evaluations' `serialization.to_document` documents as a JSON list for a ``<script>`` of data.

    If an evaluation's curves have more than 10 500 points, only every n-th window is kept, with n in ``curves.every``;
    `serialization.from_document` reads such a document too. Every ``<`` is escaped, so that a strategy's name cannot
    end the element.
    """
    text = json.dumps([_thinned(evaluation) for evaluation in evaluations], allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c"))


def _thinned(evaluation: Evaluation) -> dict[str, Any]:
    content = serialization.to_document(evaluation)
    curves = content["curves"]
    points = sum(len(losses) for losses in curves["loss"])
    every = max(1, -(-points // _MOST_POINTS))
    thinned = {"step": curves["step"][::every]}
    thinned |= {name: [values[::every] for values in curves[name]] for name in ("loss", "accuracy")}
    return content | {"curves": curves | thinned | {"every": every}}
