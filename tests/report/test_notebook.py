import sys

import pytest
from browser import Watched, started

from vecparity import Evaluation


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


def test_without_matplotlib_there_is_the_table(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    fragment = evaluation._repr_html_()
    assert f"{evaluation.metrics.test_accuracy:.6f}" in fragment
    assert "pip install &#39;vecparity[report]&#39;" in fragment
    assert "<figure>" not in fragment


def test_one_without_a_score(diverged: Evaluation) -> None:
    assert "no score: 1 of 4 runs diverged" in diverged._repr_html_()
