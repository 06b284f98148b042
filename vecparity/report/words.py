"""Figures as text for a report."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from vecparity.analysis.difference import Difference
from vecparity.evaluation.params import param_words
from vecparity.evaluation.result import Evaluation
from vecparity.report.series import Series, place

MISSING = "—"
# Figures below the first are shown as "less than"; figures from the second on have no fraction.
_LEAST, _WHOLE = 0.0001, 1000


@dataclass(frozen=True)
class RunCell:
    """One run in the table of accuracies.

    Attributes:
        shown: Its accuracy, or "diverged".
        title: The long form.
        shade: 0 (chance) to 10 (all correct), or None.
    """

    shown: str
    title: str
    shade: int | None


def accuracy(evaluation: Evaluation) -> str:
    """Returns the score with its deviation, or "no score"; adds the reason unless `fails` gives it."""
    if evaluation.diverged:
        return f"no score: {len(evaluation.diverged)} of {len(evaluation.curves)} runs diverged"
    if evaluation.why_no_score:
        return "no score"
    metrics = evaluation.metrics
    return f"{metrics.test_accuracy:.6f} ± {metrics.test_accuracy_std:.6f}"


def fails(evaluation: Evaluation) -> str:
    """Returns the failed audits as text to show beside the evaluation's figures; empty if none failed."""
    return f"fails {', '.join(evaluation.failed_audits)}" if evaluation.failed_audits else ""


def parameters(evaluation: Evaluation) -> str:
    return " ".join(param_words(evaluation.provenance.params)) or MISSING


def mean_steps(evaluation: Evaluation) -> str:
    return MISSING if evaluation.why_no_score else f"{evaluation.metrics.mean_steps:,.0f}"


def cells(evaluation: Evaluation) -> list[list[RunCell]]:
    """Returns the runs' accuracies, one row for each secret and one column for each ordering."""
    config = evaluation.config
    rows = [[RunCell(MISSING, "no such run", None)] * config.num_orderings for _ in range(config.num_hidden_secrets)]
    for run in evaluation.results:
        title = f"{place(run.secret_index, run.order_index)}: accuracy {run.test_accuracy:.6f}, {run.steps:,} steps"
        shade = round(10 * min(1.0, max(0.0, 2 * run.test_accuracy - 1)))
        rows[run.secret_index][run.order_index] = RunCell(f"{run.test_accuracy:.4f}", title, shade)
    for broken in evaluation.diverged:
        title = f"{place(broken.secret_index, broken.order_index)}: diverged at step {broken.step:,}"
        rows[broken.secret_index][broken.order_index] = RunCell("diverged", title, None)
    return rows


def span(values: Iterable[float | None], form: str) -> str:
    """Returns the range of the values as text, or the single value if all are equal."""
    known = [value for value in values if value is not None]
    if not known:
        return MISSING
    least, greatest = format(min(known), form), format(max(known), form)
    return least if least == greatest else f"{least} to {greatest}"


def patterns(evaluation: Evaluation) -> str:
    """Returns the number of patterns of a secret's bits, as text."""
    size = evaluation.config.secret_size
    return f"{2**size:,}" if size <= 20 else f"2^{size}"


def layer_sentence(evaluation: Evaluation) -> str:
    """Describes the mean |weights| of the first layers."""
    weights = [layer.mean_abs_weight for layer in evaluation.first_layers]
    if not weights:
        return "no run has come to its end"
    secret = fmean(weight.secret for weight in weights)
    others = [weight.others for weight in weights if weight.others is not None]
    if not others:
        return f"{_plain(secret)} on the secret's features; there are no others"
    mean = fmean(others)
    ratio = f": {_times(secret / mean)} as much" if secret and mean else ""
    return f"{_plain(secret)} on the secret's features, {_plain(mean)} on the others{ratio}"


def differences(series: list[Series]) -> str:
    """Lists the settings in which the evaluations of one section differ, if any."""
    settings = [
        asdict(entry.evaluation.config) | {"protocol": entry.evaluation.provenance.protocol} for entry in series
    ]
    return "; ".join(
        f"{name} " + ", ".join(f"{entry.name} {of_one[name]}" for entry, of_one in zip(series, settings, strict=True))
        for name in settings[0]
        if len({of_one[name] for of_one in settings}) > 1
    )


def wall_time(series: Sequence[Series]) -> str:
    """Says how long a configuration's evaluations took; those that were trained together have the same time."""
    names_by_seconds: dict[float, list[str]] = {}
    for entry in series:
        names_by_seconds.setdefault(entry.evaluation.provenance.wall_seconds, []).append(entry.name)
    if len(names_by_seconds) == 1:
        together = ", all evaluations together" if len(series) > 1 else ""
        return f"Wall time: {next(iter(names_by_seconds)):.1f} s{together}."
    times = "; ".join(f"{' and '.join(names)} {seconds:.1f} s" for seconds, names in names_by_seconds.items())
    return f"Wall time: {times}."


def difference(difference: Difference, form: str) -> str:
    """Returns a difference with its interval, and whether it is real."""
    if difference.is_real is None:
        return f"{difference.difference:{form}} (too few secrets to tell)"
    interval = difference.interval
    ends = f"{interval.low:{form}} to {interval.high:{form}}" if interval else "no interval"
    return f"{difference.difference:{form}} ({ends}), {'real' if difference.is_real else 'not real'}"


def tally(difference: Difference) -> str:
    """Returns the numbers of secrets that were won, lost and tied; a dash if the secrets are not the same."""
    counts = difference.tally
    return f"{counts.wins}, {counts.losses}, {counts.ties}" if counts else MISSING


def _plain(weight: float) -> str:
    """Formats a weight with four digits and no powers of ten."""
    if not weight:
        return "none"
    if weight < _LEAST:
        return f"less than {_LEAST}"
    return f"{weight:,.0f}" if weight >= _WHOLE else f"{weight:.4g}"


def _times(ratio: float) -> str:
    """Formats a ratio with three digits and no powers of ten."""
    rounded = float(f"{ratio:.3g}")
    if rounded == 1:
        return "about"
    if rounded < _LEAST:
        return f"less than {_LEAST} times"
    return f"{rounded:,.0f} times" if rounded >= _WHOLE else f"{rounded:g} times"
