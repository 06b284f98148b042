"""The page about a search: its winners, history, slices, importances and trials in one file."""

from pathlib import Path

from markupsafe import Markup

from vecparity.evaluation.params import param_words
from vecparity.report import write_page
from vecparity.report.embedded import as_script
from vecparity.report.page import environment
from vecparity.report.svg import drawing
from vecparity.strategy.parameters import resolve
from vecparity.strategy.space import Range, Space
from vecparity.tuning import search_pictures as pictures
from vecparity.tuning.document import search_document
from vecparity.tuning.results import Search, Trial, best_first, distinct
from vecparity.tuning.search_conclusions import compared_by_steps, note, outcomes, verdict
from vecparity.tuning.value_axes import in_short, tell_apart

_MOST_BEST = 20
# Most values of a choice that the table of ranges names.
_MOST_LISTED = 20


def write_search_report(search: Search, path: str | Path) -> None:
    """Writes the page about a search to one file.

    Args:
        search: The search.
        path: The file to write. If writing fails, the file keeps its earlier content.

    Raises:
        UsageError: Matplotlib is not installed, or the path names no file.
        MachineError: The file cannot be written.
    """
    write_page(lambda: search_page(search), path)


def search_page(search: Search) -> str:
    """Returns the page about a search, self-contained.

    Raises:
        UsageError: Matplotlib is not installed.
    """
    marked = pictures.drawn(search.trials, len(search.space))
    compared, steps_sentence = compared_by_steps(search.trials)
    has_score = any(trial.state != "failed" for trial in search.trials)
    with drawing():
        accuracies = pictures.accuracy_history(search.trials, marked, "history") if search.trials else None
        steps = pictures.steps_history(compared, search.trials, marked, "steps") if compared else None
        slices = _slices(search, compared, marked) if has_score else {}
        importances = pictures.importances_of(search.importances, "importances") if search.importances else None
    ranked = best_first(distinct(search.trials))
    return (
        environment()
        .get_template("search.html.j2")
        .render(
            search=search,
            verdict=verdict(search),
            winners=[(winner, outcomes(search, winner)) for winner in search.winners],
            marked=marked,
            accuracies=accuracies,
            steps=steps,
            steps_sentence=steps_sentence,
            slices=slices,
            importances=importances,
            ranges=_ranges(search.space),
            defaults=resolve(search.strategy, {}).values,
            best=ranked[:_MOST_BEST],
            param_words=param_words,
            in_short=in_short,
            note=note,
            embedded=as_script(search_document(search)),
        )
    )


def _slices(search: Search, compared: list[Trial], marked: list[Trial]) -> dict[str, Markup]:
    return {
        name: pictures.slice_of(name, space, compared, marked, f"slice-{index}")
        for index, (name, space) in enumerate(search.space.items())
    }


def _ranges(space: Space) -> dict[str, str]:
    """Returns each parameter's range in words."""
    found: dict[str, str] = {}
    for name, each in space.items():
        if isinstance(each, Range):
            kind = "whole numbers" if each.is_whole else "numbers"
            by = ", by orders of magnitude" if each.log else ""
            found[name] = f"{kind} from {in_short(each.low)} to {in_short(each.high)}{by}"
        else:
            left_out = len(each.values) - _MOST_LISTED
            more = f" and {left_out} more" if left_out > 0 else ""
            found[name] = f"one of {', '.join(tell_apart(each.values)[:_MOST_LISTED])}{more}"
    return found
