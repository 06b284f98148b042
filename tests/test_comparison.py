import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from made import changed, diverged, made, published
from scipy import stats

from vecparity import Evaluation, compare, evaluate
from vecparity.audit import AuditFinding
from vecparity.errors import AuditFailedError, DivergedError, UsageError
from vecparity.workbench.difference import Tally
from vecparity.workbench.intervals import Interval

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
        "n32-k8, isolated_cube against isolated_cube_1: accuracy no worse, no real difference (+0.0003, "
    )
    assert "no real difference in steps (+0 steps, 95% interval +0 to +0)" in same.verdict
    assert "accuracy not shown to be worse, no real difference (-0.0003, " in compare(fast_and_right, nearly).verdict


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
    assert "second against first (on other secrets): accuracy no worse" in unpaired.verdict


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


def test_one_name_twice_is_told_apart() -> None:
    public = published("multi_epoch")
    other = compare(public, changed(public, strategy_sha256="cd" * 32))
    assert other.second.name == "multi_epoch (cdcdcdcd)"
    assert compare(public, changed(public, seed=43)).second.name == "multi_epoch (seed 43)"
    assert compare(public, public).second.name == "multi_epoch"


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
            r"one evaluation a seed on each side of a comparison, got seeds \[42, 42\] of multi_epoch",
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
) -> Sequence[int]:
    """How often accuracy and steps of identical strategies differ, on the same secrets and on others."""
    rng = np.random.default_rng(7)
    counts = [0, 0, 0, 0]
    for _ in range(times):
        easiness = rng.normal(size=secrets)
        drawn = [draw(rng, easiness), draw(rng, easiness), draw(rng, rng.normal(size=secrets))]
        ends = [
            [list(zip(map(int, s), map(float, a), strict=True)) for s, a in zip(*each, strict=True)] for each in drawn
        ]
        first, again = made("first", ends[0]), made("second", ends[1])
        for place, other in enumerate((again, made("second", ends[2], seed=43))):
            comparison = compare(first, other)
            counts[2 * place] += bool(comparison.accuracy.is_real)
            counts[2 * place + 1] += bool(comparison.steps.is_real)
    return counts


@pytest.mark.parametrize("draw", [normal, bimodal])
@pytest.mark.parametrize(
    ("secrets", "times"), [(5, 200), *(pytest.param(n, 1_000, marks=pytest.mark.slow) for n in (3, 5, 10))]
)
def test_identical_strategies_are_called_different_about_once_in_20(
    draw: Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, np.ndarray]], secrets: int, times: int
) -> None:
    counts = called_different(draw, secrets, times)
    assert max(counts) <= stats.binom.ppf(0.999, times, 0.05)
    assert max(counts) > 0


@pytest.mark.slow
def test_bundled_strategies() -> None:
    first, second = (evaluate(name, "n32-k8", protocol="published") for name in ("isolated_cube_1", "isolated_cube"))
    comparison = compare(first, second)
    assert "accuracy no worse" in comparison.verdict or "accuracy higher" in comparison.verdict
    assert comparison.steps.difference <= 0
    other_secrets = compare(second, evaluate("isolated_cube", "n32-k8", protocol="published", seed=43))
    assert not other_secrets.is_paired
    assert not other_secrets.accuracy.is_real and not other_secrets.steps.is_real
