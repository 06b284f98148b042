"""The report's page: fills the template with pictures and tables of each configuration."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from vecparity.errors import UsageError, visible
from vecparity.evaluation.result import Evaluation
from vecparity.evaluation.summary import verification
from vecparity.history import reproduction
from vecparity.report import feature_tables, heat_maps, words
from vecparity.report.conclusions import conclude
from vecparity.report.curves import Median, median, points_per_run
from vecparity.report.embedded import embedded
from vecparity.report.learning_curves import learning_curves
from vecparity.report.run_pictures import ends, first_layers
from vecparity.report.secret_pictures import accuracies, losses
from vecparity.report.series import Series, shortened, tell_apart
from vecparity.report.sources import listings
from vecparity.report.strategy_picture import accuracy_by_n, has_line
from vecparity.report.strategy_results import strategy_results
from vecparity.report.svg import drawing

# Most rows of a table of medians.
_MOST_ROWS = 60


@dataclass(frozen=True)
class Section:
    """One configuration's part of the page. A picture is None if there is nothing to draw.

    ``points_per_run`` is None if curves are drawn with all of their points.
    """

    label: str
    series: list[Series]
    loss: Markup | None
    accuracy: Markup | None
    accuracies: Markup
    losses: Markup | None
    ends: Markup
    first_layers: Markup | None
    densities: list[Markup | None]
    weights: list[Markup | None]
    points_per_run: int | None

    @property
    def colours_repeat(self) -> bool:
        return len({entry.number for entry in self.series}) < len(self.series)


def html(evaluations: Sequence[Evaluation], sources: Collection[bytes] = ()) -> str:
    """Returns the report as one self-contained page.

    Args:
        evaluations: In any order; evaluations with the same N and K are shown together. Strategies are compared with
            that of the first.
        sources: Sources of the evaluations' strategies, as far as they are known; those of bundled strategies are.

    Raises:
        UsageError: There are no evaluations, or Matplotlib is not installed.
    """
    if not evaluations:
        raise UsageError("a report needs at least one evaluation, got none")
    every = tell_apart(evaluations)
    labels = dict.fromkeys(entry.evaluation.config.label for entry in every)
    with drawing():
        sections = [
            _section(label, [entry for entry in every if entry.evaluation.config.label == label]) for label in labels
        ]
        results = strategy_results(every)
        by_n = accuracy_by_n(results, "strategies")
    template = environment().get_template("report.html.j2")
    return template.render(
        every=every,
        sections=sections,
        results=results,
        conclusions=conclude(results),
        by_n=by_n,
        listings=listings(results, sources),
        embedded=embedded(evaluations),
    )


def environment() -> Environment:
    """Returns the environment that loads the templates. It escapes evaluations' text: names are untrusted input.

    That is HTML, and what cannot be printed, such as marks that reverse the direction of writing.
    """
    templates = Environment(
        loader=PackageLoader("vecparity.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals |= {
        "words": words,
        "verification": verification,
        "reproduction": reproduction,
        "medians": medians,
        "feature_tables": feature_tables,
        "has_line": has_line,
    }
    templates.filters["shortened"] = shortened
    return templates


def _one_line(value: object) -> object:
    return visible(value) if type(value) is str else value  # and not what is HTML already


def medians(evaluation: Evaluation) -> tuple[list[tuple[int, float, float, int]], int]:
    """Returns the rows of a table: step, median loss, median accuracy, live runs.

    Returns:
        The rows, about 60 at most and always with the last window, and the number of windows for each row.
    """
    middle: Median = median(evaluation)
    rows = list(zip(middle.step, middle.loss, middle.accuracy, middle.live, strict=True))
    stride = max(1, -(-len(rows) // _MOST_ROWS))
    last = rows[-1:] if (len(rows) - 1) % stride else []
    return [*rows[::stride], *last], stride


def _section(label: str, series: list[Series]) -> Section:
    evaluations = [entry.evaluation for entry in series]
    windows = [len(run.curve.step) for evaluation in evaluations for run in evaluation.curves]
    has_curves, points = any(windows), points_per_run(len(windows))
    most = heat_maps.largest_weight(evaluations)
    return Section(
        label=label,
        series=series,
        loss=learning_curves(series, "loss", f"{label}-loss") if has_curves else None,
        accuracy=learning_curves(series, "accuracy", f"{label}-accuracy") if has_curves else None,
        accuracies=accuracies(series, f"{label}-accuracies"),
        losses=losses(series, f"{label}-losses") if has_curves else None,
        ends=ends(series, f"{label}-ends"),
        first_layers=first_layers(series, f"{label}-layers") if any(e.first_layers for e in evaluations) else None,
        densities=[heat_maps.density(evaluation, f"{label}-density-{i}") for i, evaluation in enumerate(evaluations)],
        weights=[
            heat_maps.weights(evaluation, most, f"{label}-weights-{i}") for i, evaluation in enumerate(evaluations)
        ],
        points_per_run=points if max(windows) > points else None,
    )
