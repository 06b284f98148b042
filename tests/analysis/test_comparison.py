import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from made import changed, diverged, made, published
from scipy import stats

from vecparity import Comparison, Comparisons, Evaluation, compare, evaluate
from vecparity.analysis.difference import Tally
from vecparity.analysis.intervals import Interval
from vecparity.audits.finding import AuditFinding
from vecparity.errors import AuditFailedError, DivergedError, UsageError

Ends = list[list[tuple[int, float]]]


def test_against_itself_nothing_differs() -> None:
    for evaluation in (published("multi_epoch"), published("clean_noisy_cube", "n64-k8")):
        itself = compare(evaluation, evaluation)
        assert itself.is_paired
        for difference in (itself.accuracy, itself.steps):
            assert difference.difference == 0
            assert difference.interval == Interval(0.0, 0.0)
            assert difference.is_real is False
            assert difference.tally == Tally(0, 0, 5)


def test_what_is_real_is_told_from_what_is_not() -> None:
    slow_and_wrong, fast_and_right, nearly = map(published, ("multi_epoch", "isolated_cube", "isolated_cube_1"))
    better = compare(slow_and_wrong, fast_and_right)
    assert better.accuracy.is_real and better.steps.is_real
    assert better.accuracy.first == pytest.approx(0.516256, abs=1e-6)
    assert better.accuracy.difference == pytest.approx(1 - 0.516256, abs=1e-6)
    assert better.steps.difference == pytest.approx(1750 - 18883.333333, abs=1e-3)
    assert better.accuracy.tally == better.steps.tally == Tally(5, 0, 0)
    assert ": accuracy higher (+0.4837, 95% interval +0." in better.verdict
    assert ", fewer steps (-17,133 steps, 95% interval -1" in better.verdict

    worse = compare(fast_and_right, slow_and_wrong)
    assert worse.accuracy.tally == worse.steps.tally == Tally(0, 5, 0)
    assert "accuracy lower (" in worse.verdict
    assert "more steps (" in worse.verdict

    same = compare(nearly, fast_and_right)
    assert same.accuracy.tally == Tally(1, 0, 4)
    assert same.verdict.startswith(
        "n32-k8, isolated_cube against isolated_cube_1: accuracy no worse by more than 0.005, no real difference "
        "(+0.0003, 95% interval -0.000"
    )
    assert "as many steps (+0 steps, 95% interval +0 to +0)" in same.verdict
    assert "accuracy no worse by more than 0.005, no real" in compare(fast_and_right, nearly).verdict


def test_secrets_are_compared_one_by_one() -> None:
    def ends(by: int) -> Ends:
        return [[(1_000 * i + 250 * j + by, 0.5 + i / 10 + by / 1e4) for j in range(2)] for i in range(5)]

    first, second = made("first", ends(0)), made("second", ends(1))
    paired = compare(first, second)
    assert paired.accuracy.is_real and paired.steps.is_real
    unpaired = compare(first, changed(second, seed=43))
    assert not unpaired.is_paired
    assert not unpaired.accuracy.is_real and not unpaired.steps.is_real
    assert unpaired.accuracy.tally is None
    assert unpaired.accuracy.difference == paired.accuracy.difference
    assert [(each.seed, each.secret_index) for each in unpaired.secrets] == [
        (seed, i) for seed in (42, 43) for i in range(5)
    ]
    assert (unpaired.secrets[0].second, unpaired.secrets[9].first) == (None, None)
    assert "second against first (on other secrets): no real difference in accuracy (+" in unpaired.verdict


def accuracies(*shares: float, seed: int = 42, name: str = "mine") -> Evaluation:
    return made(name, [[(1_750, share)] for share in shares], seed=seed)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ((0.5, 0.5, 0.5, 0.5, 0.5), "accuracy no worse, no real difference (+0.0000, 95% interval +0.0000 to +0.0000)"),
        ((0.5, 0.5, 0.5, 0.5, 0.502), "accuracy no worse by more than 0.005, no real difference (+0.0004, "),
        ((0.5, 0.5, 0.5, 0.5, 0.498), "accuracy no worse by more than 0.005, no real difference (-0.0004, "),
        ((0.5, 0.5, 0.5, 0.5, 0.9), "no real difference in accuracy (+0.0800, "),
        ((0.5, 0.5, 0.5, 0.5, 0.1), "no real difference in accuracy (-0.0800, "),
        ((0.6, 0.61, 0.6, 0.6, 0.6), "accuracy higher (+0.1020, "),
    ],
)
def test_no_worse_is_what_the_interval_says(after: tuple[float, ...], said: str) -> None:
    verdict = compare(accuracies(*[0.5] * 5), accuracies(*after, name="other")).verdict
    assert verdict.startswith(f"n32-k8, other against mine: {said}")


def test_partly_shared_secrets_are_compared_on_what_is_shared() -> None:
    whole = [published("isolated_cube_1"), changed(published("isolated_cube_1", "n32-k8"), seed=43)]
    part = compare(whole, whole[0])
    assert part.is_paired and part.num_common == 5
    assert (part.accuracy.interval, part.steps.interval) == (Interval(0.0, 0.0), Interval(0.0, 0.0))
    assert part.accuracy.first == part.accuracy.second == pytest.approx(whole[0].metrics.test_accuracy)
    assert "(5 of 10 and 5 secrets in common): accuracy no worse, no real difference (+0.0000, " in part.verdict
    assert [each.second is None for each in part.secrets] == [False] * 5 + [True] * 5
    sealed = changed(whole[0], seal="ab" * 32)
    assert compare(whole, sealed).num_common == 0


def test_other_secrets_that_do_not_vary_leave_no_interval() -> None:
    same = compare(accuracies(1, 1, 1), accuracies(1, 1, 1, seed=43))
    assert (same.accuracy.interval, same.accuracy.is_real) == (None, False)
    none = "no interval: no secret differs from another"
    assert f"no real difference in accuracy (+0.0000, {none}), no real difference in steps (+0 steps, {none})" in (
        same.verdict
    )
    other = compare(accuracies(1, 1, 1), accuracies(0.5, 0.5, 0.5, seed=43))
    assert (other.accuracy.interval, other.accuracy.is_real) == (None, True)
    assert f"accuracy lower (-0.5000, {none})" in other.verdict
    one = compare(accuracies(1, 1, 1), accuracies(0.5, 0.6, 1, seed=43))
    assert one.accuracy.interval is not None and one.accuracy.is_real is False


def test_what_made_the_sides_differ_is_told() -> None:
    first = published("multi_epoch")
    failed = [AuditFinding(name, name == "file", "", {}) for name in ("overlap", "file", "foresight")]
    second = replace(changed(first, engine="vmap", audit="report"), findings=failed)
    comparison = compare(first, second)
    assert (comparison.first.failed_audits, comparison.second.failed_audits) == ([], ["foresight", "overlap"])
    assert comparison.made_differently == {"engine": (["native"], ["vmap"]), "audit": (["off"], ["report"])}
    assert compare(first, first).made_differently == {}


def test_the_order_of_runs_and_seeds_does_not_matter() -> None:
    first = published("isolated_cube"), published("isolated_cube", seed=123)
    second = [changed(evaluation, strategy="other", strategy_sha256="0" * 64) for evaluation in first]
    second[0] = replace(second[0], results=list(reversed(second[0].results)))
    pooled = compare(first, second[::-1])
    assert pooled.is_paired
    assert pooled.first.seeds == pooled.second.seeds == [42, 123]
    assert (pooled.first.num_secrets, pooled.first.num_runs) == (10, 30)
    assert pooled.accuracy.tally == Tally(0, 0, 10)


def test_other_seals_are_other_secrets() -> None:
    public = published("multi_epoch")
    sealed = changed(public, seal="ab" * 32)
    comparison = compare(public, sealed)
    assert not comparison.is_paired
    assert (comparison.first.name, comparison.second.name) == ("multi_epoch (public)", "multi_epoch (sealed abababab)")
    assert compare(sealed, sealed).is_paired


def test_other_params_are_another_side() -> None:
    slow, fast = (changed(accuracies(0.5, 0.6, 0.7), params={"lr": lr}) for lr in (0.01, 0.02))
    comparison = compare(slow, fast)
    assert (comparison.first.name, comparison.second.name) == ("mine lr=0.01", "mine lr=0.02")
    assert (comparison.first.params, comparison.second.params) == ({"lr": 0.01}, {"lr": 0.02})
    with pytest.raises(UsageError, match=r"one strategy on each side .*, got mine lr=0\.01 \(\w+\), mine lr=0\.02 \("):
        compare([slow, changed(fast, seed=43)], fast)


def test_one_name_twice_is_told_apart() -> None:
    public = published("multi_epoch")
    other = compare(public, changed(public, strategy_sha256="cd" * 32))
    assert other.second.name == "multi_epoch (cdcdcdcd)"
    assert compare(public, changed(public, seed=43)).second.name == "multi_epoch (seed 43)"
    assert compare(public, public).second.name == "multi_epoch"


def test_several_are_compared_with_the_baseline_each_as_by_itself() -> None:
    slow, fast = published("multi_epoch"), published("isolated_cube")
    other = changed(fast, seed=43)
    several = compare(slow, fast, other)
    assert isinstance(several, Comparisons)
    assert [each.second.name for each in several] == ["isolated_cube (seed 42)", "isolated_cube (seed 43)"]
    for each, second in zip(several, (fast, other), strict=True):
        alone = compare(slow, second)
        assert isinstance(alone, Comparison)
        assert replace(each, second=replace(each.second, name="isolated_cube")) == alone
    named = compare(slow, fast, other, names=("a", "b", "c"))
    assert [(each.first.name, each.second.name) for each in named] == [("a", "b"), ("a", "c")]
    with pytest.raises(UsageError, match="a baseline and at least one other to compare with it, got one"):
        compare(slow)  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="names must be 3, one for each side, got"):
        compare(slow, fast, other, names=("a", "b"))
    with pytest.raises(UsageError, match="one configuration on each side of a comparison, got n32-k8, n50-k8"):
        compare([slow, published("multi_epoch", "n50-k8")], fast)


def test_three_sides_of_one_name_have_as_long_names_as_it_takes() -> None:
    one = published("multi_epoch")
    sources = [one, changed(one, seed=43), changed(one, strategy_sha256="cd" * 32)]
    digest = one.provenance.strategy_sha256[:8]
    several = compare(*sources)
    assert [several[0].first.name, *(each.second.name for each in several)] == [
        f"multi_epoch ({digest}) (seed 42)",
        f"multi_epoch ({digest}) (seed 43)",
        "multi_epoch (cdcdcdcd) (seed 42)",
    ]


def test_a_comparison_shows_a_row_for_each_strategy_and_the_verdicts() -> None:
    several = compare(published("multi_epoch"), published("isolated_cube"), changed(published("isolated_cube"), seed=7))
    title, heading, first, second, *verdicts = repr(several).splitlines()
    assert title == "n32-k8, baseline: multi_epoch; a change is from it"
    assert heading.split()[:4] == ["strategy", "secrets", "accuracy", "change"]
    assert " ".join(first.split()) == "isolated_cube (seed 42) 5 1.0000 +0.4837 5 / 0 / 0 1,750 -17,133 5 / 0 / 0"
    assert " ".join(second.split()) == "isolated_cube (seed 7) 5 1.0000 +0.4837 1,750 -17,133"
    assert verdicts == [each.verdict for each in several]
    assert len({len(line) for line in (heading, first)}) == 1
    cheat = replace(
        changed(published("isolated_cube"), engine="vmap"), findings=[AuditFinding("overlap", False, "", {})]
    )
    differing = compare(published("multi_epoch"), cheat)
    assert repr(differing).splitlines()[-2:] == [
        "made differently: engine vmap against native",
        "isolated_cube fails overlap",
    ]


@pytest.mark.parametrize("secrets", [1, 2])
def test_too_few_secrets_to_tell(secrets: int) -> None:
    first, second = (made(name, [[(1_750, value)]] * secrets) for name, value in (("first", 0.5), ("second", 1.0)))
    comparison = compare(first, second)
    assert comparison.accuracy.interval is None
    assert comparison.accuracy.is_real is None
    assert f"too few secrets to tell, {secrets} of at least 3 (accuracy +0.5000, +0 steps)" in comparison.verdict


def test_json_has_everything() -> None:
    comparison = compare(published("multi_epoch"), published("isolated_cube"))
    content = json.loads(json.dumps(comparison.as_json(), allow_nan=False))
    assert content["accuracy"]["interval"].keys() == {"low", "high"}
    assert content["secrets"][0]["first"] == {"accuracy": pytest.approx(0.505249), "steps": 19_500}
    assert content["verdict"] == comparison.verdict


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([], published("multi_epoch"), "at least one evaluation on each side of a comparison, got none"),
        (
            published("multi_epoch"),
            published("multi_epoch", "n50-k8"),
            "same settings, got n_features 32 of multi_epoch and 50 of multi_epoch",
        ),
        (
            made("first", [[(1, 1.0)]]),
            made("second", [[(1, 1.0)]], max_steps=40),
            "same settings, got max_steps 30000 of first and 40 of second",
        ),
        (
            [published("multi_epoch"), published("isolated_cube", seed=123)],
            published("multi_epoch"),
            r"one strategy on each side of a comparison, got multi_epoch \(\w{8}\), isolated_cube \(\w{8}\)$",
        ),
        (
            published("multi_epoch"),
            [published("multi_epoch"), changed(published("multi_epoch"), seed=43, seal="ab" * 32)],
            f"one seal on each side of a comparison, got public seeds, {'ab' * 32}",
        ),
        (
            [published("multi_epoch")] * 2,
            published("multi_epoch"),
            r"one evaluation per seed on each side of a comparison, got seeds \[42, 42\] of multi_epoch",
        ),
    ],
)
def test_what_cannot_be_compared(
    first: Evaluation | list[Evaluation], second: Evaluation | list[Evaluation], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        compare(first, second)


def test_without_a_score_there_is_no_comparison() -> None:
    good = published("multi_epoch")
    with pytest.raises(DivergedError, match=r"multi_epoch with seed 42 has no score: expected finite losses"):
        compare(good, diverged(good))
    failed = replace(changed(good, audit="strict"), findings=[AuditFinding("file", False, "changed", {})])
    with pytest.raises(AuditFailedError, match="has no score: file: changed"):
        compare(failed, good)


def normal(rng: np.random.Generator, easiness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Accuracies and steps of a strategy that does not generalise, as multi_epoch's."""
    shape = (*easiness.shape, 3)
    steps = 250 * rng.normal(75 - 5 * easiness[..., None], 4, shape).round()
    return steps, 0.51 + 0.02 * easiness[..., None] + rng.normal(0, 0.025, shape)


def bimodal(rng: np.random.Generator, easiness: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Those of one of which some runs generalise and stop early."""
    generalises = rng.random((*easiness.shape, 3)) < stats.norm.cdf(easiness)[..., None]
    return np.where(generalises, 1_750, 2_000), np.where(generalises, 1.0, 0.5)


def called_different(
    draw: Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, np.ndarray]], secrets: int, times: int
) -> Sequence[list[int]]:
    """Returns how often identical strategies differ in accuracy, steps or either, on the same and on other secrets."""
    rng = np.random.default_rng(7)
    counts = [[0, 0, 0], [0, 0, 0]]
    for _ in range(times):
        easiness = rng.normal(size=secrets)
        drawn = [draw(rng, easiness), draw(rng, easiness), draw(rng, rng.normal(size=secrets))]
        ends = [
            [list(zip(map(int, s), map(float, a), strict=True)) for s, a in zip(*each, strict=True)] for each in drawn
        ]
        first, again = made("first", ends[0]), made("second", ends[1])
        for place, other in enumerate((again, made("second", ends[2], seed=43))):
            comparison = compare(first, other)
            differ = bool(comparison.accuracy.is_real), bool(comparison.steps.is_real)
            for which, differs in enumerate((*differ, any(differ))):
                counts[place][which] += differs
    return counts


@pytest.mark.parametrize("draw", [normal, bimodal])
@pytest.mark.parametrize(
    ("secrets", "times"), [(5, 100), *(pytest.param(n, 1_000, marks=pytest.mark.slow) for n in (3, 5, 10))]
)
def test_identical_strategies_are_called_different_in_each_figure_once_in_20_and_in_either_once_in_10(
    draw: Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, np.ndarray]], secrets: int, times: int
) -> None:
    of_each, of_either = stats.binom.ppf(0.999, times, [0.05, 0.1])
    assert times < 1_000 or (of_each < 0.08 * times and of_either < 0.14 * times), "a doubled rate is seen"
    for accuracy, steps, either in called_different(draw, secrets, times):
        assert 0 < max(accuracy, steps) <= of_each
        assert either <= of_either


@pytest.mark.slow
def test_bundled_strategies() -> None:
    first, second = (evaluate(name, "n32-k8", protocol="published") for name in ("isolated_cube_1", "isolated_cube"))
    comparison = compare(first, second)
    assert "accuracy no worse" in comparison.verdict or "accuracy higher" in comparison.verdict
    assert "as many steps" in comparison.verdict or "fewer steps" in comparison.verdict
    other_secrets = compare(second, evaluate("isolated_cube", "n32-k8", protocol="published", seed=43))
    assert not other_secrets.is_paired
    assert not other_secrets.accuracy.is_real and not other_secrets.steps.is_real


def test_what_is_no_evaluation_is_refused() -> None:
    mine = made("mine", [[(1_750, 0.9)]] * 3)
    for first, second, got in (("isolated_cube", mine, "'isolated_cube'"), (mine, ["a.json"], "'a.json'")):
        with pytest.raises(UsageError, match=f"expected evaluations .*, got {got}"):
            compare(first, second)  # type: ignore[arg-type]
