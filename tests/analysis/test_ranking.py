import random
from collections.abc import Callable
from dataclasses import asdict, replace
from statistics import fmean

import pytest
from made import audited, changed, diverged, made, published
from scipy import stats

from vecparity import Evaluation, leaderboard
from vecparity.analysis.published import published as published_results
from vecparity.analysis.ranking import League
from vecparity.analysis.standings import Standing
from vecparity.audits.finding import DECIDING, AuditFinding
from vecparity.errors import UsageError
from vecparity.evaluation.summary import summarize
from vecparity.strategy.source import load
from vecparity.task.config import CONFIGURATIONS, task_config

GOLDEN = [
    audited(published(strategy, label))
    for strategy in ("multi_epoch", "isolated_cube_1", "clean_noisy_cube", "isolated_cube")
    for label in CONFIGURATIONS
]


def flat(strategy: str, accuracy: float, steps: int = 1_750) -> list[Evaluation]:
    return [audited(made(strategy, [[(steps, accuracy)] * 3] * 5, label)) for label in CONFIGURATIONS]


def unaudited(evaluation: Evaluation) -> Evaluation:
    return replace(changed(evaluation, audit="off"), findings=[])


def failing(evaluation: Evaluation, *audits: str, mode: str = "report") -> Evaluation:
    findings = [AuditFinding(name, False, "found out", {}) for name in audits]
    return replace(changed(evaluation, audit=mode), findings=findings)


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
    assert standings[0].lacks is None
    assert standings[1].lacks == "no evaluation of n32-k8 (vecparity eval --all-configs makes all)"
    apart = [changed(each, seed=seed) for seed, each in enumerate(flat("apart", 0.5))]
    assert leaderboard(apart)[0].lacks == "no seed under which all configurations were evaluated"


def test_without_a_score_there_is_no_rank() -> None:
    broken = flat("broken", 1.0)
    broken[1] = diverged(broken[1])
    standings = leaderboard(broken + flat("one", 0.5)[:1] + flat("complete", 0.5))
    assert places(standings) == [(1, "complete"), (None, "one"), (None, "broken")]
    assert standings[2].accuracy is None
    assert "broken with seed 42 has no score: expected finite losses, got 1 diverged" in str(standings[2].why_no_score)
    assert list(standings[2].configurations) == ["n32-k8", "n64-k8"]


def test_what_failed_an_audit_has_no_rank() -> None:
    cheat = flat("cheat", 1.0)
    cheat[0], cheat[2] = failing(cheat[0], "foresight"), failing(cheat[2], "cross-pairing", "foresight")
    standings = leaderboard(cheat + flat("one", 1.0)[:1] + flat("honest", 0.5))
    assert places(standings) == [(1, "honest"), (None, "cheat"), (None, "one")]
    assert standings[1].failed_audits == ["cross-pairing", "foresight"]
    assert standings[1].accuracy == 1.0
    assert standings[0].failed_audits == []


def deciding(evaluation: Evaluation, **passed: bool | None) -> Evaluation:
    """The same, with other outcomes of some audits, or without them."""
    outcomes = dict.fromkeys(DECIDING, True) | {name.replace("_", "-"): each for name, each in passed.items()}
    return replace(evaluation, findings=[AuditFinding(name, each, "a line", {}) for name, each in outcomes.items()])


def without(evaluation: Evaluation, *audits: str) -> Evaluation:
    return replace(evaluation, findings=[each for each in evaluation.findings if each.name not in audits])


def test_only_what_was_decided_has_a_rank() -> None:
    cheat, broken = flat("cheat", 1.0), flat("broken", 1.0)
    unverified = [*map(unaudited, flat("best", 1.0)), *map(unaudited, flat("second", 0.9))]
    others = [failing(cheat[0], "overlap"), *cheat[1:], *flat("one", 1.0)[:1], diverged(broken[0]), *broken[1:]]
    standings = leaderboard([*others, *unverified, *flat("worst", 0.5)])
    assert places(standings) == [
        *[(1, "worst"), (None, "best"), (None, "second"), (None, "cheat"), (None, "one"), (None, "broken")]
    ]
    assert [standing.verified for standing in standings] == ["audited", None, None, None, "audited", "audited"]
    assert [standing.why_unverified for standing in standings] == [None, "not audited", "not audited", None, None, None]
    assert standings[1].verify_with == (
        "vecparity eval --strategy best.py --seed 42 --all-configs --protocol published --audit strict"
    )
    assert (standings[1].accuracy, standings[1].mean_steps) == (1.0, 1_750)


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        (lambda each: deciding(each, foresight=None), "foresight"),
        (lambda each: deciding(each, foresight=None, cross_pairing=None), "cross-pairing, foresight"),
        (lambda each: without(each, "fresh-test"), "fresh-test"),
        (lambda each: without(deciding(each, overlap=None), "repeatability"), "repeatability, overlap"),
    ],
)
def test_every_audit_must_decide_about_every_score(change: Callable[[Evaluation], Evaluation], lacking: str) -> None:
    entry = flat("mine", 0.9)
    assert places(leaderboard([deciding(each, file=True) for each in entry])) == [(1, "mine")]
    assert places(leaderboard([deciding(each, file=None) for each in entry])) == [(1, "mine")]
    entry[1] = change(entry[1])
    (standing,) = leaderboard(entry)
    assert (standing.rank, standing.verified) == (None, None)
    assert standing.why_unverified == f"audits not made or undecided: {lacking}"
    # Another seed, of which nothing is lacking, does not make up for it.
    (standing,) = leaderboard([*entry, *(changed(each, seed=7) for each in flat("mine", 0.9))])
    assert (standing.rank, standing.seeds) == (None, [7, 42])
    assert "--seed 7 42 " in str(standing.verify_with)


def test_bundled_strategies_are_no_exception() -> None:
    sha256 = load("isolated_cube").sha256
    entry = [
        changed(unaudited(each), strategy_sha256=sha256, init_device="cuda") for each in flat("isolated_cube", 1.0)
    ]
    (standing,) = leaderboard([changed(each, params={"lr": 0.5}) for each in entry])
    assert standing.rank is None
    assert standing.verify_with == (
        "vecparity eval --strategy isolated_cube --seed 42 --param lr=0.5 --all-configs --protocol published "
        "--init-device cuda --audit strict"
    )


def test_sealed_scores_need_no_audit() -> None:
    sealed = [changed(unaudited(each), seal="ab" * 32) for each in flat("sealed", 0.9)]
    (standing,) = leaderboard(sealed)
    assert (standing.rank, standing.verified, standing.why_unverified) == (1, "sealed", None)
    (standing,) = leaderboard([failing(sealed[0], "overlap"), *sealed[1:]])
    assert (standing.rank, standing.verified, standing.failed_audits) == (None, None, ["overlap"])
    again = [changed(unaudited(each), seal="ab" * 32) for each in flat("sealed", 0.7)]
    assert leaderboard([*sealed, *again])[0].accuracy == 0.7


def test_what_was_verified_is_not_undone_without_an_audit() -> None:
    verified = flat("mine", 0.9)
    again = flat("mine", 0.7)
    assert leaderboard([*verified, *map(unaudited, again)])[0].accuracy == 0.9
    assert leaderboard([*map(unaudited, again), *verified])[0].rank == 1
    assert leaderboard([*verified, *again])[0].accuracy == 0.7
    (standing,) = leaderboard([*verified, deciding(again[0], foresight=None)])
    assert (standing.rank, standing.why_unverified) == (None, "audits not made or undecided: foresight")


def test_summaries_of_earlier_versions_are_unverified() -> None:
    summaries = [replace(summarize(each), undecided_audits=None) for each in flat("mine", 0.9)]
    (standing,) = leaderboard(summaries)
    assert (standing.rank, standing.why_unverified) == (None, "audits unknown: recorded by an earlier version")
    sealed = [replace(each, seal="ab" * 32) for each in summaries]
    assert leaderboard(sealed)[0].verified == "sealed"


@pytest.mark.parametrize("seeds", [None, [42], [43]])
def test_an_audit_once_failed_stays_failed(seeds: list[int] | None) -> None:
    cheat = flat("cheat", 1.0)
    again = [changed(evaluation, seed=43) for evaluation in cheat]
    standings = leaderboard([failing(cheat[0], "foresight"), *cheat, *again, *flat("honest", 0.5)], seeds=seeds)
    cheating = next(standing for standing in standings if standing.strategy == "cheat")
    assert (cheating.rank, cheating.failed_audits) == (None, ["foresight"])
    sealed = [changed(evaluation, seal="ab" * 32) for evaluation in cheat]
    assert leaderboard([failing(cheat[0], "foresight"), *sealed])[0].rank == 1


def test_a_score_taken_by_a_strict_audit_is_not_given_back_without_one() -> None:
    cheat = flat("cheat", 1.0)
    taken = [failing(cheat[0], "foresight", mode="strict"), *cheat[1:]]
    (standing,) = leaderboard([*taken, *map(unaudited, cheat)])
    assert "cheat with seed 42 has no score: foresight: found out" in str(standing.why_no_score)
    (standing,) = leaderboard([*taken, changed(cheat[0], audit="strict")])
    assert (standing.why_no_score, standing.rank, standing.failed_audits) == (None, None, ["foresight"])


def test_certainty_is_claimed_nowhere() -> None:
    (standing,) = leaderboard(flat("mine", 1.0))
    assert standing.interval is None
    assert {figures.interval for figures in standing.configurations.values()} == {None}


def test_the_same_total_is_the_same_rank() -> None:
    """Means over secrets, of 3 orderings each, are not exact: they could tell apart what has as many right answers."""
    rng = random.Random(0)
    for _ in range(20):
        rights = [rng.randrange(8_192, 16_385) for _ in range(15)]
        entries = []
        for name, steps in (("slower", 2_000), ("faster", 1_750)):
            rng.shuffle(rights)
            ends = [[(steps, right / 16_384) for right in rights[3 * i : 3 * i + 3]] for i in range(5)]
            entries += [audited(made(name, ends, label)) for label in CONFIGURATIONS]
        assert places(leaderboard(entries)) == [(1, "faster"), (2, "slower")]


def test_only_seeds_on_all_configurations_rank() -> None:
    lucky = [changed(evaluation, seed=7) for evaluation in flat("mine", 1.0)]
    (standing,) = leaderboard([*flat("mine", 0.7), *lucky[:2]])
    assert (standing.rank, standing.seeds, standing.accuracy) == (1, [42], 0.7)
    assert standing.configurations["n32-k8"].num_runs == 15
    (standing,) = leaderboard([*flat("mine", 0.7)[:1], *lucky[1:]])
    assert (standing.rank, standing.seeds, standing.accuracy) == (None, [7, 42], None)
    assert len(standing.configurations) == 3


def test_some_seeds_may_be_chosen() -> None:
    other = [changed(evaluation, seed=41) for evaluation in flat("mine", 0.5)]
    everything = [*flat("mine", 0.9), *other, *flat("only_42", 0.8)]
    (standing,) = leaderboard(everything, seeds=[41])
    assert (standing.strategy, standing.seeds, standing.accuracy) == ("mine", [41], 0.5)
    assert places(leaderboard(everything)) == [(1, "only_42"), (2, "mine")]
    assert places(leaderboard(everything, seeds=[42, 7])) == [(1, "mine"), (2, "only_42")]


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


def test_other_params_are_another_entry() -> None:
    slow = [changed(evaluation, params={"lr": 0.01}) for evaluation in flat("mine", 0.6)]
    fast = [changed(evaluation, params={"lr": 0.02, "wd": 1}) for evaluation in flat("mine", 0.9)]
    standings = leaderboard([*flat("mine", 0.5), *slow, *fast])
    assert places(standings) == [(1, "mine lr=0.02 wd=1"), (2, "mine lr=0.01"), (3, "mine")]
    assert [standing.params for standing in standings] == [{"lr": 0.02, "wd": 1}, {"lr": 0.01}, {}]
    assert len({standing.sha256 for standing in standings}) == 1
    # What is of one entry counts for no other.
    assert [standing.rank for standing in leaderboard([*flat("mine", 0.5)[:2], slow[2]])] == [None, None]


def test_other_leagues_are_left_out() -> None:
    sealed = [changed(evaluation, seal="ab" * 32) for evaluation in flat("sealed", 0.9)]
    full = [replace(each, config=task_config(each.config.label)) for each in flat("full", 0.8)]
    wide = [made("wide", [[(1, 1.0)] * 3] * 5, label, hidden_width=1_024) for label in CONFIGURATIONS]
    everything = [*sealed, *full, *wide, *flat("public", 0.7), *wide]
    assert places(leaderboard(everything)) == [(1, "public")]
    assert places(leaderboard(everything, League("published", "ab" * 32))) == [(1, "sealed")]
    doubles = [changed(evaluation, dtype="float64") for evaluation in flat("double", 0.6)]
    drawn = [changed(evaluation, init_device="cuda") for evaluation in flat("drawn", 0.6)]
    assert places(leaderboard([*everything, *doubles, *drawn])) == [(1, "drawn")]
    assert places(leaderboard([*drawn, *everything, *doubles])) == [(1, "double")]
    assert places(leaderboard([*doubles, *drawn, *everything])) == [(1, "public")]
    assert places(leaderboard([*drawn, *everything], League("published", None, init_device="cuda"))) == [(1, "drawn")]
    assert places(leaderboard(everything, League("full", None))) == [(1, "full")]
    assert leaderboard(everything, League("full", "ab" * 32)) == []
    with pytest.raises(UsageError, match=r"expected an evaluation that can be ranked \(.*\), got 3 that cannot"):
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


def test_a_leaderboard_shows_a_row_for_each_strategy_and_what_it_lacks() -> None:
    best = [audited(published("isolated_cube", label)) for label in CONFIGURATIONS]
    board = leaderboard([*best, made("new\x1b[2J", [[(1_750, 0.9)] * 3] * 5)])
    assert (board.league.protocol, len(board)) == ("published", 2)
    board += published_results()
    title, heading, first, second, *published_rows, note = repr(board).splitlines()
    assert title == "protocol published, public seeds, float32, weights drawn on cpu"
    assert heading.split() == ["rank", "strategy", *CONFIGURATIONS, "accuracy", "steps", "verified"]
    assert (
        " ".join(first.split()) == "1 isolated_cube 1.0000 / 1,750 1.0000 / 1,750 1.0000 / 1,750 1.0000 1,750 audited"
    )
    assert " ".join(second.split()) == "incomplete; unverified new\\x1b[2J 0.9000 / 1,750"
    assert " ".join(published_rows[0].split()) == (
        "published one_pass 0.747 / 30,000 0.500 / 30,000 0.502 / 30,000 0.583 30,000"
    )
    assert note.startswith("no rank: new\\x1b[2J: no evaluation of n50-k8, n64-k8")


def test_published_results_rank_nothing() -> None:
    standings = published_results()
    assert [standing.strategy for standing in standings][:2] == ["one_pass", "multi_epoch"]
    assert all(standing.rank is None and standing.is_published for standing in standings)
    assert standings[0].accuracy == pytest.approx((0.747 + 0.5 + 0.502) / 3)
    assert standings[4].accuracy is None
    assert list(standings[4].configurations) == ["n32-k8"]
    with pytest.raises(UsageError, match=r"expected protocol published, .*, got full"):
        published_results("full")
