import sys
from dataclasses import replace

import pytest
from browser import Watched, rows, started
from made import changed, published

from vecparity import Comparison, Evaluation, Evaluations, compare, leaderboard
from vecparity.errors import visible
from vecparity.report.small_curves import small_curves
from vecparity.training.curve import Curve


def test_an_evaluation_shows_itself_in_the_notebooks_colours(evaluation: Evaluation) -> None:
    fragment = evaluation._repr_html_()
    assert f"{evaluation.metrics.test_accuracy:.6f}" in fragment
    with started() as browser:
        watched = Watched(browser)
        for ink in ("rgb(225, 225, 225)", "rgb(20, 20, 20)"):
            watched.page.set_content(f"<p>before</p><div style='color:{ink}'>{fragment}</div>")
            texts = watched.page.locator("figure text, td")
            assert texts.count() > 20
            script = (
                "all => [...new Set(all.map(one => getComputedStyle(one)[one.tagName == 'TD' ? 'color' : 'fill']))]"
            )
            assert texts.evaluate_all(script) == [ink]
            assert watched.page.locator("p").evaluate("one => getComputedStyle(one).fontSize") == "16px"
        assert (watched.requests, watched.complaints) == ([], [])


MARKUP = "<script>alert(1)</script>\u202e<b>"
ESCAPED_TEXT = visible(MARKUP)
ESCAPED = "&lt;script&gt;alert(1)&lt;/script&gt;\\u202e&lt;b&gt;"


def test_several_are_one_table_with_small_curves(evaluation: Evaluation, diverged: Evaluation) -> None:
    odd = changed(evaluation, strategy=MARKUP, engine=MARKUP)
    without_curves = replace(evaluation, curves=[replace(run, curve=Curve([], [], [])) for run in evaluation.curves])
    every = Evaluations([evaluation, odd, diverged, without_curves])
    fragment = every._repr_html_()
    assert fragment.count("<table") == 1
    assert fragment.count(ESCAPED) == 2 and "<script" not in fragment and "<b>" not in fragment
    with started() as browser:
        watched = Watched(browser)
        watched.page.set_content(f"<div style='color:rgb(20, 20, 20)'>{fragment}</div>")
        shown = rows(watched.page, "table")
        assert [row[0] for row in shown] == ["isolated_cube", ESCAPED_TEXT, "diverges", "isolated_cube"]
        assert shown[0][2].startswith(f"{evaluation.metrics.test_accuracy:.6f} ± ")
        assert shown[2][2] == "no score: 1 of 4 runs diverged"
        assert shown[0][4].startswith("median loss: 0.")
        assert shown[3][4:6] == ["", ""]
        lines = watched.page.locator("td svg.small polyline")
        assert lines.count() == 6
        drawn = lines.evaluate_all(
            "all => all.map(line => [line.getBBox(), getComputedStyle(line).stroke])"
            ".map(([box, stroke]) => [box.width, box.y, box.y + box.height, stroke])"
        )
        assert all(80 < width <= 120 and 0 <= top <= bottom <= 26 for width, top, bottom, _ in drawn)
        assert {stroke for *_, stroke in drawn} == {"rgb(43, 135, 200)"}
        assert (watched.requests, watched.complaints) == ([], [])


def test_small_curves_rise_and_fall_as_the_medians_do(evaluation: Evaluation) -> None:
    rising = replace(
        evaluation,
        curves=[
            replace(run, curve=Curve([1, 50, 100], [1.0, 0.1, 0.01], [0.4, 0.7, 1.0])) for run in evaluation.curves
        ],
    )
    (curves,) = small_curves([rising])
    assert 'points="1.2,1.0 60.0,13.0 120.0,25.0"' in curves.loss
    assert 'points="1.2,25.0 60.0,13.0 120.0,1.0"' in curves.accuracy
    assert "<title>median training accuracy: 0.4 at step 1, 1 at step 100</title>" in curves.accuracy


def test_comparisons_and_leaderboards_are_a_table() -> None:
    one = published("multi_epoch")
    odd = changed(published("isolated_cube"), strategy=MARKUP)
    several = compare(one, odd, changed(odd, seed=7))
    board = leaderboard([one, odd])
    assert not isinstance(several, Comparison)
    with started() as browser:
        watched = Watched(browser)
        for shown, names, notes in (
            (several, [f"{ESCAPED_TEXT} (seed 42)", f"{ESCAPED_TEXT} (seed 7)"], 3),
            (several[0], [f"{ESCAPED_TEXT} (seed 42)"], 2),
            (board, ["incomplete; unverified"] * 2, 3),
        ):
            fragment = shown._repr_html_()
            assert fragment.count("<table") == 1 and "<script" not in fragment and "<b>" not in fragment
            watched.page.set_content(fragment)
            assert [row[0] for row in rows(watched.page, "table")] == names
            assert watched.page.locator("p").count() == notes
            cells = watched.page.locator("td.n")
            assert cells.count() and cells.first.evaluate("one => getComputedStyle(one).textAlign") == "right"
        assert (watched.requests, watched.complaints) == ([], [])
    assert visible(several[0].verdict) in repr(several)


def test_without_matplotlib_there_is_the_table(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    fragment = evaluation._repr_html_()
    assert f"{evaluation.metrics.test_accuracy:.6f}" in fragment
    assert "pip install &#39;vecparity[report]&#39;" in fragment
    assert "<figure>" not in fragment


def test_one_without_a_score(diverged: Evaluation) -> None:
    assert "no score: 1 of 4 runs diverged" in diverged._repr_html_()
