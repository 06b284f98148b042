"""Small files that would take gigabytes or hours, and paths that are no files: each gives one line at once."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reading import GIGABYTES, Outcome, assert_documented, read_in_a_child

from vecparity import Evaluation
from vecparity.errors import UsageError
from vecparity.evaluation import serialization
from vecparity.history.references import existing
from vecparity.task.config import TaskConfig, task_config

DOCUMENTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a billion secrets": lambda content: content["config"].update(num_hidden_secrets=10**7, num_orderings=10**2),
    "a billion secrets of tiny networks": lambda content: content["config"].update(
        num_hidden_secrets=2 * 10**7, num_orderings=10, n_features=64, hidden_width=1
    ),
    "binomials": lambda content: content["config"].update(n_features=10**9, secret_size=5 * 10**8),
    "a million features": lambda content: content["config"].update(
        n_features=2**20, secret_size=2**19, hidden_width=1, test_set_size=1
    ),
    "a secret of huge features": lambda content: (
        content["config"].update(n_features=2**20, hidden_width=1, test_set_size=1),
        content["datasets"][0].update(secret=[0] * 8),
    ),
    "seed": lambda content: content["provenance"].update(seed=10**4000),
    "patterns": lambda content: content["datasets"][0].update(patterns_covered=10**300),
    "examples": lambda content: content["datasets"][0].update(num_examples=10**300),
    "figures": lambda content: content["audit"].append(
        {"name": "a", "passed": True, "summary": "b", "figures": {"c": 10**4000}}
    ),
    "names of figures": lambda content: content["audit"].append(
        {"name": "a", "passed": True, "summary": "b", "figures": {"\x1b[2J": 1}}
    ),
    "steps": lambda content: content["results"][0].update(steps=10**400),
    "windows that are none": lambda content: content["curves"].update(step=[1, 20, 40, 59]),
    "windows that do not ascend": lambda content: content["curves"].update(step=[1, 20, 20, 60]),
    "shares": lambda content: content["curves"]["accuracy"][0].__setitem__(0, 1.5),
    "weights": lambda content: content["first_layers"][0]["mean_abs_weight"].update(secret=-1),
    "density": lambda content: content["datasets"][0]["density"].update(secret=2),
    "time": lambda content: content["provenance"].update(wall_seconds=-1),
    "a long name": lambda content: content["provenance"].update(strategy="a" * 10**6),
    "metrics of many words": lambda content: content.update(metrics="\x1b[2J" * 10**5),
    "format of many words": lambda content: content.update(format="\x1b[2J" * 10**5),
    "protocol": lambda content: content["provenance"].update(protocol="\x1b[2J" * 10**5),
    "empty lists": lambda content: content["curves"]["loss"].extend([[]] * 10**7),
    "depth": lambda content: content.update(more=json.loads("[" * 900 + "]" * 900)),
}
TEXTS = {
    "a number too large": ("0.5", "1e400"),
    "a number too long": ('"max_steps": 60', '"max_steps": ' + "9" * 100_000),
    "no number": ('"max_steps": 60', '"max_steps": -Infinity'),
    "a depth that never ends": ('"format"', '"more": ' + "[" * 10**6 + ', "format"'),
    "numbers of numbers": ('"loss": [', '"loss": [' + "0," * 30_000_000),
    "a mapping of anything": ('"audit": [', '"audit": ' + "[{" + '"a": [],' * 10**6),
}


@pytest.mark.slow
def test_documents(evaluation: Evaluation, tmp_path: Path) -> None:
    paths = []
    for name, breaks in DOCUMENTS.items():
        content = serialization.to_document(evaluation)
        breaks(content)
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(json.dumps(content))
    for name, (old, new) in TEXTS.items():
        text = json.dumps(serialization.to_document(evaluation))
        assert old in text
        paths.append(tmp_path / f"{name}.json")
        paths[-1].write_text(text.replace(old, new, 1))
    outcomes = read_in_a_child("document", paths)
    assert_documented(outcomes, ["UsageError"])
    said = {path.stem: outcome.kind for path, outcome in zip(paths, outcomes, strict=True)}
    assert {name for name, kind in said.items() if kind == "read"} <= {"depth"}  # of a key that nobody reads


@pytest.mark.slow
def test_the_largest_evaluations_are_read(evaluation: Evaluation, tmp_path: Path) -> None:
    """100 runs that tell of each of 100 000 steps: 20 million numbers, in 420 MB."""
    steps = list(range(1, 100_001))
    config = replace(evaluation.config, num_hidden_secrets=10, num_orderings=10, max_steps=100_000, log_interval=1)
    places = [(i, j) for i in range(10) for j in range(10)]
    content = serialization.to_document(evaluation)
    content |= {
        "config": vars(config),
        "metrics": None,
        "results": [],
        "first_layers": [],
        "diverged": [{"secret_index": i, "order_index": j, "step": 100_000} for i, j in places],
        "datasets": [content["datasets"][0] | {"secret_index": i} for i in range(10)],
    }
    # Numbers as long as they come: 23 characters, and 19 of a share.
    losses = "[" + ",".join(f"{1 + step / 1e7 / 3:.16f}e-100" for step in steps) + "]"
    shares = "[" + ",".join(f"{0.6 + step / 1e7 / 3:.17f}" for step in steps) + "]"
    curves = json.dumps({"runs": places, "step": steps})[:-1]
    curves += f',"loss":[{",".join([losses] * 100)}],"accuracy":[{",".join([shares] * 100)}]}}'
    del content["curves"]
    (tmp_path / "large.json").write_text(json.dumps(content)[:-1] + f',"curves":{curves}}}')
    (outcome,) = read_in_a_child("document", [tmp_path / "large.json"])
    assert (outcome.kind, outcome.said) == ("read", "")
    assert outcome.mebibytes < GIGABYTES << 10, outcome


def test_what_is_no_file_of_an_evaluation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "directory.json").mkdir()
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    (tmp_path / "large.json").write_bytes(b"0" * 100)
    monkeypatch.setattr(serialization, "MOST_BYTES", 99)
    for name, said in [
        ("pipe", "Not a regular file"),
        ("directory", "Is a directory"),
        ("zero", "Not a regular file"),
        ("large", "Larger than 0 MiB"),
    ]:
        with pytest.raises(UsageError, match=rf"expected a file that can be read, got .*/{name}\.json: {said}$"):
            serialization.load(tmp_path / f"{name}.json")


@pytest.mark.parametrize("name", ["\x1b[31mred.json", "two\nlines.json", os.fsdecode(b"\xff.json")])
def test_a_name_that_cannot_be_printed(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="expected a file whose name can be printed, got ") as raised:
        serialization.load(tmp_path / name)
    assert str(raised.value).isprintable()


def test_an_id_that_no_history_has(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="expected an id of vecparity history, latest or a JSON file, got '9999"
    ) as raised:
        existing(["9" * 5000], tmp_path / "history")
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"n_features": 10**9, "secret_size": 5 * 10**8}, "n_features must be at most 1048576, got 1000000000"),
        ({"n_features": 2**20}, r"test_set_size \* n_features must be at most 2147483648, got 17179869184"),
        ({"hidden_width": 10**9}, "the networks' parameters must be at most 17179869184 in .* = 100 runs, got 34"),
        ({"max_steps": 10**5000}, "max_steps must be at most 2147483647, got an integer of 16610 bits"),
        ({"early_stop_acc": 10**5000}, "early_stop_acc must be a finite number, got an integer of 16610 bits"),
        ({"early_stop_acc": float("inf")}, "early_stop_acc must be a finite number, got inf"),
        ({"hidden_width": "\x1b" * 10**6}, r"hidden_width must be an integer, got '\\x1b"),
        ({"num_hidden_secrets": 10**7, "n_features": 25}, "at most 1081575, the number of subsets of 8 of 25 features"),
    ],
)
def test_settings_that_nobody_trains(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as raised:
        task_config(**settings)
    assert str(raised.value).isprintable() and len(str(raised.value)) < 500


def test_settings_at_their_bounds() -> None:
    config = TaskConfig(n_features=2**20, secret_size=2**19, hidden_width=1, test_set_size=2**11)
    assert config.num_runs == 100
    assert TaskConfig(max_steps=2**31 - 1, min_steps_before_stop=2**31 - 1).last_close(2**31 - 1) == 2**31 - 1
    assert task_config(n_features=25, num_hidden_secrets=1_081_575, num_orderings=1, hidden_width=1).num_runs == 1081575


def test_an_outcome_is_a_line() -> None:
    with pytest.raises(AssertionError):
        assert_documented([Outcome("UsageError", "two\nlines", 0, 0)], ["UsageError"])
    with pytest.raises(AssertionError):
        assert_documented([Outcome("KeyError", "one", 0, 0)], ["UsageError"])
