import json
import pickle
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from evaluation_strategies import bits, evaluations
from hypothesis import given

from vecparity import Evaluation
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation import serialization
from vecparity.training.curve import Curve

SAMPLES = Path(__file__).parents[1] / "history" / "samples"

Break = Callable[[dict[str, Any]], object]


def test_document(evaluation: Evaluation) -> None:
    content = json.loads(serialization.dumps(evaluation))
    assert content["config"] == asdict(evaluation.config)
    assert set(content["metrics"]) == {"test_accuracy", "score", "test_accuracy_std", "mean_steps", "num_runs"}
    assert content["results"] == [asdict(run) for run in evaluation.results]
    assert content["provenance"] == asdict(evaluation.provenance)
    curves = content["curves"]
    assert curves["runs"] == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert curves["step"] == [1, 20, 40, 60]
    assert curves["loss"][3] == evaluation.curves[3].curve.loss
    assert curves["accuracy"][2] == evaluation.curves[2].curve.accuracy


def test_document_of_a_broken_evaluation_has_no_metrics(diverged: Evaluation) -> None:
    content = serialization.to_document(diverged)
    assert content["metrics"] is None
    assert content["diverged"] == [{"secret_index": 0, "order_index": 1, "step": 2}]
    assert content["curves"]["loss"][1] == [pytest.approx(0.73, abs=0.1)]


@pytest.mark.parametrize("which", ["evaluation", "diverged"])
def test_what_is_read_back_is_what_was_written(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    original: Evaluation = request.getfixturevalue(which)
    serialization.save(original, tmp_path / "result.json")
    read = serialization.load(tmp_path / "result.json")
    assert read == original
    assert serialization.dumps(read) == serialization.dumps(original)


@given(evaluations())
def test_any_evaluation_is_read_back_bit_for_bit(evaluation: Evaluation) -> None:
    expected = bits(asdict(evaluation))
    for read in (
        serialization.loads(serialization.dumps(evaluation), "here"),
        serialization.from_document(serialization.to_document(evaluation), "here"),
        pickle.loads(pickle.dumps(evaluation)),
    ):
        assert read == evaluation
        assert bits(asdict(read)) == expected


def test_a_file_of_the_first_version_is_read(evaluation: Evaluation) -> None:
    """Its curves are rounded to 6 decimals, and it has no parameters."""
    read = serialization.load(SAMPLES / "format-1.json")
    assert read.provenance.params == {}
    assert read.config == evaluation.config
    for ours, theirs in zip(read.curves, evaluation.curves, strict=True):
        assert ours.curve.step == theirs.curve.step
        assert all(value == round(value, 6) for value in ours.curve.loss)
    assert serialization.loads(serialization.dumps(read), "here") == read


def test_what_cannot_be_read_is_not_written(
    evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size, commas = len(serialization.dumps(evaluation)), serialization.dumps_in_parts(evaluation)[1].count(b",")
    whose = "the evaluation of isolated_cube is too large to be kept: "
    for name, at_most, said in [
        ("MOST_BYTES", size, "expected at most 0 MiB of JSON, got 0 MiB"),
        ("_MOST_NUMBERS", commas, f"expected at most {commas - 1} numbers in curves, got {commas}: a larger"),
        ("_MOST_BYTES_BESIDES", size, None),
    ]:
        monkeypatch.setattr(serialization, name, at_most)
        data = serialization.dumps(evaluation)
        assert serialization.loads(data, "here") == evaluation
        if said is None:
            continue
        monkeypatch.setattr(serialization, name, at_most - 1)
        with pytest.raises(UsageError):
            serialization.loads(data, "here")
        with pytest.raises(MachineError, match=f"^{whose}{said}"):
            serialization.dumps(evaluation)
        with pytest.raises(OSError, match=said) as raised:
            serialization.save(evaluation, tmp_path / "result.json")
        assert raised.value.strerror and raised.value.strerror.startswith(whose)
        monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_without_windows_the_rest_is_the_same(evaluation: Evaluation) -> None:
    besides, curves = serialization.dumps_in_parts(evaluation)
    read = serialization.loads(serialization.join(besides, serialization.without_windows(curves)), "here")
    assert [run.curve for run in read.curves] == [Curve()] * 4
    assert replace(read, curves=evaluation.curves) == evaluation


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"not a name": 1}, "expected an identifier as the name of a parameter, got 'not a name'"),
        ({"": 1}, "expected an identifier as the name of a parameter, got ''"),
        ({"lr": 2**63}, "within 64 bits as parameter 'lr', got 9223372036854775808"),
        ({"lr": "two\nlines"}, r"expected text that can be printed, got 'two\\nlines'"),
        ({"lr": "a" * 5000}, "got 5000: 'aaaa"),
        ({"a" * 5000: 1}, "got 5000: 'aaaa"),
        ({"lr": [1]}, r"Expected `bool \| int \| float \| str`, got `array`"),
        ({"lr": None}, r"Expected `bool \| int \| float \| str`, got `null`"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_params_that_nobody_has(evaluation: Evaluation, params: Any, said: str) -> None:
    content = serialization.to_document(evaluation)
    content["provenance"]["params"] = params
    with pytest.raises(UsageError, match=said):
        serialization.from_document(content, "here")


def test_without_a_machine_it_is_unknown(evaluation: Evaluation) -> None:
    content = serialization.to_document(evaluation)
    assert (content["provenance"].pop("host"), content["provenance"].pop("capability")) != ("", "")
    read = serialization.from_document(content, "earlier.json").provenance
    assert (read.host, read.capability) == ("", "")


def test_without_an_origin_it_is_a_file(evaluation: Evaluation) -> None:
    content = serialization.to_document(evaluation)
    assert content["provenance"].pop("origin") == "file"
    assert serialization.from_document(content, "here") == evaluation
    content["provenance"]["origin"] = "elsewhere"
    with pytest.raises(UsageError, match="Invalid enum value 'elsewhere'"):
        serialization.from_document(content, "here")


def test_save_writes_all_or_nothing(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    serialization.save(evaluation, path)
    before = path.read_bytes()
    unwritable = replace(evaluation, results=[replace(evaluation.results[0], test_accuracy=float("nan"))])
    with pytest.raises(ValueError, match="JSON compliant"):
        serialization.save(unwritable, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda content: content.pop("config"), "expected the JSON of an evaluation, got something else"),
        (lambda content: content.update(format=2), r"format 1, which vecparity .* reads, got format 2$"),
        (lambda content: content.pop("format"), r"format 1, which .* reads, got one without a format$"),
        (lambda content: content.pop("curves"), "missing required field `curves`"),
        (lambda content: content["results"][0].update(steps="many"), "Expected `int`, got `str`"),
        (lambda content: content["config"].update(secret_size=40), "at most n_features=32, got 40"),
        (lambda content: content["curves"]["loss"].pop(), "4 runs in curves, got losses of 3 and accuracies of 4$"),
        (lambda content: content["curves"]["loss"][0].pop(), "each of 4 windows, got 3 losses and 4 accuracies$"),
        (lambda content: content["curves"]["runs"].reverse(), "expected 4 runs in curves, .*, got others in between$"),
        (lambda content: content.update(results=[]), "expected 4 runs in results and diverged, .*, got 0$"),
        (lambda content: content["results"][0].update(secret_index=9), r"expected 4 runs in results .*, got \(9, 0\)$"),
        (lambda content: content["results"].append(content["results"][0]), "expected 4 runs in results and .*, got 5$"),
        (lambda content: content["results"][0].update(steps=-5), r"a number >= 0 as results\[0\].steps, got -5$"),
        (lambda content: content["results"][3].update(steps=61), "runs of at most 60 steps, got one of 61$"),
        (
            lambda content: content["results"][0].update(test_accuracy=7),
            r"<= 1.0 as results\[0\].test_accuracy, got 7$",
        ),
        (lambda content: content["results"][1].update(secret_index=-1), r">= 0 as results\[1\].secret_index, got -1$"),
        (
            lambda content: content["curves"]["accuracy"][2].__setitem__(1, 1.5),
            r"as curves.accuracy\[2\]\[1\], got 1.5$",
        ),
        (lambda content: content["curves"]["step"].__setitem__(0, 0), r">= 1 as curves.step\[0\], got 0$"),
        (lambda content: content["datasets"][1].update(num_examples=0), r">= 1 as datasets\[1\].num_examples, got 0$"),
        (lambda content: content["datasets"][0].update(positive_rate=-1), r"as datasets\[0\].positive_rate, got -1$"),
        (lambda content: content["datasets"][0]["density"].update(others=2), r"datasets\[0\].density.others, got 2$"),
        (lambda content: content["provenance"].update(wall_seconds=-1), ">= 0.0 as provenance.wall_seconds, got -1$"),
        (lambda content: content["metrics"].update(test_accuracy=1), r"expected test_accuracy 0\.\d+ .*, got 1.0$"),
        (lambda content: content.update(metrics=None), r"the metrics Metrics\(.*\), by the runs, got None$"),
        (lambda content: content["metrics"].update(test_accuracy="high"), "Expected `float`, got `str`"),
        (lambda content: content["provenance"].update(protocol="mine"), "of the protocols full, .*, got 'mine'$"),
        (lambda content: content["provenance"].update(strategy="\ud800"), "JSON is malformed"),
        (
            lambda content: content["provenance"].update(strategy="\x1b[31m"),
            r"text that can be printed, got '\\x1b\[31m'$",
        ),
        (lambda content: content["first_layers"].pop(), "expected 4 runs in first_layers, .*, got 3$"),
        (lambda content: content["datasets"].pop(), "expected 2 secrets in datasets, .*, got 1$"),
        (lambda content: content["datasets"][0]["secret"].append(99), r"8 ascending features below 32, got \[.*99\]$"),
        (lambda content: content["datasets"][0]["density"]["each"].pop(), "a density for each of 32 features, got 31$"),
        (lambda content: content["curves"]["loss"][0].__setitem__(0, 1e308 * 10), "JSON is malformed"),
    ],
)
def test_what_cannot_be_read_is_one_line(evaluation: Evaluation, break_it: Break, said: str, tmp_path: Path) -> None:
    content = json.loads(serialization.dumps(evaluation))
    break_it(content)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=said) as raised:
        serialization.load(path)
    assert str(raised.value).startswith(str(path))
    assert len(str(raised.value).splitlines()) == 1


def test_a_number_that_is_too_large_is_one_line(evaluation: Evaluation, tmp_path: Path) -> None:
    text = json.dumps(serialization.to_document(evaluation))
    content = text.replace(f'"wall_seconds": {evaluation.provenance.wall_seconds}', '"wall_seconds": 1e999')
    assert content != text
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(UsageError, match=r"of an evaluation: Number out of range - at `\$.provenance.wall_seconds`$"):
        serialization.load(tmp_path / "result.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100_000, '{"config": NaN, "metrics": 1, "results": 2}', "\0"])
def test_what_is_no_json_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(UsageError, match=r"expected the JSON of an evaluation(: |, got something else)"):
        serialization.load(tmp_path / "result.json")


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a file that can be read, got .*No such file"):
        serialization.load(tmp_path / "nowhere.json")
