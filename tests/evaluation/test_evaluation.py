from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from conftest import SHORT, STRATEGIES
from noting import Noting
from processes import await_that

import vecparity
from vecparity import Evaluation, TaskConfig, evaluate, evaluate_many, machine
from vecparity.audits import plan as audit_plan
from vecparity.errors import DivergedError, UsageError
from vecparity.evaluation.callbacks import Asked
from vecparity.evaluation.preparation import Preparation
from vecparity.evaluation.result import DivergedRun
from vecparity.strategy.source import load
from vecparity.task.config import task_config
from vecparity.task.seeds import PublicSeeds
from vecparity.training.engines.names import EngineName

pytestmark = pytest.mark.usefixtures("served")


def figures(evaluation: Evaluation) -> Any:
    return evaluation.results, evaluation.curves, evaluation.datasets


def test_evaluate_gathers_everything_in_order() -> None:
    evaluation = evaluate("default_4096", "n50-k8", protocol="published", **SHORT)
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [(run.secret_index, run.order_index) for run in evaluation.results] == places
    assert [(run.secret_index, run.order_index) for run in evaluation.curves] == places
    assert all(run.curve.step == [1, 20, 40, 60] for run in evaluation.curves)
    assert [data.num_examples for data in evaluation.datasets] == [4096, 4096]
    accuracies = torch.tensor([run.test_accuracy for run in evaluation.results], dtype=torch.float64)
    metrics = evaluation.metrics
    assert metrics.test_accuracy == metrics.score == pytest.approx(accuracies.mean().item())
    assert metrics.test_accuracy_std == pytest.approx(accuracies.std(unbiased=False).item())
    assert (metrics.mean_steps, metrics.num_runs) == (60, 4)


def test_provenance() -> None:
    loaded = load("isolated_cube")
    options = {"protocol": "published", "smoke": True, "seed": 7, "device": "cpu", **SHORT}
    provenance = evaluate(loaded, "n32-k8", **options).provenance
    assert provenance.strategy == "isolated_cube"
    assert provenance.strategy_sha256 == loaded.sha256
    assert provenance.seed == 7
    assert provenance.protocol == "published+smoke"
    assert (provenance.engine, provenance.dtype) == ("native", "float32")
    assert (provenance.vecparity, provenance.torch) == (vecparity.__version__, torch.__version__)
    assert provenance.device
    assert provenance.device_type == "cpu"
    assert (provenance.host, provenance.capability) == (machine.host(), machine.capability())
    assert provenance.wall_seconds > 0


@pytest.mark.parametrize(
    ("engine", "dtype"), [("native", torch.float32), pytest.param("vmap", torch.float64, marks=pytest.mark.slow)]
)
def test_many_strategies_and_seeds_share_an_ensemble(engine: EngineName, dtype: torch.dtype) -> None:
    jobs: list[tuple[str | Path, int]] = [
        ("isolated_cube", 42),
        ("default_4096", 42),
        (STRATEGIES / "whole_file.py", 42),
        ("isolated_cube", 7),
    ]
    noting = Noting()
    together = evaluate_many(jobs, "n32-k8", engine=engine, dtype=dtype, followers=[noting], **SHORT)
    assert noting.windows[0].runs == list(range(16))
    for (chosen, seed), evaluation in zip(jobs, together, strict=True):
        alone = evaluate(chosen, "n32-k8", seed=seed, engine=engine, dtype=dtype, **SHORT)
        assert evaluation.results == alone.results
        assert evaluation.datasets == alone.datasets
        assert evaluation.provenance.seed == seed
        for ours, theirs in zip(evaluation.curves, alone.curves, strict=True):
            tolerance = 0 if engine == "native" else 1e-12
            torch.testing.assert_close(ours.curve.loss, theirs.curve.loss, rtol=tolerance, atol=tolerance)
            assert ours.curve.accuracy == theirs.curve.accuracy


@pytest.mark.parametrize(("audit", "calls"), [("off", 1), ("strict", 2)])
def test_what_strategies_are_asked_for_is_told(
    monkeypatch: pytest.MonkeyPatch, audit: Literal["off", "strict"], calls: int
) -> None:
    monkeypatch.setattr("vecparity.evaluation.pipeline._TICK_SECONDS", 0.002)
    noting, note = Noting(), Preparation._note

    def note_and_wait(preparation: Preparation, strategy: str, count: int) -> None:
        note(preparation, strategy, count)
        await_that(lambda: noting.asked_for[-1:] == [preparation.asked])  # as in a call that takes its time

    monkeypatch.setattr(Preparation, "_note", note_and_wait)
    evaluate("isolated_cube", "n32-k8", audit=audit, followers=[noting], **SHORT)
    config = task_config("n32-k8", **SHORT)
    orderings, sealed = audit_plan.num_orderings(config, audit), audit_plan.num_sealed(PublicSeeds(42), config, audit)
    own = config.num_hidden_secrets
    networks = calls * own * orderings + (calls > 1) * sealed
    data = calls * own + (calls > 1) * sealed
    (*_, last) = noting.asked_for
    assert last == Asked("isolated_cube", "data", data, data)
    assert str(last) == f"isolated_cube for data, {data} of {data}"
    assert {asked.of for asked in noting.asked_for if asked.what == "networks"} == {networks}
    told = [(asked.what == "data", asked.number) for asked in noting.asked_for]
    assert told == sorted(set(told)) and len(told) > 2


def test_the_reference_is_an_engine_like_others() -> None:
    ours = evaluate("isolated_cube", engine="vmap", **SHORT)
    theirs = evaluate("isolated_cube", engine="reference", **SHORT)
    assert theirs.provenance.engine == "reference"
    for run, expected in zip(ours.curves, theirs.curves, strict=True):
        assert run.curve.step == expected.curve.step
        assert run.curve.loss[0] == pytest.approx(expected.curve.loss[0], abs=1e-5)


def test_settings_may_be_given_as_they_are() -> None:
    config = TaskConfig(n_features=6, secret_size=2, **SHORT)
    evaluation = evaluate("isolated_cube", config, num_orderings=1)
    assert evaluation.config.num_orderings == 1
    assert evaluation.config.n_features == 6
    assert evaluation.provenance.protocol == "custom"


@pytest.mark.parametrize("engine", ["native", "vmap", "reference"])
def test_perfect_weights_are_perfect_in_whatever_order_they_were_set(engine: EngineName) -> None:
    config = TaskConfig(n_features=8, secret_size=8, num_hidden_secrets=1, num_orderings=1, max_steps=2)
    assert evaluate(STRATEGIES / "perfect_weights.py", config, engine=engine).metrics.test_accuracy == 1.0


def test_features_beyond_a_word() -> None:
    metrics = evaluate("isolated_cube", n_features=130, secret_size=2, **SHORT).metrics
    assert metrics.num_runs == 4


def test_a_diverged_run_leaves_no_score_but_the_others_results() -> None:
    evaluation = evaluate(STRATEGIES / "diverges.py", smoke=True, max_steps=30)
    assert [(run.secret_index, run.order_index, run.step) for run in evaluation.diverged] == [(0, 1, 2)]
    assert [(run.secret_index, run.order_index) for run in evaluation.results] == [(0, 0), (1, 0), (1, 1)]
    said = r"seed 42 has no score: expected finite losses, got 1 diverged of 4 runs: secret=0 order=1 \(step 2\)$"
    with pytest.raises(DivergedError, match=said):
        _ = evaluation.metrics


def test_of_many_diverged_runs_a_line_names_three(evaluation: Evaluation) -> None:
    broken = replace(evaluation, results=[], diverged=[DivergedRun(i, j, 7) for i in range(2) for j in range(2)])
    said = str(broken.why_no_score)
    assert "got 4 diverged of 4 runs: secret=0 order=0 (step 7), " in said
    assert said.endswith("secret=0 order=1 (step 7), secret=1 order=0 (step 7) and 1 more")
    three = replace(broken, diverged=broken.diverged[:3])
    assert str(three.why_no_score).endswith("secret=1 order=0 (step 7)")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"jobs": []}, "at least one strategy"),
        ({"jobs": [("isolated_cube", "42")]}, "seed must be an integer, got '42'"),
        ({"config": "n99"}, "config must be one of n32-k8, n50-k8, n64-k8, got 'n99'"),
        (
            {"config": TaskConfig(), "smoke": True},
            "protocol and smoke need a label as config (n32-k8, n50-k8 or n64-k8), got a TaskConfig",
        ),
        ({"engine": "fast"}, "engine must be one of auto, native, cuda, triton, vmap, reference, got 'fast'"),
        (
            {"engine": "triton", "device": "cpu"},
            "the triton engine trains on CUDA (compute capability 8.0 or newer), got cpu",
        ),
        ({"device": "tpu"}, "device must be one of auto, cpu, cuda, cuda:0 (or another number), cuda:all, got 'tpu'"),
        ({"chunk_runs": 0}, "chunk_runs must be at least 1, got 0"),
        (
            {"max_stepps": 3},
            "evaluate_many has no argument 'max_stepps' (is max_steps meant?); help(vecparity.evaluate_many) lists all",
        ),
        ({"progress": 1}, "progress must be True or False, got 1"),
        ({"folowers": []}, "evaluate_many has no argument 'folowers' (is followers meant?)"),
        ({"\x1b[31m": 1}, "evaluate_many has no argument '\\x1b[31m'; help("),
    ],
)
def test_wrong_use_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as error:
        evaluate_many(**{"jobs": [("isolated_cube", 42)], **arguments})
    assert said in str(error.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("argument", ["device", "init_device"])
def test_cuda_where_there_is_none_is_refused(argument: str) -> None:
    options: dict[str, Any] = {argument: "cuda"}
    with pytest.raises(UsageError, match="needs a CUDA GPU"):
        evaluate("isolated_cube", **options)
