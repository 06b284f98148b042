"""The verdict in words, and comparisons with the first strategy."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from made import changed, diverged, made

from vecparity import Evaluation
from vecparity.analysis.comparing import compare
from vecparity.audits.finding import AuditFinding
from vecparity.report import html
from vecparity.report.conclusions import Conclusions, conclude
from vecparity.report.series import tell_apart
from vecparity.report.strategy_results import strategy_results
from vecparity.report.words import difference

# Steps and accuracies of 5 secrets' 2 orderings.
GOOD = [[(1750, 1.0), (2000, 0.999 - secret / 10_000)] for secret in range(5)]
HALF = [[(3000, 0.7 + secret / 100), (3250, 0.71)] for secret in range(5)]
CHANCE = [[(100_000, 0.5 + (secret - 2) / 500), (100_000, 0.5)] for secret in range(5)]


def concluded(*evaluations: Evaluation) -> Conclusions:
    return conclude(strategy_results(tell_apart(evaluations)))


def test_one_strategy_is_told_by_configuration() -> None:
    (learning, figures) = concluded(
        made("one", GOOD), made("one", HALF, "n50-k8"), made("one", CHANCE, "n64-k8")
    ).verdict
    assert learning == (
        "one learns the parity on n32-k8, learns the parity in part on n50-k8 and is not clearly better than chance on "
        "n64-k8, in 35,000 steps on average."
    )
    assert figures.startswith(
        "Test accuracy: 0.9994 (95% interval 0.9993 to 0.9995), 10 of 10 runs at 0.99 or above on n32-k8, 0.7150 (95%"
    )
    assert figures.endswith("0 of 10 runs at 0.99 or above on n64-k8.")


def test_one_strategy_without_a_score_somewhere_says_so() -> None:
    verdict = concluded(made("one", GOOD), made("one", GOOD, "n50-k8"), diverged(made("one", GOOD, "n64-k8"))).verdict
    assert verdict[0].startswith("one learns the parity on n32-k8 and n50-k8, in ")
    assert verdict[1].endswith(" on n50-k8. Not to be ranked: no score on n64-k8.")


def test_the_best_is_named_with_what_is_real() -> None:
    worse, better = made("worse", HALF), made("better", GOOD)
    conclusions = concluded(worse, better)
    assert conclusions.verdict == [
        "better has the highest mean test accuracy of 2 strategies: 0.9994 in 1,875 steps. "
        "It learns the parity on n32-k8.",
        "Against worse: accuracy higher, fewer steps on n32-k8.",
    ]
    assert conclusions.comparisons == [compare(worse, better, names=("worse", "better"))]


def test_configurations_of_the_same_words_stand_together_and_the_baseline_is_told() -> None:
    evaluations = [
        made(name, ends, label)
        for name, ends in (("base", CHANCE), ("best", GOOD), ("next", HALF))
        for label in ("n32-k8", "n50-k8")
    ]
    conclusions = concluded(*evaluations)
    assert conclusions.verdict[1:] == [
        "Against next, the next: accuracy higher, fewer steps on n32-k8 and n50-k8.",
        "Against base, the baseline: accuracy higher, fewer steps on n32-k8 and n50-k8.",
    ]
    assert [(one.config, one.first.name, one.second.name) for one in conclusions.comparisons] == [
        (label, "base", name) for name in ("best", "next") for label in ("n32-k8", "n50-k8")
    ]


def test_the_same_figures_have_no_best() -> None:
    first, second = concluded(made("one", GOOD), made("two", GOOD)).verdict
    assert first.startswith("one and two have the same mean test accuracy in as many steps: 0.9994")
    assert second == "Against two: accuracy no worse, no real difference, as many steps on n32-k8."


def test_few_secrets_tell_nothing() -> None:
    (_, second) = concluded(made("one", GOOD[:2]), made("two", HALF[:2])).verdict
    assert second == "Against two: too few secrets to tell on n32-k8."
    # Without an interval, chance is told by the mean.
    assert "is not clearly better than chance on n32-k8" in concluded(made("one", [[(9, 0.55)]] * 2)).verdict[0]
    assert "learns the parity in part on n32-k8" in concluded(made("one", [[(9, 0.65)]] * 2)).verdict[0]


def cheating() -> Evaluation:
    evaluation = changed(made("cheat", GOOD), audit="report")
    return replace(evaluation, findings=[AuditFinding("overlap", False, "3 of 100", {})])


@pytest.mark.parametrize(
    ("evaluations", "left_out"),
    [
        ([made("one", HALF), cheating()], "Not ranked: cheat (fails overlap)."),
        ([made("one", HALF), diverged(made("broken", GOOD))], "Not ranked: broken (no score on n32-k8)."),
        (
            [made("one", HALF), made("one", HALF, "n50-k8"), made("short", GOOD)],
            "Not ranked: short (not evaluated on n50-k8).",
        ),
    ],
)
def test_who_has_no_place_is_not_the_best(evaluations: Sequence[Evaluation], left_out: str) -> None:
    verdict = concluded(*evaluations).verdict
    assert verdict[0].startswith("one learns the parity in part on n32-k8")
    assert verdict[-1] == left_out


def test_why_there_is_no_comparison_is_told() -> None:
    conclusions = concluded(made("one", GOOD), made("wide", GOOD, hidden_width=40), diverged(made("broken", GOOD)))
    wide, broken = conclusions.not_compared
    assert wide.startswith("n32-k8, wide against one: expected evaluations with the same settings, got hidden_width")
    assert "broken with seed 42 has no score" in broken
    assert concluded(diverged(made("broken", GOOD))).verdict == ["broken has no score: no score on n32-k8."]


def test_seeds_of_one_strategy_are_one_side() -> None:
    seeds = [made("one", HALF, seed=seed) for seed in (1, 2)]
    (comparison,) = concluded(*seeds, *(made("two", GOOD, seed=seed) for seed in (1, 2))).comparisons
    assert (comparison.first.seeds, comparison.num_common) == ([1, 2], 10)


def test_differences_have_their_intervals() -> None:
    (comparison,) = concluded(made("worse", HALF), made("better", GOOD)).comparisons
    interval = comparison.accuracy.interval
    assert interval
    assert difference(comparison.accuracy, "+.4f") == f"+0.2844 ({interval.low:+.4f} to {interval.high:+.4f}), real"
    (few,) = concluded(made("worse", HALF[:2]), made("better", GOOD[:2])).comparisons
    assert difference(few.steps, "+,.0f") == "-1,250 (too few secrets to tell)"


def test_the_page_begins_with_the_verdict() -> None:
    evaluations = [made("<b>", HALF), made("better", GOOD)]
    text = html(evaluations)
    verdict = concluded(*evaluations).verdict
    places = [text.index(sentence.replace("<b>", "&lt;b&gt;")) for sentence in verdict]
    assert places == sorted(places)
    assert places[-1] < text.index("Compared with &lt;b&gt;") < text.index("<h3>Evaluations</h3>")
