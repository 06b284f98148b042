"""``vecparity show``: prints one recorded evaluation."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from math import ceil
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich import box
from rich.console import Console, ConsoleOptions
from rich.table import Table

from vecparity.cli.arguments import Switch
from vecparity.cli.output import show as show_on_output
from vecparity.cli.output import show_json
from vecparity.errors import UsageError

if TYPE_CHECKING:
    from vecparity.evaluation.result import Evaluation
    from vecparity.history.store import Recorded

# Cells of an ordering's column: an accuracy and the blanks before it.
_ORDERING = 7


def show(
    id_: Annotated[str, Parameter(name="ID")],
    /,
    *,
    source: Switch = False,
    json: Switch = False,
    wide: Switch = False,
    history: Path | None = None,
) -> int:
    """Print one recorded evaluation.

    Args:
        id_: The evaluation's id, as listed by vecparity history, or latest for the newest.
        source: Print only the strategy's source: byte for byte, but on a terminal with control characters as escapes.
        json: Print the whole evaluation as JSON, as vecparity eval writes it to an output directory.
        wide: Show all columns, though tables are wider than the terminal.
        history: The file in which the evaluation is recorded; by default one in the user's data directory.
    """
    from vecparity.cli import tables
    from vecparity.evaluation import serialization
    from vecparity.history.references import look_up, require_id
    from vecparity.history.store import History

    if source and json:
        raise UsageError("expected --source or --json, got both")
    require_id(id_)
    with History(history) as opened:
        recorded = look_up(opened, id_)
    if source:
        _show_source(recorded)
    elif json:
        show_json(serialization.to_document(recorded.evaluation))
    else:
        row = recorded.entry.label, recorded.evaluation
        show_on_output(tables.results([row], "--wide shows all"), wide=wide)
        for sentence in _against_it(recorded.evaluation):
            show_on_output(sentence)
        show_on_output(_Runs(recorded.evaluation), wide=wide)
        show_on_output(_facts(recorded))
    return 0


def _show_source(recorded: "Recorded") -> None:
    if recorded.source is None:
        raise UsageError(
            f"evaluation {recorded.entry.id} was imported without its source: expected the file whose SHA-256 is "
            f"{recorded.entry.strategy_sha256} from who made it"
        )
    if sys.stdout.isatty():
        show_on_output(*recorded.source.decode(errors="backslashreplace").expandtabs().splitlines())
    else:
        sys.stdout.buffer.write(recorded.source)
        sys.stdout.buffer.flush()


def _against_it(evaluation: "Evaluation") -> list[str]:
    """Returns the reason why there is no score, or else the failed audits."""
    if problem := evaluation.why_no_score:
        return [f"no score: {problem}"]
    failed = evaluation.failed_audits
    return [f"fails {', '.join(failed)}"] if failed else []


class _Runs:
    """Renderable tables of every run's test accuracy by secret and ordering: as few as the orderings need."""

    def __init__(self, evaluation: "Evaluation") -> None:
        self._evaluation = evaluation

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        orderings = range(self._evaluation.config.num_orderings)
        beside = console.measure(_runs(self._evaluation, []), options=options).maximum
        most = max(1, (options.max_width - beside) // _ORDERING)
        size = ceil(len(orderings) / ceil(len(orderings) / most))
        for first in range(0, len(orderings), size):
            yield _runs(self._evaluation, orderings[first : first + size])


def _runs(evaluation: "Evaluation", orderings: Iterable[int]) -> Table:
    rows = Table(title="test accuracy by ordering", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in ("secret", "rows", "steps", *map(str, orderings)):
        rows.add_column(heading, justify="right", no_wrap=True)
    ended = {(run.secret_index, run.order_index): f"{run.test_accuracy:.3f}" for run in evaluation.results}
    ended |= {(run.secret_index, run.order_index): "div." for run in evaluation.diverged}
    for data in evaluation.datasets:
        steps = [run.steps for run in evaluation.results if run.secret_index == data.secret_index]
        mean_steps = f"{fmean(steps):,.0f}" if steps else "—"
        runs = [ended[data.secret_index, ordering] for ordering in orderings]
        rows.add_row(str(data.secret_index), f"{data.num_examples:,}", mean_steps, *runs)
    return rows


def _facts(recorded: "Recorded") -> Table:
    """Tabulates the evaluation's provenance, settings, findings and reproduction, one fact a line."""
    from vecparity.evaluation.params import param_words
    from vecparity.evaluation.summary import verification
    from vecparity.history import reproduction
    from vecparity.task.seeds import kept_key

    rows = Table(show_header=False, box=None)
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    evaluation = recorded.evaluation
    entry = recorded.entry
    facts = {"evaluation": entry.id, "recorded": f"{entry.recorded_at}{', imported' if entry.is_imported else ''}"}
    facts |= {"note": entry.note or ""}
    provenance = evaluation.provenance
    facts |= asdict(provenance) | {
        "wall_seconds": round(provenance.wall_seconds, 1),
        "params": " ".join(param_words(provenance.params)),
        "origin": "" if provenance.origin == "file" else provenance.origin,
    }
    if provenance.seal is not None and (key := kept_key(provenance.seal)).exists():
        facts |= {"key": str(key)}
    facts |= asdict(evaluation.config)
    facts |= {"score": verification(evaluation)}
    facts |= {f"audit: {found.name}": f"{found.verdict}: {found.summary}" for found in evaluation.findings}
    facts |= {"made again by": reproduction.command(evaluation), "where": " ".join(reproduction.notes(evaluation))}
    for name, value in facts.items():
        if value != "":
            rows.add_row(name, "—" if value is None else str(value))
    return rows
