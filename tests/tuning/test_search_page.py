"""The page about a search: its words, tables, pictures and data, as text and in a browser."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from browser import OUTSIDE, WIDE, Watched, colour, contrast, rows, started
from made import diverged, made
from playwright.sync_api import Browser, Page
from searches import SPACE, STRATEGY, ends_of, search, trials

from vecparity.errors import MachineError, UsageError
from vecparity.report.svg import drawing
from vecparity.strategy.rewriting import with_defaults
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Choice, Range, Space
from vecparity.tuning import search_pictures as pictures
from vecparity.tuning.results import Search, Trial, Winner, best_first
from vecparity.tuning.search_conclusions import compared_by_steps, outcomes, verdict
from vecparity.tuning.search_page import search_page, write_search_report

MEGABYTE = 1_000_000
NAME = "<script>alert(1)</script>"


def trial(number: int, accuracy: float | None = 1.0, steps: float | None = 2_000.0, **fields: Any) -> Trial:
    state = "failed" if accuracy is None else "complete"
    made_trial = Trial(number, {"lr": 0.01 * (number + 1)}, state, accuracy, steps if accuracy else None, 100)  # type: ignore[arg-type]
    return replace(made_trial, **fields)


def titles(picture: str | None) -> list[str]:
    assert picture
    return [title.text or "" for title in ElementTree.fromstring(picture).iter("title")]


def test_trials_are_ordered_by_accuracy_then_steps_then_state() -> None:
    every = [
        trial(0, None),
        trial(1, 0.9),
        trial(2, 1.0, 3_000),
        trial(3, 1.0, 2_000),
        trial(4, 1.0, state="dropped", num_runs=3),
        trial(5, 1.0, 2_000),
    ]
    assert [one.number for one in best_first(every)] == [3, 5, 2, 1, 4, 0]
    compared, sentence = compared_by_steps(every)
    assert ([one.number for one in compared], "3 trials that share the best accuracy, 1.0000" in sentence) == (
        [2, 3, 5],
        True,
    )
    compared, sentence = compared_by_steps(every[:4])
    assert ([one.number for one in compared], "fewer than 3 share" in sentence) == ([1, 2, 3], True)
    assert compared_by_steps(every[:1])[0] == []


def test_the_verdict_tells_the_outcome_and_the_drop() -> None:
    leading, rescored = verdict(search())
    assert leading.startswith(
        "40 trials of mine on n32-k8: 33 complete, 6 dropped by the race, 1 failed. In the search,"
    )
    assert re.search(
        r"the best is trial \d+: accuracy 1\.0000 in [\d,]+ steps; 18 trials share this accuracy\.$", leading
    )
    assert rescored.startswith("Evaluated anew under a fresh seal, trial ")
    assert " has 0.9800 (95% interval 0.9552 to 1.0000) on n32-k8, 0.8000 (" in rescored
    assert rescored.endswith(": on n32-k8, 0.0200 less than in the search.")


def test_without_winners_or_trials_the_verdict_says_so() -> None:
    assert "No trial was evaluated anew" in verdict(search(num_winners=0))[1]
    assert verdict(search(0))[0].endswith(
        "0 trials of mine on n32-k8: 0 complete. No trial is complete, so there is no best one."
    )
    one = search(trials=[trial(0)], winners=[])
    assert verdict(one)[0].endswith("1 complete. In the search, the best is trial 0: accuracy 1.0000 in 2,000 steps.")


def test_a_winner_may_gain_keep_or_have_no_score() -> None:
    def of(accuracy: float, *evaluations: Any, **errors: Any) -> Search:
        best = trial(3, accuracy)
        return search(winners=[Winner(best, with_defaults(STRATEGY, best.params), list(evaluations), errors)])

    same = made("mine", ends_of([0.9, 0.95, 0.85]), seed=7)
    assert "under seed 7, trial 3 has 0.9000" in verdict(of(0.8, same))[1]
    assert verdict(of(0.8, same))[1].endswith("on n32-k8, 0.1000 more than in the search.")
    assert verdict(of(0.9, same))[1].endswith("on n32-k8, as much as in the search.")
    elsewhere = made("mine", ends_of([0.9, 0.95, 0.85]), "n50-k8")
    assert verdict(of(0.9, elsewhere))[1].endswith("on n50-k8.")
    assert verdict(of(0.9, diverged(same)))[1] == "Evaluated anew, trial 3 has no score."
    broken = of(0.9, elsewhere, **{"n32-k8": MachineError("no <b>memory</b>")})
    own, other = outcomes(broken, broken.winners[0])
    assert (own.label, own.has_score, own.drop, own.figures) == ("n32-k8", False, "—", "no score: no <b>memory</b>")
    assert (other.figures, other.verified) == ("0.900000 ± 0.040825, 2,125 steps", "unverified (not audited)")


def test_every_trial_has_a_mark_in_history_and_slices() -> None:
    every = trials(60)
    with drawing():
        history = titles(pictures.accuracy_history(every, every, "p"))
        compared, _ = compared_by_steps(every)
        steps = titles(pictures.steps_history(compared, every, every, "p"))
        slices = {name: titles(pictures.slice_of(name, SPACE[name], compared, every, "p")) for name in SPACE}
    assert sorted(int(text.split()[1].rstrip(":")) for text in history) == list(range(60))
    by_number = {int(text.split()[1].rstrip(":")): text for text in history}
    for one in every:
        words = by_number[one.number]
        assert ("failed" in words) == (one.state == "failed")
        assert ("dropped after 12 runs" in words) == (one.state == "dropped")
        assert one.accuracy is None or f"accuracy {one.accuracy:.4f}, {one.mean_steps:,.0f} steps" in words
        assert f"lr={float(one.params['lr']):.4g}" in words
    assert len(steps) == len(compared) == sum(one.accuracy == 1.0 for one in every)
    for name, shown in slices.items():
        assert len(shown) == 60 + len(compared)
        assert all(f", {name} " in text for text in shown)


def test_many_trials_are_thinned_but_not_the_best_or_the_line() -> None:
    every = trials(3_000)
    marked = pictures.drawn(every, 4)
    assert 390 <= len(marked) <= 400
    assert {one.number for one in best_first(every)[:200]} <= {one.number for one in marked}
    assert [one.number for one in marked] == sorted(one.number for one in marked)
    assert {one.state for one in marked} == {"complete", "dropped", "failed"}
    assert pictures.drawn(every[:400], 4) == every[:400]
    assert len(pictures.drawn(every, 100)) == 60
    text = search_page(search(trials=every))
    assert f"{len(marked)} of 3,000 trials are drawn" in text
    assert "trials are drawn:" not in search_page(search(40))


def test_importances_have_their_numbers() -> None:
    with drawing():
        picture = pictures.importances_of({"lr": 0.75, "wd": 0.25}, "p")
    assert titles(picture) == ["wd: 0.2500", "lr: 0.7500"]
    assert {"0.75", "0.25", "lr", "wd"} <= set(re.findall(r"<text[^>]*>([^<]*)</text>", picture))


def test_what_there_is_none_of_is_said() -> None:
    text = search_page(search(0))
    for sentence in ("There are no trials.", "No trial has a score.", "No trial was evaluated anew."):
        assert sentence in text
    assert "There are too few trials to tell which parameters matter." in search_page(search(5, importances={}))
    failed = search_page(search(trials=[trial(0, None, error="out of memory")], winners=[]))
    assert "failed: out of memory" in failed and "No trial has a score." in failed


def test_ranges_of_all_kinds_are_drawn_and_told() -> None:
    space: Space = {
        "lr": Range(0.02, 0.05, log=True),
        "one": Range(0.031, 0.039, log=True),
        "width": Range(1, 5),
        "flag": Choice(True, False),
        "mixed": Choice(1, 1.5, "1", "", "x" * 200),
        "many": Choice(*(f"choice {number}" for number in range(60))),
    }
    text = search_page(search(30, space=space, num_winners=0))
    assert '<td data-label="range" class="values">numbers from 0.02 to 0.05, by orders of magnitude</td>' in text
    assert "whole numbers from 1 to 5<" in text
    assert "choice 19 and 40 more<" in text
    for name, shown in _ticks(text).items():
        assert len(shown) >= 2 and len(set(shown)) == len(shown), (name, shown)
    assert _ticks(text)["mixed"][:4] == ["1", "1.5", "'1'", "''"]
    assert len(_ticks(text)["many"]) <= 26


def _ticks(text: str) -> dict[str, list[str]]:
    """The labels of each slice's horizontal axis, by the parameter's name."""
    found = re.findall(r"<figcaption>(\w+)</figcaption>(<svg.*?</svg>)", text, re.DOTALL)
    axes = {}
    for name, picture in found:
        lower = ElementTree.fromstring(picture).findall("g/g")[-1]
        shown = [element.text or "" for element in lower.iter("text")]
        axes[name] = shown[: next(i for i, label in enumerate(shown) if label.partition(" (log")[0] == name)]
    return axes


def test_the_pages_data_is_the_search() -> None:
    given = search(50)
    content = data(search_page(given))
    assert [(one["number"], one["params"], one.get("accuracy")) for one in content["trials"]] == [
        (one.number, one.params, one.accuracy) for one in given.trials
    ]
    assert content["trials"][24]["error"].endswith("<b>no</b>")
    assert content["space"]["lr"] == "0.001:0.1:log"
    first = content["winners"][0]
    assert first["trial"] == given.winners[0].trial.number
    assert [one["metrics"]["test_accuracy"] for one in first["evaluations"]] == [
        one.metrics.test_accuracy for one in given.winners[0].evaluations
    ]
    assert first["evaluations"][0]["accuracy_by_secret"] == pytest.approx([0.97, 0.98, 0.99])


def data(text: str) -> Any:
    (found,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


@pytest.mark.parametrize(("number", "most"), [(200, MEGABYTE), (2_000, 2 * MEGABYTE)])
def test_it_can_be_sent(number: int, most: int) -> None:
    text = search_page(search(number, num_winners=5))
    assert len(text.encode()) < most
    assert len(data(text)["trials"]) == number


def test_wrong_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="the report must be written to a file, got '/'"):
        write_search_report(search(1), "/")
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"could not be written to .*page\.html: Not a directory$"):
        write_search_report(search(1), tmp_path / "file" / "page.html")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="need Matplotlib, which is not installed"):
        write_search_report(search(1), tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


def opened(browser: Browser, given: Search, path: Path, width: int = 1200) -> tuple[Watched, Page]:
    write_search_report(given, path)
    watched = Watched(browser, width=width)
    watched.page.goto(path.as_uri())
    return watched, watched.page


def test_it_asks_for_nothing_and_its_tables_are_the_search(browser: Browser, tmp_path: Path) -> None:
    given = search(50)
    watched, page = opened(browser, given, tmp_path / "page.html")
    assert (watched.requests, watched.complaints) == ([(tmp_path / "page.html").as_uri()], [])
    assert page.title() == "vecparity: search of mine"
    for picture in page.locator("figure svg").all():
        box = picture.bounding_box()
        assert box is not None and box["width"] > 300 and box["height"] > 50
        assert picture.get_attribute("aria-label")
    assert page.locator("figure svg").count() == 2 + 4 + 1
    every = rows(page, "[aria-label='all trials'] table")
    assert [row[0] for row in every] == [str(number) for number in range(50)]
    assert every[24][1:3] == ["—", "—"] and every[24][-1].endswith("ValueError: <b>no</b>")
    best = rows(page, "[aria-label='best trials'] table")
    assert [row[0] for row in best] == [str(one.number) for one in best_first(given.trials)[:20]]
    winners = rows(page, "[aria-label=winners] table")
    assert [row[3] for row in winners] == ["n32-k8", "n50-k8"] * 2
    assert [row[5] for row in winners] == ["+0.020000", "—"] * 2
    assert winners[0][4].startswith("0.980000 ± ") and winners[0][6] == "verified (sealed)"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        paper = colour(page, "body", "backgroundColor")
        for selector, what in (("h1", "color"), (".soft", "color"), ("thead th", "color"), ("figure text", "fill")):
            assert contrast(colour(page, selector, what), paper) >= 4.5


def test_strange_names_are_shown_as_they_are_at_360_pixels(browser: Browser, tmp_path: Path) -> None:
    long = "a_parameter_of_a_very_long_name_that_needs_to_be_shortened"
    space: Space = {long: Choice(NAME, "W" * 200), "lr": Range(1e-3, 1e-1, log=True)}
    named = replace(Strategy.from_source(f"def init_model(m, c, *, {long}=1, lr=1): ..."), name=NAME)
    given = search(30, space=space, strategy=named, num_winners=0, importances={long: 1.0})
    failed = Winner(trial(0), named, [], {"n32-k8": MachineError(NAME)})
    given = replace(given, winners=[failed])
    watched, page = opened(browser, given, tmp_path / "page.html", width=360)
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert watched.complaints == []
    assert page.locator("h1").inner_text() == f"Search of {NAME}"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(WIDE) == []
    assert rows(page, "[aria-label=winners] table")[0][4] == f"no score: {NAME}"
