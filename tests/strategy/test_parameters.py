from typing import Any

import pytest
from conftest import STRATEGIES

from vecparity.errors import UsageError
from vecparity.strategy import parameters
from vecparity.strategy.source import Strategy, load

VARIED = load(STRATEGIES / "varied.py")


def test_defaults_are_values_and_only_changes_are_passed() -> None:
    resolved = parameters.resolve(VARIED, {"lr": 0.02, "rows": 300})
    assert resolved.values == {"lr": 0.02, "rows": 300, "scale": 1.0, "wd": 0.3}
    assert resolved.arguments == {"init_model": {}, "make_dataset": {}, "get_optimizer_config": {"lr": 0.02}}


def test_a_parameter_of_two_functions_is_passed_to_both() -> None:
    arguments = parameters.resolve(VARIED, {"scale": 2.0}).arguments
    assert arguments["init_model"] == arguments["make_dataset"] == {"scale": 2.0}


def test_an_equal_value_of_another_type_is_another_value() -> None:
    resolved = parameters.resolve(VARIED, {"scale": 1})
    assert resolved.arguments["init_model"] == {"scale": 1}
    assert repr(resolved.values["scale"]) == "1"


def test_bundled_strategies_have_none() -> None:
    assert parameters.resolve(load("isolated_cube"), {}).values == {}


@pytest.mark.parametrize("source", ["def init_model(", "\0", "x = 1", "(" * 10_000])
def test_a_source_without_functions_has_none(source: str) -> None:
    assert parameters.resolve(Strategy.from_source(source), {}).values == {}


def test_a_default_that_is_no_literal_is_told_only_if_it_is_given() -> None:
    strategy = Strategy.from_source("def init_model(m, c, *, gain=2 ** 0.5, needed): pass")
    assert parameters.resolve(strategy, {}).values == {}
    resolved = parameters.resolve(strategy, {"gain": 1.0})
    assert (resolved.values, resolved.arguments["init_model"]) == ({"gain": 1.0}, {"gain": 1.0})
    with pytest.raises(UsageError, match=r"no parameter 'needed': its parameters are gain$"):
        parameters.resolve(strategy, {"needed": 1})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"rate": 1}, r"varied\.py: no parameter 'rate': its parameters are lr, rows, scale, wd"),
        ({"lr": float("nan")}, "parameter lr must be a finite number, .* got nan"),
        ({"lr": float("inf")}, "got inf"),
        ({"lr": None}, "got None"),
        ({"lr": [1]}, r"got \[1\]"),
        ({"lr": "a\nb"}, r"got 'a\\nb'"),
        ({"lr": "a" * 201}, "at most 200 characters"),
        ({"lr": 2**63}, "got 9223372036854775808"),
    ],
)
def test_what_is_no_value(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parameters.resolve(VARIED, given)


def test_values_on_a_command_line() -> None:
    texts = ["lr=1e-3", "rows=-5", "flag=True", "name=adam w", "quoted='5'", "odd=1+1", "empty=", "eq=a=b"]
    assert parameters.parse(texts) == {
        "lr": 1e-3,
        "rows": -5,
        "flag": True,
        "name": "adam w",
        "quoted": "5",
        "odd": "1+1",
        "empty": "",
        "eq": "a=b",
    }


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["lr"], "NAME=VALUE, as in lr=0.01, got 'lr'"),
        (["=1"], "got '=1'"),
        (["a b=1"], "got 'a b=1'"),
        (["lr=1", "lr=2"], "param lr is given twice, as 1 and '2'"),
    ],
)
def test_what_is_no_assignment(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parameters.parse(texts)
