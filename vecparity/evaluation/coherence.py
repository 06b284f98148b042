"""Checks that the parts of an evaluation read from a file agree with each other."""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise, product

from vecparity.errors import brief, printable
from vecparity.evaluation.params import check_params
from vecparity.evaluation.result import ByFeature, DatasetSummary, Evaluation, Metrics
from vecparity.task.config import NAMED_PROTOCOLS, TaskConfig
from vecparity.task.seeds import check_seed
from vecparity.training.curve import Curve

_ROUNDING = 1e-9
# Maximum length of a text that is shown; each is one line.
MOST_CHARACTERS = 4096


def check(evaluation: Evaluation, metrics: Metrics | None) -> None:
    """Checks an evaluation that comes from a file.

    Args:
        evaluation: The evaluation, whose values have the right types.
        metrics: The metrics stored in the file.

    Raises:
        ValueError: Some parts disagree; the text says which.
    """
    config = evaluation.config
    # Compare counts first: large settings alone must not make this function build anything that the file does not hold.
    num_tested, num_ended = len(evaluation.results), len(evaluation.results) + len(evaluation.diverged)
    _require_number("runs in results and diverged", num_ended, config.num_runs)
    _require_number("runs in curves", len(evaluation.curves), config.num_runs)
    _require_number("runs in first_layers", len(evaluation.first_layers), num_tested)
    _require_number("secrets in datasets", len(evaluation.datasets), config.num_hidden_secrets)

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

    for step in [*(run.steps for run in evaluation.results), *(run.step for run in evaluation.diverged)]:
        if step > config.max_steps:
            raise ValueError(f"expected runs of at most {config.max_steps} steps, got one of {brief(step)}")
    for data in evaluation.datasets:
        _require_dataset(data, config)
    for layer in evaluation.first_layers:
        _require_features("mean_abs_weight", layer.mean_abs_weight, config.n_features)
    _require_curves([run.curve for run in evaluation.curves], config)
    provenance = evaluation.provenance
    check_seed(provenance.seed)
    if provenance.protocol not in (*NAMED_PROTOCOLS, "custom"):
        expected = ", ".join((*NAMED_PROTOCOLS, "custom"))
        raise ValueError(f"expected one of the protocols {expected}, got {brief(provenance.protocol)}")
    check_params(provenance.params)
    for text in _texts(evaluation):
        require_line(text)
    for finding in evaluation.findings:
        for figure in finding.figures.values():
            if isinstance(figure, int) and abs(figure) >= 2**63:
                raise ValueError(f"expected an audit's figures within 64 bits, got {brief(figure)}")
    _require_metrics(evaluation, metrics)


def require_line(text: str) -> None:
    """Checks a text from a file that is shown unchanged.

    Raises:
        ValueError: The text is not one line, is too long to be genuine, or contains terminal control characters.
    """
    if not text.isprintable():
        raise ValueError(f"expected text that can be printed, got {brief(text)}")
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"expected text of at most {MOST_CHARACTERS} characters, got {len(text)}: {brief(text)}")


def _texts(evaluation: Evaluation) -> Iterator[str]:
    """Yields every text that is shown unchanged."""
    yield from (value for value in asdict(evaluation.provenance).values() if isinstance(value, str))
    for name, value in evaluation.provenance.params.items():
        yield from (name, value) if isinstance(value, str) else (name,)
    for finding in evaluation.findings:
        yield from (finding.name, finding.summary, *finding.figures)


def _require_number(name: str, number: int, expected: int) -> None:
    if number != expected:
        raise ValueError(f"expected {expected} {name}, by the settings, got {number}")


def _require_same(name: str, places: Sequence[Hashable], expected: Sequence[Hashable]) -> None:
    """Checks the indices of runs or secrets."""
    if list(places) == list(expected):
        return
    are_expected, missing = set(expected), set(expected).difference(places)
    if extra := [place for place in places if place not in are_expected]:
        actual = brief(extra[0])
    elif missing:
        actual = f"none at {next(place for place in expected if place in missing)}"
    else:
        actual = "others in between"
    raise ValueError(f"expected {len(expected)} {name}, at the indices that the settings give, in order, got {actual}")


def _require_dataset(data: DatasetSummary, config: TaskConfig) -> None:
    _require_features("density", data.density, config.n_features)
    if data.num_examples > config.max_train_examples:
        raise ValueError(f"expected at most {config.max_train_examples} examples, got {brief(data.num_examples)}")
    most = min(data.num_examples, 2 ** min(config.secret_size, 63))
    if data.patterns_covered > most:
        raise ValueError(f"expected at most {most} patterns_covered, got {brief(data.patterns_covered)}")
    if data.secret is not None and not _is_secret(data.secret, config.n_features, config.secret_size):
        expected = f"a secret of {config.secret_size} ascending features below {config.n_features}"
        raise ValueError(f"expected {expected}, got {brief(data.secret)}")


def _require_curves(curves: Sequence[Curve], config: TaskConfig) -> None:
    """Checks curves. A report's JSON leaves out some windows, so they need not be complete. There may be 20 million."""
    steps = max((curve.step for curve in curves), key=len)
    if any(after <= before for before, after in pairwise(steps)):
        raise ValueError("expected ascending steps in curves, got others")
    for step in steps:
        if step > config.max_steps or step != config.last_close(step):
            raise ValueError(f"expected curves at steps that close a window, got step {brief(step)}")
    for curve in curves:
        if curve.step != steps[: len(curve.step)]:
            raise ValueError("expected every curve at the first steps of the longest, got other steps")


def _require_features(name: str, values: ByFeature, n_features: int) -> None:
    if values.each is not None and len(values.each) != n_features:
        raise ValueError(f"expected a {name} for each of {n_features} features, got {len(values.each)}")


def _require_metrics(evaluation: Evaluation, metrics: Metrics | None) -> None:
    """Checks that the metrics follow from the runs."""
    expected = None if evaluation.why_no_score else evaluation.metrics
    if metrics is None or expected is None:
        if metrics is not expected:
            raise ValueError(f"expected the metrics {expected}, by the runs, got {printable(str(metrics))}")
        return
    for name, value in asdict(expected).items():
        if not math.isclose(stored := getattr(metrics, name), value, abs_tol=_ROUNDING):
            raise ValueError(f"expected {name} {value} in metrics, by the runs, got {brief(stored)}")


def _is_secret(secret: Sequence[int], n_features: int, secret_size: int) -> bool:
    is_ascending = all(before < after for before, after in pairwise([*secret, n_features]))
    return is_ascending and len(secret) == secret_size
