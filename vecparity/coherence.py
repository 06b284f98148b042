"""Whether what was read of an evaluation belongs together, as what an evaluator writes does."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

from vecparity.evaluation import ByFeature, Evaluation
from vecparity.spec import NAMED_PROTOCOLS

_ROUNDING = 1e-9


def check(evaluation: Evaluation, metrics: Any) -> None:
    """Checks an evaluation that comes from a file.

    Args:
        evaluation: Of the right types.
        metrics: What the file has as its figures.

    Raises:
        ValueError: What does not belong together, in words.
    """
    config = evaluation.config
    secrets = range(config.num_hidden_secrets)
    places = list(product(secrets, range(config.num_orderings)))
    tested = [(run.secret_index, run.order_index) for run in evaluation.results]
    diverged = [(run.secret_index, run.order_index) for run in evaluation.diverged]
    _require_same("runs in results and diverged", sorted(tested + diverged), places)
    _require_same("runs in curves", [(run.secret_index, run.order_index) for run in evaluation.curves], places)
    _require_same(
        "runs in first_layers", [(run.secret_index, run.order_index) for run in evaluation.first_layers], tested
    )
    _require_same("secrets in datasets", [data.secret_index for data in evaluation.datasets], list(secrets))

    for run in evaluation.results:
        _require_share("test_accuracy", run.test_accuracy)
    for step in [*(run.steps for run in evaluation.results), *(run.step for run in evaluation.diverged)]:
        if not 0 <= step <= config.max_steps:
            raise ValueError(f"a run of {step} steps, of at most {config.max_steps}")
    for data in evaluation.datasets:
        _require_share("positive_rate", data.positive_rate)
        _require_features("density", data.density, config.n_features)
        if data.secret is not None and not _is_secret(data.secret, config.n_features, config.secret_size):
            raise ValueError(f"{data.secret} as a secret of {config.secret_size} of {config.n_features} features")
    for layer in evaluation.first_layers:
        _require_features("mean_abs_weight", layer.mean_abs_weight, config.n_features)
    for run_curve in evaluation.curves:
        _require_finite("curves", [*run_curve.curve.loss, *run_curve.curve.accuracy])
    provenance = evaluation.provenance
    _require_finite("wall_seconds", [provenance.wall_seconds])
    if provenance.protocol not in (*NAMED_PROTOCOLS, "custom"):
        raise ValueError(f"the protocol {provenance.protocol!r}")
    for text in _texts(evaluation):
        if not text.isprintable():
            raise ValueError(f"{text!r}, which cannot be printed")
    _require_metrics(evaluation, metrics)


def _texts(evaluation: Evaluation) -> Iterator[str]:
    """All that is shown as it is."""
    yield from (value for value in asdict(evaluation.provenance).values() if isinstance(value, str))
    for finding in evaluation.findings:
        yield from (finding.name, finding.summary)


def _require_same(what: str, got: Sequence[object], expected: Sequence[object]) -> None:
    if list(got) != list(expected):
        differing = [one for one in got if one not in expected] or [one for one in expected if one not in got]
        example = f", for one {differing[0]}" if differing else ""
        raise ValueError(f"{len(got)} {what}, which are not the {len(expected)} that the settings make{example}")


def _require_share(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"a {what} of {value}")


def _require_features(what: str, values: ByFeature, n_features: int) -> None:
    each = [] if values.each is None else values.each
    _require_finite(what, [values.secret, 0 if values.others is None else values.others, *each])
    if values.each is not None and len(each) != n_features:
        raise ValueError(f"a {what} of {len(each)} features, of {n_features}")


def _require_finite(what: str, values: Iterable[float]) -> None:
    for value in values:
        if not math.isfinite(value):
            raise ValueError(f"{value} in {what}")


def _require_metrics(evaluation: Evaluation, metrics: Any) -> None:
    """The figures are those of the runs."""
    expected = None if evaluation.why_no_score else asdict(evaluation.metrics)
    agree = metrics == expected or (
        isinstance(metrics, dict)
        and expected is not None
        and metrics.keys() == expected.keys()
        and all(_is_close(metrics[name], expected[name]) for name in expected)
    )
    if not agree:
        raise ValueError(f"metrics that are not its runs': {metrics}")


def _is_secret(secret: Sequence[int], n_features: int, secret_size: int) -> bool:
    return sorted(set(secret)) == list(secret) and len(secret) == secret_size and set(secret) <= set(range(n_features))


def _is_close(value: object, expected: float) -> bool:
    return isinstance(value, int | float) and math.isclose(value, expected, abs_tol=_ROUNDING)
