"""The machines of a cluster: which suit, and what is said of the others."""

from dataclasses import replace

import pytest

from vecparity import Evaluator, Failure, Job, TaskConfig
from vecparity.cluster import worker
from vecparity.cluster.choose import asked
from vecparity.cluster.distribution import Distribution
from vecparity.cluster.local import LocalWorkers
from vecparity.cluster.nodes import require_alike, this_node
from vecparity.cluster.work import options_for_workers, to_work
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.job import to_task
from vecparity.evaluation.options import Options
from vecparity.evaluation.pipeline import Pipeline

OWN = this_node()


def test_machines_like_this_one_are_silent() -> None:
    assert require_alike({}, OWN) == []
    assert require_alike({"10.0.0.1:1": OWN, "10.0.0.2:1": replace(OWN, host="b", capability="AVX2")}, OWN) == []


def test_other_versions_are_one_error() -> None:
    nodes = {
        "10.0.0.1:1": OWN,
        "10.0.0.2:1": replace(OWN, host="b", versions="vecparity 0.0.1 and torch 2.11.0"),
        "10.0.0.3:1": replace(OWN, host="c", versions="vecparity 0.1.0 and torch 2.12.0", draws="x86_64 DEFAULT"),
    }
    with pytest.raises(MachineError) as raised:
        require_alike(nodes, OWN)
    assert str(raised.value) == (
        f"every machine of a cluster must have {OWN.versions}, as this one has, got vecparity 0.0.1 and torch 2.11.0 "
        "on b (10.0.0.2:1); vecparity 0.1.0 and torch 2.12.0 on c (10.0.0.3:1): install the same there"
    )
    assert raised.value.exit_status == 6


def test_other_draws_are_a_warning_for_each_host() -> None:
    other = replace(OWN, draws="aarch64 DEFAULT")
    nodes = {"10.0.0.1:1": OWN} | {f"10.0.0.2:{port}": replace(other, host="b") for port in (1, 2)}
    nodes["10.0.0.3:1"] = replace(other, host="c")
    words = require_alike(nodes, OWN)
    assert [text.partition(" (")[0] for text in words] == [
        "torch draws other initial weights on b",
        "torch draws other initial weights on c",
    ]


def test_work_of_other_versions_fails() -> None:
    options = Options()
    task = to_task(0, Job("isolated_cube", TaskConfig()), options)
    work = replace(to_work([task], options_for_workers(options, 1)), versions="vecparity 0.0.1 and torch 2.11.0")
    (outcome,) = worker.evaluate_work(work).outcomes
    assert isinstance(outcome, Failure)
    assert isinstance(outcome.error, MachineError)
    assert str(outcome.error).startswith("workers need vecparity 0.0.1 and torch 2.11.0, as here, got vecparity ")


class OfAnotherVersion(LocalWorkers):
    """Workers of a cluster that has another version."""

    def require_alike(self) -> None:
        require_alike({"10.0.0.2:1": replace(OWN, versions="vecparity 0.0.1 and torch 2.11.0")}, OWN)


def test_an_evaluator_asks_before_it_evaluates() -> None:
    with OfAnotherVersion(1) as workers, pytest.raises(MachineError, match="every machine of a cluster must have"):
        Evaluator(executor=workers)


class OnGpus(LocalWorkers):
    """Workers that have a GPU each, by their own word."""

    gpus = 1


def test_workers_have_the_device_of_the_evaluation() -> None:
    with (
        OnGpus(1) as workers,
        pytest.raises(UsageError, match=r"training on cpu needs RayWorkers\(gpus=0\), got gpus=1"),
    ):
        Evaluator(executor=workers, device="cpu")


def test_workers_without_gpus_train_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    options = Options(engine="native")
    with OnGpus(1) as workers, Pipeline(options) as pipeline:
        monkeypatch.setattr(workers, "gpus", 0)
        assert Distribution(pipeline, options, workers)._options.device == "cpu"


@pytest.mark.parametrize("text", ["8", "ray"])
def test_only_a_clusters_machines_are_asked(text: str) -> None:
    assert asked(None) == {}
    with pytest.raises(UsageError, match=f"expected a cluster, ray://HOST:PORT: .* got '{text}'"):
        asked(text)
