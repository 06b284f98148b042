from dataclasses import asdict, replace
from statistics import fmean

import pytest
from made import changed, diverged, made, published
from scipy import stats

from vecparity import Evaluation, leaderboard
from vecparity.errors import UsageError
from vecparity.spec import CONFIGURATIONS, task_config
from vecparity.workbench.leaderboard import League
from vecparity.workbench.published import published as published_results
from vecparity.workbench.standing import Standing

GOLDEN = [
    published(strategy, label)
    for strategy in ("multi_epoch", "isolated_cube_1", "clean_noisy_cube", "isolated_cube")
    for label in CONFIGURATIONS
]


def flat(strategy: str, accuracy: float, steps: int = 1_750) -> list[Evaluation]:
    return [made(strategy, [[(steps, accuracy)] * 3] * 5, label) for label in CONFIGURATIONS]


def places(standings: list[Standing]) -> list[tuple[int | None, str]]:
    return [(standing.rank, standing.strategy) for standing in standings]


def test_ranks_by_accuracy_over_all_configurations_then_by_steps() -> None:
    assert places(leaderboard(GOLDEN)) == [
        (1, "isolated_cube"),
        (2, "isolated_cube_1"),
        (3, "multi_epoch"),
        (4, "clean_noisy_cube"),
    ]
    slower, faster = flat("slower", 0.9, 2_000), flat("faster", 0.9)
    assert places(leaderboard(slower + faster)) == [(1, "faster"), (2, "slower")]


def test_figures_are_means_over_configurations() -> None:
    standing = leaderboard(GOLDEN)[2]
    metrics = [published("multi_epoch", label).metrics for label in CONFIGURATIONS]
    assert standing.accuracy == pytest.approx(fmean(each.test_accuracy for each in metrics))
    assert standing.mean_steps == pytest.approx(fmean(each.mean_steps for each in metrics))
    for label, each in zip(CONFIGURATIONS, metrics, strict=True):
        figures = standing.configurations[label]
        assert (figures.num_runs, figures.seeds) == (15, [42])
        assert (figures.accuracy, figures.mean_steps) == pytest.approx((each.test_accuracy, each.mean_steps))
        assert figures.interval is not None
        assert figures.interval.low < figures.accuracy < figures.interval.high
    # What varies on n32-k8 shows, a third of it, in the mean.
    first, whole = standing.configurations["n32-k8"].interval, standing.interval
    assert first is not None and whole is not None
    assert whole.high - whole.low == pytest.approx((first.high - first.low) / 3, rel=0.1)


def test_no_accuracy_is_believed_to_be_above_1() -> None:
    interval = leaderboard(GOLDEN)[1].interval
    assert interval is not None
    assert interval.high == 1.0
    assert interval.low < 0.9996


def test_equals_share_a_rank() -> None:
    standings = leaderboard(flat("worst", 0.5) + flat("b", 0.9) + flat("a", 0.9) + flat("best", 1.0))
    assert places(standings) == [(1, "best"), (2, "a"), (2, "b"), (4, "worst")]


def test_incomplete_strategies_come_after_complete_ones() -> None:
    standings = leaderboard(
        flat("one", 1.0)[:1] + flat("two_worse", 0.7)[:2] + flat("two", 0.8)[1:] + flat("complete", 0.5)
    )
    assert places(standings) == [(1, "complete"), (None, "two"), (None, "two_worse"), (None, "one")]
    assert all((each.accuracy, each.interval, each.mean_steps) == (None, None, None) for each in standings[1:])
    assert list(standings[1].configurations) == ["n50-k8", "n64-k8"]


def test_without_a_score_there_is_no_rank() -> None:
    broken = flat("broken", 1.0)
    broken[1] = diverged(broken[1])
    standings = leaderboard(broken + flat("one", 0.5)[:1] + flat("complete", 0.5))
    assert places(standings) == [(1, "complete"), (None, "one"), (None, "broken")]
    assert standings[2].accuracy is None
    assert "broken with seed 42 has no score: expected finite losses, got 1 diverged" in str(standings[2].why_no_score)
    assert list(standings[2].configurations) == ["n32-k8", "n64-k8"]


def test_the_newest_of_a_seed_counts() -> None:
    old, new = flat("mine", 0.5), flat("mine", 0.9)
    assert leaderboard([*old, *new])[0].accuracy == 0.9
    assert leaderboard([*new, *old])[0].accuracy == 0.5
    assert leaderboard([*map(diverged, old), *new])[0].why_no_score is None


def test_seeds_are_pooled() -> None:
    other = [changed(evaluation, seed=41) for evaluation in flat("mine", 0.7)]
    (standing,) = leaderboard([*flat("mine", 0.9), *other])
    assert standing.accuracy == pytest.approx(0.8)
    assert standing.seeds == [41, 42]
    assert standing.configurations["n50-k8"].num_runs == 30
    assert standing.configurations["n50-k8"].interval is not None


def test_two_sources_of_one_name_are_told_apart() -> None:
    revised = [changed(evaluation, strategy_sha256="ab" * 32) for evaluation in flat("mine", 0.9)]
    standings = leaderboard([*flat("mine", 0.5), *revised, *flat("other", 0.7)])
    assert places(standings)[:2] == [(1, "mine (abababab)"), (2, "other")]
    assert standings[0].sha256 == "ab" * 32
    renamed = [changed(evaluation, strategy="renamed") for evaluation in flat("mine", 0.6)]
    assert places(leaderboard([*flat("mine", 0.5), *renamed])) == [(1, "renamed")]


def test_other_leagues_are_left_out() -> None:
    sealed = [changed(evaluation, seal="ab" * 32) for evaluation in flat("sealed", 0.9)]
    full = [replace(each, config=task_config(each.config.label)) for each in flat("full", 0.8)]
    wide = [made("wide", [[(1, 1.0)] * 3] * 5, label, hidden_width=1_024) for label in CONFIGURATIONS]
    everything = [*sealed, *full, *wide, *flat("public", 0.7), *wide]
    assert places(leaderboard(everything)) == [(1, "public")]
    assert places(leaderboard(everything, League("published", "ab" * 32))) == [(1, "sealed")]
    assert places(leaderboard(everything, League("full", None))) == [(1, "full")]
    assert leaderboard(everything, League("full", "ab" * 32)) == []
    with pytest.raises(UsageError, match=r"expected an evaluation that ranks \(.*\), got 3 that do not"):
        leaderboard(wide)


def test_intervals_are_students_of_all_secrets() -> None:
    """On one configuration, over the secrets of both seeds."""
    evaluations = [published("isolated_cube_1"), changed(published("multi_epoch"), seed=43)]
    pooled = [changed(evaluation, strategy="mine", strategy_sha256="ab" * 32) for evaluation in evaluations]
    (standing,) = leaderboard(pooled)
    made_of = [
        fmean(run.test_accuracy for run in evaluation.results if run.secret_index == i)
        for evaluation in evaluations
        for i in range(5)
    ]
    expected = stats.ttest_1samp(made_of, 0).confidence_interval()
    assert standing.configurations["n32-k8"].interval is not None
    assert asdict(standing.configurations["n32-k8"].interval) == pytest.approx(
        {"low": expected.low, "high": expected.high}, abs=0.01
    )


def test_published_results_rank_nothing() -> None:
    standings = published_results()
    assert [standing.strategy for standing in standings][:2] == ["one_pass", "multi_epoch"]
    assert all(standing.rank is None and standing.is_published for standing in standings)
    assert standings[0].accuracy == pytest.approx((0.747 + 0.5 + 0.502) / 3)
    assert standings[4].accuracy is None
    assert list(standings[4].configurations) == ["n32-k8"]
    with pytest.raises(UsageError, match="beside those under protocol published, got full"):
        published_results("full")
