"""Held to figures measured on the original evaluator (contract section 7)."""

from typing import Any

import pytest
import torch
from conftest import CPU, golden

from vecparity import evaluate, reference, spec
from vecparity.engines.vmap import VmapEngine
from vecparity.evaluation import Evaluation, summarise_datasets
from vecparity.runs import make_runs
from vecparity.spec import TaskConfig
from vecparity.strategy import load
from vecparity.train import train

CASES = golden("traces")["cases"]


@pytest.mark.parametrize("engine", ["vmap", "reference"])
@pytest.mark.parametrize("case", CASES)
def test_every_step_of_the_traces(case: str, engine: str) -> None:
    expected = CASES[case]["trace"]
    config = TaskConfig(**expected["config"])
    runs = make_runs([(load(CASES[case]["strategy"]), CASES[case]["seed"])], config, CPU)
    summaries = summarise_datasets(runs)
    assert [[data.secret_index, data.num_examples] for data in summaries] == [row[:2] for row in expected["datasets"]]
    assert [data.positive_rate for data in summaries] == pytest.approx(
        [row[2] for row in expected["datasets"]], abs=1e-6
    )

    if engine == "vmap":
        ends = train(runs, config, VmapEngine(), CPU, torch.float32, lambda closed: None)
    else:
        ends = reference.train(runs, config, CPU, torch.float32, lambda closed: None)
    index = {(run.secret_index, run.order_index): position for position, run in enumerate(runs)}
    assert len(expected["train"]) == len(runs) * config.max_steps
    for secret, order, step, loss, share in expected["train"]:
        curve = ends[index[secret, order]].curve
        assert curve.step[step - 1] == step
        assert curve.loss[step - 1] == pytest.approx(loss, abs=1e-5, rel=0)
        assert curve.accuracy[step - 1] == pytest.approx(share, abs=1e-6, rel=0)
    for secret, order, steps, _ in expected["runs"]:
        assert ends[index[secret, order]].steps == steps


def smoke(case: str, chunk_runs: int | None) -> Evaluation:
    config = TaskConfig(**CASES[case]["smoke"]["config"])
    seed = CASES[case]["seed"]
    return evaluate(CASES[case]["strategy"], config, seed=seed, engine="vmap", chunk_runs=chunk_runs)


def assert_same_in_distribution(evaluation: Evaluation, final: dict[str, Any]) -> None:
    assert evaluation.metrics.test_accuracy == pytest.approx(final["test_accuracy"], abs=0.03, rel=0)
    assert evaluation.metrics.mean_steps == pytest.approx(final["mean_steps"], rel=0.05)
    assert evaluation.metrics.num_runs == final["num_runs"]


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("isolated_cube_n")])
def test_smoke_of_isolated_cube_stops_every_run_where_the_original_did(case: str) -> None:
    runs = [[run.secret_index, run.order_index, run.steps] for run in smoke(case, None).results]
    assert runs == [row[:3] for row in CASES[case]["smoke"]["runs"]]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_smoke_is_the_same_in_distribution(case: str) -> None:
    """One run a chunk: its sums are rounded as the original's are, so that four runs are sample enough.

    After thousands of steps rounding decides at which window a run stops; a mean over four runs is worth no more
    than the luck of one of them otherwise.
    """
    assert_same_in_distribution(smoke(case, 1), CASES[case]["smoke"]["final"])


def test_isolated_cube_as_published() -> None:
    """One secret of the published evaluation: 1 750 steps, the contract's earliest stop, and every answer right."""
    evaluation = evaluate("isolated_cube", "n64-k8", protocol="published", num_hidden_secrets=1)
    expected = golden("published")["isolated_cube_n64_seed42"]["runs"][:3]
    got = [[run.secret_index, run.order_index, run.steps, run.test_accuracy] for run in evaluation.results]
    assert got == expected
    assert spec.task_config("n64-k8", protocol="published").num_runs == 15
