"""Cheats of a second kind: rows made from the test set in many ways, for some secrets, and other draws' secrets."""

from pathlib import Path
from typing import Any

import pytest
from conftest import ADVERSARIAL

from vecparity import Evaluation, evaluate
from vecparity.analysis.ranking import leaderboard
from vecparity.sandbox import levels
from vecparity.task.config import CONFIGURATIONS, Protocol, TaskConfig, task_config
from vecparity.task.seeds import SealedSeeds

pytestmark = pytest.mark.usefixtures("served")

NEAR = ADVERSARIAL / "near_the_test_set.py"
WAYS = {
    "one_bit": {"overlap", "fresh-test"},
    "two_bits": {"overlap", "fresh-test"},
    "three_bits": {"fresh-test"},
    "a_subset": {"overlap", "fresh-test"},
    "another_order": {"overlap", "fresh-test"},
    "with_bits_cleared": {"overlap", "fresh-test"},
    "relabelled": {"overlap", "fresh-test"},
}
KEY = bytes(range(32))


def near(way: str, cheats: int, protocol: Protocol, **settings: int) -> Evaluation:
    options: dict[str, Any] = {"max_steps": 2000, "test_set_size": 2048, "hidden_width": 256, "audit": "report"}
    made: Evaluation = evaluate(NEAR, params={"way": way, "cheats": cheats}, protocol=protocol, **options | settings)
    return made


def failed(evaluation: Evaluation) -> set[str]:
    return set(evaluation.failed_audits)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_rows_made_from_the_test_set_are_found_in_whatever_way(way: str) -> None:
    assert failed(near(way, 5, "published")) == WAYS[way]


@pytest.mark.slow
def test_complements_of_the_test_set_gain_next_to_nothing() -> None:
    """And so may or may not be found."""
    evaluation = near("complements", 5, "published")
    assert evaluation.metrics.test_accuracy < 0.55
    assert failed(evaluation) <= {"fresh-test"}


@pytest.mark.slow
@pytest.mark.parametrize(("cheats", "protocol"), [(1, "published"), (4, "published"), (1, "full"), (7, "full")])
@pytest.mark.parametrize("way", ["one_bit", "three_bits"])
def test_cheating_on_some_of_the_secrets_is_found(way: str, cheats: int, protocol: Protocol) -> None:
    evaluation = near(way, cheats, protocol, num_orderings=1)
    assert failed(evaluation) >= WAYS[way]
    (fresh,) = (finding for finding in evaluation.findings if finding.name == "fresh-test")
    assert fresh.figures["secret"] < cheats


def known(tmp_path: Path, config: TaskConfig, seeds: SealedSeeds, *, by_seed: bool) -> Path:
    """The strategy of an author who has learnt all of an evaluation's secrets."""
    secrets = seeds.secrets(config)
    runs = [(i, j) for i in range(config.num_hidden_secrets) for j in range(config.num_orderings)]
    source = (ADVERSARIAL / "secrets_of_another_draw.py").read_text()
    by_run_seed = {seeds.run_seed(config, i, j): secrets[i] for i, j in runs}
    what = f"BY_SEED = {by_run_seed}" if by_seed else f"IN_ORDER = {[secrets[i] for i, _ in runs]}"
    path = tmp_path / "knows.py"
    path.write_text(source.replace(what.partition(" = ")[0] + (" = {}" if by_seed else " = []"), what))
    assert path.read_text() != source
    return path


@pytest.mark.parametrize("by_seed", [False, True])
def test_the_secrets_of_one_sealed_evaluation_are_worth_nothing_in_another(tmp_path: Path, by_seed: bool) -> None:
    if levels.why_not("bwrap") and levels.why_not("landlock"):
        pytest.skip("a seal needs bwrap or landlock")
    settings: dict[str, Any] = {"protocol": "published", "max_steps": 1, "hidden_width": 16}
    config = task_config("n64-k8", **settings)
    first = evaluate("isolated_cube", config, seal_key=KEY)
    path = known(tmp_path, config, SealedSeeds(KEY, 42, first.provenance.draw), by_seed=by_seed)
    second = evaluate(path, config, seal_key=KEY)
    assert second.metrics.test_accuracy == pytest.approx(0.5, abs=0.01)
    # Who repeats the draw has the risk that is stated; not even then does the order of calls tell anything.
    repeated = evaluate(path, config, seal_key=KEY, draw=first.provenance.draw)
    assert (repeated.metrics.test_accuracy > 0.99) is by_seed
    # Chance puts a run's secret at its place once in five.
    shared = evaluate(
        known(tmp_path, config, SealedSeeds(KEY, 42), by_seed=by_seed), config, seal_key=KEY, same_draw=True
    )
    assert (shared.metrics.test_accuracy > 0.99) is by_seed
    assert by_seed or shared.metrics.test_accuracy < 0.9


@pytest.mark.slow
def test_secrets_solved_from_the_public_seeds_have_no_rank_while_audits_are_undecided() -> None:
    """`test_plan` has the strict audits decide, which takes many more runs."""
    cheat = ADVERSARIAL / "seed_of_the_run.py"
    reported = [evaluate(cheat, label, audit="report", protocol="published") for label in CONFIGURATIONS]
    assert [evaluation.metrics.test_accuracy for evaluation in reported] == [1, 1, 1]
    (standing,) = leaderboard(reported)
    assert (standing.rank, standing.verified) == (None, None)
    assert standing.why_unverified == "audits not made or undecided: cross-pairing, foresight"
    assert standing.verify_with is not None
    assert standing.verify_with.endswith("--all-configs --protocol published --audit strict")
