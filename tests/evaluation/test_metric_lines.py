import re
from dataclasses import asdict, replace

import pytest

from vecparity import Evaluation
from vecparity.evaluation import metric_lines


def parse(line: str) -> tuple[str, dict[str, str]]:
    kind, *fields = line.split(" ")
    return kind, dict(field.split("=") for field in fields)


def test_lines_are_the_contracts_to_the_letter(evaluation: Evaluation) -> None:
    assert metric_lines.task_config_line(evaluation.config) == (
        "TASK_CONFIG N=32 K=8 W=32 num_hidden_secrets=2 num_orderings=2 test_set_size=100 batch_size=128 max_steps=60"
    )
    assert metric_lines.dataset_line(1, 4096, 0.5) == (
        "DATASET_METRICS secret=1 num_examples=4096 positive_rate=0.500000"
    )
    assert metric_lines.train_line(3, 2, 250, 0.3685434, 1.0) == (
        "TRAIN_METRICS secret=3 order=2 step=250 loss=0.368543 acc=1.000000"
    )
    run = replace(evaluation.results[0], steps=1750, test_accuracy=1.0)
    assert metric_lines.run_lines(replace(evaluation, results=[run])) == [
        "RUN_METRICS secret=0 order=0 steps=1750 test_accuracy=1.000000"
    ]
    runs = [replace(run, order_index=index, test_accuracy=value) for index, value in enumerate([1.0, 0.5])]
    assert metric_lines.final_lines(replace(evaluation, results=runs)) == [
        "FINAL_METRICS test_accuracy=0.750000 score=0.750000 test_accuracy_std=0.250000 "
        "mean_steps=1750.000000 num_runs=2",
        "TEST_METRICS test_accuracy=0.750000 score=0.750000",
    ]


def test_lines_parsed_back_are_the_results(evaluation: Evaluation) -> None:
    for line, result in zip(metric_lines.run_lines(evaluation), evaluation.results, strict=True):
        kind, fields = parse(line)
        assert kind == "RUN_METRICS"
        assert int(fields["secret"]) == result.secret_index
        assert int(fields["order"]) == result.order_index
        assert int(fields["steps"]) == result.steps
        assert float(fields["test_accuracy"]) == pytest.approx(result.test_accuracy, abs=5e-7)
    kind, fields = parse(metric_lines.final_lines(evaluation)[0])
    assert kind == "FINAL_METRICS"
    for name, value in asdict(evaluation.metrics).items():
        assert float(fields[name]) == pytest.approx(value, abs=5e-7)
    assert re.fullmatch(r"\d+", fields["num_runs"])


def test_digest_ends_with_what_an_author_reads(evaluation: Evaluation) -> None:
    lines = metric_lines.digest_lines(evaluation)
    kinds = [line.split()[0] for line in lines]
    assert kinds == ["TASK_CONFIG"] + ["TRAIN_METRICS"] * 5 + ["RUN_METRICS"] * 4 + ["FINAL_METRICS", "TEST_METRICS"]
    places = [(parse(line)[1]["step"], parse(line)[1]["secret"], parse(line)[1]["order"]) for line in lines[1:6]]
    assert places == [("40", "1", "1"), ("60", "0", "0"), ("60", "0", "1"), ("60", "1", "0"), ("60", "1", "1")]


def test_no_final_lines_from_a_broken_run(diverged: Evaluation) -> None:
    assert metric_lines.final_lines(diverged) == []
    assert len(metric_lines.run_lines(diverged)) == 3
