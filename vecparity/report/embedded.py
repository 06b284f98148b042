"""The data behind a report, as JSON within its page."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from vecparity.evaluation import serialization
from vecparity.evaluation.result import Evaluation

# Decimals of curves, densities and weights: those of metric lines. All digits would double the page.
_DIGITS = 6
# Most points of all curves in a report, and fewest of an evaluation's: more would make the file too large to send.
_MOST_POINTS = 24_000
_FEWEST_OF_ONE = 1_000


def embedded(evaluations: Sequence[Evaluation]) -> Markup:
    """Writes the evaluations' `serialization.to_document` documents as a JSON list for a ``<script>`` of data.

    Curves, densities and weights are rounded to 6 decimals; metrics and results are unchanged. The name of the machine
    is left out.
    If all curves together have more than about 24 000 points, only every n-th window is kept, with n in
    ``curves.every``; `serialization.from_document` reads such a document too.
    """
    most = max(_FEWEST_OF_ONE, _MOST_POINTS // len(evaluations))
    return as_script([_thinned(evaluation, most) for evaluation in evaluations])


def as_script(content: Any) -> Markup:
    """Writes plain values as JSON for a ``<script>`` of data.

    Every ``<`` is escaped, so that a strategy's name cannot end the element.
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c"))


def _thinned(evaluation: Evaluation, most: int) -> dict[str, Any]:
    content = serialization.to_document(replace(evaluation, provenance=evaluation.provenance.without_host))
    curves = content["curves"]
    points = sum(len(losses) for losses in curves["loss"])
    every = max(1, -(-points // most))
    thinned = {"step": curves["step"][::every]}
    thinned |= {name: [_rounded(values[::every]) for values in curves[name]] for name in ("loss", "accuracy")}
    for part, by_feature in (("datasets", "density"), ("first_layers", "mean_abs_weight")):
        content[part] = [each | {by_feature: _rounded(each[by_feature])} for each in content[part]]
    return content | {"curves": curves | thinned | {"every": every}}


def _rounded(values: Any) -> Any:
    """Rounds all numbers in plain values."""
    if isinstance(values, dict):
        return {name: _rounded(value) for name, value in values.items()}
    if isinstance(values, list):
        return [_rounded(value) for value in values]
    return values if values is None else round(values, _DIGITS)
