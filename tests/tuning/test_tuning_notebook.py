"""Searches and sweeps as a notebook shows them."""

from dataclasses import replace

from browser import Watched, rows, started
from searches import SPACE, search, trials
from sweeps import sweep, with_failures

import vecparity.api  # noqa: F401  attaches `_repr_html_`
from vecparity.errors import MachineError, visible
from vecparity.strategy.parameters import Value
from vecparity.tuning.results import Winner, best_first

MARKUP = "<script>alert(1)</script>\u202e<b>"


def test_a_search_shows_its_best_trials_and_its_winners() -> None:
    given = search(50)
    fragment = given._repr_html_()
    assert fragment.count("<table") == 2
    with started() as browser:
        watched = Watched(browser)
        watched.page.set_content(fragment)
        best, winners = (rows(watched.page, f"table >> nth={index}") for index in range(2))
        assert [row[0] for row in best] == [str(one.number) for one in best_first(given.trials)[:10]]
        assert all(len(row) == 3 + len(SPACE) + 1 for row in best)
        assert [row[0] for row in winners] == [f"trial {best[0][0]}", "", f"trial {best[1][0]}", ""]
        assert [row[3] for row in winners] == ["n32-k8", "n50-k8"] * 2
        assert winners[0][4].startswith("0.980000 ± ") and winners[0][5:] == ["+0.020000", "verified (sealed)"]
        texts = watched.page.locator("p").all_inner_texts()
        assert texts[0].startswith("50 trials of mine on n32-k8: ")
        assert "The best 10 of 50 trials." in texts
        assert any(text.startswith("Evaluated anew under a fresh seal, trial ") for text in texts)
        assert (watched.requests, watched.complaints) == ([], [])


def test_a_search_without_winners_says_so() -> None:
    fragment = search(5, num_winners=0)._repr_html_()
    assert fragment.count("<table") == 1
    assert "No trial was evaluated anew" in fragment and "The best" not in fragment


def test_a_sweep_shows_sixty_cells_at_most() -> None:
    given = with_failures(sweep())
    with started() as browser:
        watched = Watched(browser)
        watched.page.set_content(given._repr_html_())
        shown = rows(watched.page, "table")
        assert [row[:2] for row in shown] == [[f"{one.values['lr']:g}", f"{one.values['wd']:g}"] for one in given.cells]
        assert shown[0][2:] == ["—", "—", "memory ran out: <b>no</b>"]
        assert "diverged" in shown[1][-1]
        first = given.cells[2].evaluation
        assert first and shown[2][2].startswith(f"{first.metrics.test_accuracy:.6f} ± ")
        assert (watched.requests, watched.complaints) == ([], [])
    wide: dict[str, tuple[Value, ...]] = {"wd": tuple(number / 61 for number in range(61))}
    assert sweep(wide)._repr_html_().count("<tr>") == 1 + 60
    assert "<p>1 more cell.</p>" in sweep(wide)._repr_html_()


def test_strange_names_are_escaped() -> None:
    named = replace(search(1).strategy, name=MARKUP)
    failed = Winner(trials(1)[0], named, [], {"n32-k8": MachineError(MARKUP)})
    fragments = [
        replace(search(30), strategy=named, winners=[failed])._repr_html_(),
        replace(with_failures(sweep()), strategy=named)._repr_html_(),
    ]
    for fragment in fragments:
        assert "<script" not in fragment and "<b>" not in fragment
        assert visible(MARKUP).replace("<", "&lt;").replace(">", "&gt;") in fragment
