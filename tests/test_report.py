import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from test_evaluation import FILES, SHORT

from vecparity import Evaluation, evaluate, report


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return evaluate("isolated_cube", **SHORT)


@pytest.fixture(scope="module")
def diverged() -> Evaluation:
    return evaluate(FILES / "diverges.py", smoke=True, max_steps=30)


def parse(line: str) -> tuple[str, dict[str, str]]:
    kind, *fields = line.split(" ")
    return kind, dict(field.split("=") for field in fields)


def test_lines_are_the_contracts_to_the_letter(evaluation: Evaluation) -> None:
    assert report.task_config_line(evaluation.config) == (
        "TASK_CONFIG N=32 K=8 W=32 num_hidden_secrets=2 num_orderings=2 test_set_size=100 batch_size=128 max_steps=60"
    )
    assert report.dataset_lines(evaluation.datasets)[1] == (
        "DATASET_METRICS secret=1 num_examples=4096 positive_rate=0.500000"
    )
    assert report.train_line(3, 2, 250, 0.3685434, 1.0) == (
        "TRAIN_METRICS secret=3 order=2 step=250 loss=0.368543 acc=1.000000"
    )
    run = replace(evaluation.results[0], steps=1750, test_accuracy=1.0)
    assert report.run_lines(replace(evaluation, results=[run])) == [
        "RUN_METRICS secret=0 order=0 steps=1750 test_accuracy=1.000000"
    ]
    runs = [replace(run, order_index=index, test_accuracy=value) for index, value in enumerate([1.0, 0.5])]
    assert report.final_lines(replace(evaluation, results=runs)) == [
        "FINAL_METRICS test_accuracy=0.750000 score=0.750000 test_accuracy_std=0.250000 "
        "mean_steps=1750.000000 num_runs=2",
        "TEST_METRICS test_accuracy=0.750000 score=0.750000",
    ]


def test_lines_parsed_back_are_the_results(evaluation: Evaluation) -> None:
    for line, result in zip(report.run_lines(evaluation), evaluation.results, strict=True):
        kind, fields = parse(line)
        assert kind == "RUN_METRICS"
        assert int(fields["secret"]) == result.secret_index
        assert int(fields["order"]) == result.order_index
        assert int(fields["steps"]) == result.steps
        assert float(fields["test_accuracy"]) == pytest.approx(result.test_accuracy, abs=5e-7)
    kind, fields = parse(report.final_lines(evaluation)[0])
    assert kind == "FINAL_METRICS"
    for name, value in asdict(evaluation.metrics).items():
        assert float(fields[name]) == pytest.approx(value, abs=5e-7)
    assert re.fullmatch(r"\d+", fields["num_runs"])


def test_digest_ends_with_what_an_author_reads(evaluation: Evaluation) -> None:
    lines = report.digest_lines(evaluation)
    kinds = [line.split()[0] for line in lines]
    assert kinds == ["TASK_CONFIG"] + ["TRAIN_METRICS"] * 5 + ["RUN_METRICS"] * 4 + ["FINAL_METRICS", "TEST_METRICS"]
    places = [(parse(line)[1]["step"], parse(line)[1]["secret"], parse(line)[1]["order"]) for line in lines[1:6]]
    assert places == [("40", "1", "1"), ("60", "0", "0"), ("60", "0", "1"), ("60", "1", "0"), ("60", "1", "1")]


def test_no_final_lines_from_a_broken_run(diverged: Evaluation) -> None:
    assert report.final_lines(diverged) == []
    assert len(report.run_lines(diverged)) == 3


def test_document(evaluation: Evaluation) -> None:
    content = json.loads(json.dumps(report.document(evaluation), allow_nan=False))
    assert content["config"] == asdict(evaluation.config)
    assert set(content["metrics"]) == {"test_accuracy", "score", "test_accuracy_std", "mean_steps", "num_runs"}
    assert content["results"] == [asdict(run) for run in evaluation.results]
    assert content["provenance"] == asdict(evaluation.provenance)
    curves = content["curves"]
    assert curves["runs"] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert curves["step"] == [1, 20, 40, 60]
    assert curves["loss"][3] == pytest.approx(evaluation.curves[3].curve.loss, abs=5e-7)
    assert curves["accuracy"][2] == pytest.approx(evaluation.curves[2].curve.accuracy, abs=5e-7)


def test_document_of_a_broken_evaluation_has_no_metrics(diverged: Evaluation) -> None:
    content = report.document(diverged)
    assert content["metrics"] is None
    assert content["diverged"] == [{"secret_index": 0, "order_index": 1, "step": 2}]
    assert content["curves"]["loss"][1] == [pytest.approx(0.73, abs=0.1)]


def test_save_writes_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    report.save({"a": 1}, path)
    assert json.loads(path.read_text()) == {"a": 1}
    unwritable: dict[str, Any] = {"a": 2, "b": float("nan")}
    with pytest.raises(ValueError, match="JSON compliant"):
        report.save(unwritable, path)
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_table_names_the_diverged(evaluation: Evaluation, diverged: Evaluation) -> None:
    made = report.table([("n32-k8", evaluation), ("n32-k8", diverged)])
    columns = [list(column.cells) for column in made.columns]
    assert columns[1] == ["isolated_cube", "diverges"]
    assert columns[4][1] == "1 runs diverged"
    assert str(columns[4][0]).startswith(f"{evaluation.metrics.test_accuracy:.6f} ± ")
