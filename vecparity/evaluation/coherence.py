"""Checks that the parts of an evaluation read from a file agree with each other."""

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
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

    for run in evaluation.results:
        _require_share("test_accuracy", run.test_accuracy)
    for step in [*(run.steps for run in evaluation.results), *(run.step for run in evaluation.diverged)]:
        if not 0 <= step <= config.max_steps:
            raise ValueError(f"a run of {step} steps, of at most {config.max_steps}")
    for data in evaluation.datasets:
        _require_dataset(data, config)
    for layer in evaluation.first_layers:
        _require_features("mean_abs_weight", layer.mean_abs_weight, config.n_features, math.inf)
    _require_curves([run.curve for run in evaluation.curves], config)
    provenance = evaluation.provenance
    check_seed(provenance.seed)
    _require_finite("wall_seconds", [provenance.wall_seconds])
    if provenance.wall_seconds < 0:
        raise ValueError(f"{provenance.wall_seconds} wall_seconds")
    if provenance.protocol not in (*NAMED_PROTOCOLS, "custom"):
        raise ValueError(f"the protocol {brief(provenance.protocol)}")
    check_params(provenance.params)
    for text in _texts(evaluation):
        require_line(text)
    for finding in evaluation.findings:
        _require_finite("an audit's figures", finding.figures.values())
    _require_metrics(evaluation, metrics)


def require_line(text: str) -> None:
    """Checks a text from a file that is shown unchanged.

    Raises:
        ValueError: The text is not one line, is too long to be genuine, or contains terminal control characters.
    """
    if not text.isprintable():
        raise ValueError(f"{brief(text)}, which cannot be printed")
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"{brief(text)}, which is {len(text)} characters long")


def _texts(evaluation: Evaluation) -> Iterator[str]:
    """Yields every text that is shown unchanged."""
    yield from (value for value in asdict(evaluation.provenance).values() if isinstance(value, str))
    for name, value in evaluation.provenance.params.items():
        yield from (name, value) if isinstance(value, str) else (name,)
    for finding in evaluation.findings:
        yield from (finding.name, finding.summary, *finding.figures)


def _require_number(what: str, got: int, expected: int) -> None:
    if got != expected:
        raise ValueError(f"{got} {what}, which are not the {expected} that the settings make")


def _require_same(what: str, got: Sequence[Hashable], expected: Sequence[Hashable]) -> None:
    if list(got) != list(expected):
        are_expected, are_there = set(expected), set(got)
        differing = [one for one in got if one not in are_expected] or [one for one in expected if one not in are_there]
        example = f", for one {differing[0]}" if differing else ""
        raise ValueError(f"{len(got)} {what}, which are not the {len(expected)} that the settings make{example}")


def _require_share(what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"a {what} of {value}")


def _require_dataset(data: DatasetSummary, config: TaskConfig) -> None:
    _require_share("positive_rate", data.positive_rate)
    _require_features("density", data.density, config.n_features, 1)
    if not 1 <= data.num_examples <= config.max_train_examples:
        raise ValueError(f"{brief(data.num_examples)} examples, of at most {config.max_train_examples}")
    if not 0 <= data.patterns_covered <= min(data.num_examples, 2 ** min(config.secret_size, 63)):
        raise ValueError(f"{brief(data.patterns_covered)} patterns_covered in {data.num_examples} examples")
    if data.secret is not None and not _is_secret(data.secret, config.n_features, config.secret_size):
        secret = brief(data.secret)
        raise ValueError(f"{secret} as a secret of {config.secret_size} of {config.n_features} features")


def _require_curves(curves: Sequence[Curve], config: TaskConfig) -> None:
    """Checks curves. A report's JSON leaves out some windows, so they need not be complete. There may be 20 million."""
    steps = max((curve.step for curve in curves), key=len)
    if any(after <= before for before, after in pairwise([0, *steps])):
        raise ValueError("steps in curves that do not ascend")
    for step in steps:
        if step > config.max_steps or step != config.last_close(step):
            raise ValueError(f"a curve with a window that closes at step {brief(step)}")
    for curve in curves:
        if curve.step != steps[: len(curve.step)]:
            raise ValueError("curves of other steps than the longest has")
        _require_finite("curves", [min(curve.loss, default=0), max(curve.loss, default=0)])
        _require_share("accuracy in curves", min(curve.accuracy, default=0))
        _require_share("accuracy in curves", max(curve.accuracy, default=0))


def _require_features(what: str, values: ByFeature, n_features: int, most: float) -> None:
    each = [] if values.each is None else values.each
    for value in (values.secret, 0 if values.others is None else values.others, *each):
        _require_finite(what, [value])
        if not 0 <= value <= most:
            raise ValueError(f"a {what} of {value}")
    if values.each is not None and len(each) != n_features:
        raise ValueError(f"a {what} of {len(each)} features, of {n_features}")


def _require_finite(what: str, values: Iterable[float]) -> None:
    for value in values:
        if (isinstance(value, int) and abs(value) >= 2**63) or not math.isfinite(value):
            raise ValueError(f"{brief(value)} in {what}")


def _require_metrics(evaluation: Evaluation, metrics: Metrics | None) -> None:
    """Checks that the metrics follow from the runs."""
    expected = None if evaluation.why_no_score else evaluation.metrics
    if metrics is None or expected is None:
        agree = metrics is expected
    else:
        pairs = zip(asdict(metrics).values(), asdict(expected).values(), strict=True)
        agree = all(math.isclose(got, figure, abs_tol=_ROUNDING) for got, figure in pairs)
    if not agree:
        raise ValueError(f"metrics that are not its runs': {printable(str(metrics))}")


def _is_secret(secret: Sequence[int], n_features: int, secret_size: int) -> bool:
    is_ascending = all(before < after for before, after in pairwise([-1, *secret, n_features]))
    return is_ascending and len(secret) == secret_size
