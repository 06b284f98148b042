"""Searches and sweeps as fragments of HTML, for notebooks: tables of winners, trials and cells."""

from vecparity.analysis.text_table import Heading, TextTable
from vecparity.errors import in_number
from vecparity.evaluation.params import param_words
from vecparity.report import words
from vecparity.report.notebook import table
from vecparity.tuning.results import Search, Sweep, Trial, best_first
from vecparity.tuning.search_conclusions import note, outcomes, verdict
from vecparity.tuning.sweep_figures import CellFigures, figures_of_cells, in_words_of_sweep
from vecparity.tuning.value_axes import in_short

_MOST_TRIALS, _MOST_CELLS = 10, 60


def search_fragment(search: Search, /) -> str:
    """Returns the table of winners, if any were evaluated anew, and that of the best ten trials."""
    first, *rest = verdict(search)
    tables = [_winners(search, " ".join(rest))] if search.winners else []
    notes = [] if search.winners else rest
    return "\n".join(map(table, [_trials(search, first, notes), *tables]))


def _trials(search: Search, title: str, notes: list[str]) -> TextTable:
    columns = [Heading("trial", is_number=True), Heading("accuracy", is_number=True), Heading("steps", is_number=True)]
    columns += [Heading(name, is_number=True) for name in search.space]
    best = best_first(search.trials)[:_MOST_TRIALS]
    if len(search.trials) > len(best):
        notes = [*notes, f"The best {len(best)} of {len(search.trials):,} trials."]
    return TextTable(title, [*columns, Heading("note")], [_trial(search, trial) for trial in best], notes)


def _trial(search: Search, trial: Trial) -> list[str]:
    accuracy = words.MISSING if trial.accuracy is None else f"{trial.accuracy:.6f}"
    steps = words.MISSING if trial.mean_steps is None else f"{trial.mean_steps:,.0f}"
    values = [in_short(trial.params[name]) if name in trial.params else words.MISSING for name in search.space]
    return [str(trial.number), accuracy, steps, *values, note(trial)]


def _winners(search: Search, title: str) -> TextTable:
    columns = [Heading("winner"), Heading("values"), Heading("in the search", is_number=True), Heading("configuration")]
    columns += [Heading("anew", is_number=True), Heading("drop", is_number=True), Heading("verified")]
    rows = []
    for winner in search.winners:
        trial = winner.trial
        own = words.MISSING if trial.accuracy is None else f"{trial.accuracy:.6f}"
        of_trial = [f"trial {trial.number}", " ".join(param_words(trial.params)), own]
        for one in outcomes(search, winner):
            rows.append([*of_trial, one.label, one.figures, one.drop, one.verified])
            of_trial = ["", "", ""]
    return TextTable(title, columns, rows, [])


def sweep_fragment(sweep: Sweep, /) -> str:
    """Returns the table of the first sixty cells."""
    every = figures_of_cells(sweep)
    columns = [Heading(name, is_number=True) for name in sweep.axes]
    columns += [Heading("accuracy", is_number=True), Heading("steps", is_number=True), Heading("note")]
    left_out = len(every) - _MOST_CELLS
    notes = [f"{in_number(left_out, 'more cell')}."] if left_out > 0 else []
    title = " ".join(in_words_of_sweep(sweep, every))
    return table(TextTable(title, columns, [_cell(sweep, figures) for figures in every[:_MOST_CELLS]], notes))


def _cell(sweep: Sweep, figures: CellFigures) -> list[str]:
    cell = figures.cell
    values = [in_short(cell.values[name]) for name in sweep.axes]
    if cell.evaluation is None or figures.problem:
        return [*values, words.MISSING, words.MISSING, figures.problem]
    return [*values, words.accuracy(cell.evaluation), words.mean_steps(cell.evaluation), words.fails(cell.evaluation)]
