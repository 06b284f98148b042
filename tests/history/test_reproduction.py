import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import SHORT, STRATEGIES
from evaluation_strategies import IDENTIFIERS, LINES, PARAM_VALUES, bits
from hypothesis import given
from hypothesis import strategies as st

from vecparity import Evaluation, TaskConfig, evaluate
from vecparity.cli.arguments import Arguments, parse
from vecparity.cli.commands.evaluate import _plan
from vecparity.evaluation.params import Params
from vecparity.history.reproduction import command, notes
from vecparity.strategy import parameters
from vecparity.task.config import CONFIGURATIONS, PROTOCOLS, task_config


def read(line: str) -> tuple[Arguments, TaskConfig]:
    """Parses the line as the command does."""
    words = shlex.split(line)
    assert words[:2] == ["vecparity", "eval"]
    parsed = parse(words[2:])
    assert parsed is not None
    arguments, overrides, _ = parsed
    [(_, config)] = _plan(arguments, overrides)
    return arguments, config


@given(
    protocol=st.sampled_from([*PROTOCOLS, *(f"{protocol}+smoke" for protocol in PROTOCOLS), "custom"]),
    label=st.sampled_from([None, *CONFIGURATIONS]),
    given=st.fixed_dictionaries(
        {},
        optional={
            "n_features": st.integers(20, 70),
            "max_steps": st.integers(1, 200_000),  # without a step the note says what to do
            "hidden_width": st.integers(1, 600),
            "early_stop_acc": st.floats(0, 2),
        },
    ),
    seed=st.integers(0, 2**31),
)
def test_the_command_means_the_same_settings(
    evaluation: Evaluation, protocol: str, label: str | None, given: dict[str, Any], seed: int
) -> None:
    base, _, smoke = protocol.partition("+")
    of_protocol: Any = "full" if base == "custom" else base
    config = task_config(label, protocol=of_protocol, smoke=bool(smoke), **given)
    provenance = replace(evaluation.provenance, protocol=protocol, seed=seed)
    arguments, means = read(command(replace(evaluation, config=config, provenance=provenance)))
    assert means == config
    assert (arguments.strategy, arguments.seed) == (("isolated_cube",), (seed,))
    assert (arguments.protocol, arguments.smoke) == (of_protocol, bool(smoke))
    assert (arguments.engine, arguments.device, arguments.audit) == ("native", "cpu", "off")
    assert arguments.seal_key is None


def test_what_is_the_protocols_is_not_said(evaluation: Evaluation) -> None:
    whole = replace(evaluation, config=task_config("n50-k8"))
    expected = "vecparity eval --strategy isolated_cube --seed 42 --config n50-k8 --protocol full"
    assert command(whole) == f"{expected} --engine native --device cpu --audit off"
    assert notes(whole) == []


def test_params_are_flags(evaluation: Evaluation) -> None:
    params: Params = {"name": "it's a b", "lr": 0.01, "layers": 2, "is_on": True, "empty": ""}
    made = command(replace(evaluation, provenance=replace(evaluation.provenance, params=params)))
    words = shlex.split(made)
    assert [value for flag, value in pairwise(words) if flag == "--param"] == [
        *("empty=", "is_on=True", "layers=2", "lr=0.01", "name=it's a b")
    ]
    words = [word for flag, word in pairwise(["", *words]) if "--param" not in (flag, word)]
    assert shlex.join(words) == command(evaluation)


LITERALS = (
    "True",
    "False",
    "None",
    "1",
    "-1.50",
    "0x10",
    "1_000",
    "1e3",
    "nan",
    "'a'",
    '"a"',
    "b'a'",
    "(1)",
    "1 # one",
    "[1]",
)
TEXTS = st.sampled_from([*LITERALS, "", " 1", "1 ", "it's", "a=b", "$HOME", "--param", "\\n"]) | LINES


@given(params=st.dictionaries(IDENTIFIERS, PARAM_VALUES | TEXTS, max_size=4))
def test_params_are_read_back_exactly(evaluation: Evaluation, params: Params) -> None:
    line = command(replace(evaluation, provenance=replace(evaluation.provenance, params=params)))
    assert bits(parameters.parse(read(line)[0].param)) == bits(dict(sorted(params.items())))


def test_text_is_quoted_only_where_it_would_be_read_as_something_else(evaluation: Evaluation) -> None:
    params: Params = {"a": "1", "b": 1, "c": "True", "d": True, "e": "adam", "f": "'adam'", "g": "None"}
    line = command(replace(evaluation, provenance=replace(evaluation.provenance, params=params)))
    assert read(line)[0].param == ("a='1'", "b=1", "c='True'", "d=True", "e=adam", """f="'adam'\"""", "g=None")


def test_a_strategy_that_is_not_bundled_is_a_file(evaluation: Evaluation) -> None:
    by = replace(evaluation.provenance, strategy="my best; rm -r ~", strategy_sha256="ab" * 32)
    unknown = replace(evaluation, provenance=by)
    assert read(command(unknown))[0].strategy == ("my best; rm -r ~.py",)
    assert notes(unknown) == [f"my best; rm -r ~.py is the file whose SHA-256 is {'ab' * 32}."]
    # Nor is one that has a bundled one's name only.
    assert notes(replace(evaluation, provenance=replace(by, strategy="isolated_cube")))


def test_what_a_command_line_cannot_say_is_a_note(evaluation: Evaluation) -> None:
    by = replace(evaluation.provenance, seal="cd" * 32, dtype="float64", init_device="cuda", device_type="cuda")
    sealed = replace(evaluation, provenance=by)
    arguments, _ = read(command(sealed))
    assert (arguments.seal_key, arguments.init_device, arguments.device) == (Path("leaderboard.key"), "cuda", "cuda")
    key, dtype = notes(sealed)
    assert "cd" * 32 in key
    assert "dtype=torch.float64" in dtype


@pytest.mark.slow
@pytest.mark.usefixtures("served")
def test_the_command_evaluates_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vecparity.eval import main
    from vecparity.evaluation import serialization

    original = evaluate(STRATEGIES / "whole_file.py", "n50-k8", seed=3, dtype=torch.float32, audit="off", **SHORT)
    monkeypatch.chdir(STRATEGIES)
    assert main([*shlex.split(command(original))[2:], "--output-dir", str(tmp_path), "--log", "final"]) == 0
    [path] = tmp_path.glob("*.json")
    assert serialization.load(path).results == original.results
