"""The output of ``vecparity search``: the winners as a table, or everything as JSON."""

from collections.abc import Iterator
from typing import Any

from vecparity.cli.fitted_table import Column
from vecparity.cli.output import Format, show, show_json, show_records
from vecparity.errors import in_number
from vecparity.evaluation.params import param_words
from vecparity.progress.table import duration
from vecparity.tuning.document import search_document
from vecparity.tuning.results import Search, Winner, trials_in_words
from vecparity.tuning.value_axes import in_short


def show_search(found: Search, format_: Format, *, wide: bool) -> None:
    """Prints a search's winners beside the search's own figures; as JSON, everything."""
    if format_ == "json":
        show_json(search_document(found))
        return
    columns = _columns(found)
    records = [_record(winner, found.config.label) for winner in found.winners]
    if format_ != "table":
        show_records(records, columns, format_)
        return
    show(*_sentences(found))
    if records:
        show_records(records, columns, format_, f"the best {len(records)}, evaluated anew {_secrecy(found)}", wide=wide)


def _sentences(found: Search) -> Iterator[str]:
    runs = f"each {in_number(found.config.num_runs, 'run')} of {found.config.label}"
    yield f"{trials_in_words(found.trials)}, {runs}; this sitting took {duration(found.seconds)}"
    if ranked := found.ranked:
        best = ranked[0]
        yield (
            f"best in the search: trial {best.number}, accuracy {best.accuracy:.6f}, {best.mean_steps:,.0f} steps, "
            f"with {' '.join(param_words(best.params))}"
        )
    else:
        yield "no trial has a score"
    if found.importances:
        shares = ", ".join(f"{name} {share:.2f}" for name, share in found.importances.items())
        yield f"what tells the best tenth from the others: {shares}"


def _secrecy(found: Search) -> str:
    provenance = next((own.provenance for winner in found.winners for own in winner.evaluations), None)
    if provenance is None:
        return "in vain"
    return "under a fresh seal" if provenance.seal else f"on the secrets of seed {provenance.seed}"


def _columns(found: Search) -> dict[str, Column]:
    labels = dict.fromkeys(
        label
        for winner in found.winners
        for label in [*(own.config.label for own in winner.evaluations), *winner.errors]
    )
    figures = {
        "trial": Column("trial", is_number=True),
        "searched": Column("searched", _accuracy, is_number=True),
        **{label: Column(label, _accuracy, is_number=True) for label in labels},
        "drop": Column("drop", lambda drop: f"{drop:+.6f}", is_number=True, rank=1),
        "steps": Column("steps", lambda steps: f"{steps:,.0f}", is_number=True, rank=2),
    }
    others = {
        "sha256": Column("source", lambda digest: str(digest[:8]), rank=5),
        "errors": Column("errors", rank=4),
    }
    # A parameter may have the name of a figure.
    taken = {column.heading for column in (figures | others).values()}
    values = {
        f"param {name}": Column(f"param_{name}" if name in taken else name, in_short, is_number=True, rank=3)
        for name in found.space
    }
    return {**figures, **values, **others}


def _record(winner: Winner, searched: str) -> dict[str, Any]:
    """Returns a winner's figures; its drop is from the search's own figure to that of the same configuration."""
    accuracies = {own.config.label: own.metrics.test_accuracy for own in winner.evaluations}
    steps = [own.metrics.mean_steps for own in winner.evaluations]
    trial = winner.trial
    return {
        "trial": trial.number,
        "searched": trial.accuracy,
        **accuracies,
        "drop": None if searched not in accuracies else (trial.accuracy or 0.0) - accuracies[searched],
        "steps": sum(steps) / len(steps) if steps else None,
        **{f"param {name}": value for name, value in trial.params.items()},
        "sha256": winner.strategy.sha256,
        "errors": "; ".join(f"{label}: {error}" for label, error in winner.errors.items()) or None,
    }


def _accuracy(value: float) -> str:
    return f"{value:.6f}"
