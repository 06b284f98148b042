from typing import Any

import numpy as np
import pytest

from vecparity import Choice, Range
from vecparity.errors import InvalidStrategyError, UsageError
from vecparity.strategy import interface
from vecparity.strategy.annotations import read_space
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Space

HEAD = """
from typing import Annotated
from vecparity import Choice, Range
"""
BODY = """
def init_model(model, config{init_model}): pass
def make_dataset(secret, config, seed{make_dataset}): pass
def get_optimizer_config(config{get_optimizer_config}): pass
"""


def source(head: str = HEAD, **arguments: str) -> Strategy:
    given = {name: arguments.get(name, "") for name in ("init_model", "make_dataset", "get_optimizer_config")}
    return Strategy.from_source(head + BODY.format(**given), name="mine")


def space(head: str = HEAD, **arguments: str) -> Space:
    return read_space(interface.load(source(head, **arguments)))


def test_ranges_are_read_from_all_functions() -> None:
    read = space(
        init_model=", *, scale: Annotated[float, Range(0, 2)] = 1.0",
        make_dataset=", *, rows: Annotated[int, Range(100, 5000, log=True)] = 4096, plain: int = 3",
        get_optimizer_config=", *, lr: Annotated[float, 'words', Range(1e-3, 1e-1, log=True)] = 1e-2, wd: "
        "Annotated[float, Choice(0.0, 0.3)] = 0.3",
    )
    assert read == {
        "scale": Range(0.0, 2.0),
        "rows": Range(100, 5000, log=True),
        "lr": Range(0.001, 0.1, log=True),
        "wd": Choice(0.0, 0.3),
    }
    assert not read["scale"].is_whole  # type: ignore[union-attr]
    assert read["rows"].is_whole  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "head", [HEAD.replace("\n", "\nfrom __future__ import annotations\n", 1), HEAD + "TOP = 0.5\n"], ids=str.split
)
def test_annotations_may_be_texts_and_computed(head: str) -> None:
    top = "TOP" if "TOP" in head else "5 / 10"
    assert space(head, init_model=f", *, a: Annotated[float, Range(0, {top})] = 0.1") == {"a": Range(0.0, 0.5)}


def test_a_range_may_have_a_name_of_its_own() -> None:
    head = HEAD.replace("\n", "\nfrom __future__ import annotations\n", 1) + "Rate = Annotated[float, Range(0, 1)]\n"
    assert space(head, init_model=", *, a: Rate = 0.1") == {"a": Range(0.0, 1.0)}


def test_a_text_that_means_no_range_may_be_anything() -> None:
    head = HEAD.replace("\n", "\nfrom __future__ import annotations\n", 1)
    assert space(head, init_model=", *, a: NotDefinedAnywhere = 1") == {}


def test_where_there_is_no_range_a_strategy_runs_as_well() -> None:
    head = """
from typing import Annotated
try:
    from somewhere_else import Range
except ImportError:
    def Range(*bounds, **kind): return None
"""
    assert space(head, init_model=", *, a: Annotated[float, Range(0, 1)] = 0.5") == {}


def test_the_same_parameter_of_two_functions_has_one_range() -> None:
    own = ", *, a: Annotated[float, Range(0, {})] = 0.1"
    assert space(init_model=own.format(1), make_dataset=own.format(1)) == {"a": Range(0.0, 1.0)}
    with pytest.raises(
        InvalidStrategyError, match=r"mine.py:6: make_dataset: expected one range of a, got 0.0:1.0 and"
    ):
        space(init_model=own.format(1), make_dataset=own.format(2))


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (
            ", a: Annotated[float, Range(0, 1)] = 0.1",
            "mine.py:5: .* on a keyword-only argument with a default, got",
        ),
        (
            ", *, a: 'Annotated[float, Rang(0, 1)]' = 0.1",
            "the annotation of a cannot be evaluated: NameError",
        ),
        (
            ", *, a: Annotated[float, Range(1, 0)] = 0.1",
            "mine.py:5: does not load: UsageError: Range: low must",
        ),
    ],
)
def test_bad_ranges_are_invalid(argument: str, said: str) -> None:
    with pytest.raises(InvalidStrategyError, match=said):
        space(init_model=argument)


TAMPERED = """
from typing import Annotated
from vecparity import Choice, Range
OWN = Range(0, 1)
object.__setattr__(OWN, "{name}", {value})
CHOICE = Choice(1, 2)
object.__setattr__(CHOICE, "values", {values})
class Sly(Range):
    def __eq__(self, other): raise RuntimeError("sly")
    __hash__ = None
"""


@pytest.mark.parametrize(
    ("given", "name", "value", "values"),
    [
        ("OWN", "low", "float('nan')", "()"),
        ("OWN", "high", "[1] * 1000", "()"),
        ("OWN", "log", "'yes'", "()"),
        ("CHOICE", "low", "0", "None"),
        ("CHOICE", "low", "0", "tuple(range(2000))"),
        ("CHOICE", "low", "0", "('a\\n', 'b')"),
    ],
)
def test_what_a_strategy_has_changed_is_checked_again(given: str, name: str, value: str, values: str) -> None:
    head = TAMPERED.format(name=name, value=value, values=values)
    with pytest.raises(InvalidStrategyError, match=r"mine.py:\d+: a: (UsageError|TypeError)"):
        space(head, init_model=f", *, a: Annotated[float, {given}] = 0.1")


def test_a_class_of_the_strategys_own_becomes_a_plain_range() -> None:
    read = space(
        TAMPERED.format(name="low", value=0, values="(1, 2)"), init_model=", *, a: Annotated[int, Sly(0, 1)] = 0"
    )
    assert type(read["a"]) is Range


@pytest.mark.parametrize(
    ("low", "high", "log", "said"),
    [
        (1, 1, False, "low must be below high, got 1 and 1"),
        (0, 1, True, "low must be above 0 with log, got 0"),
        (float("nan"), 1, False, "low must be a number between .*, got nan"),
        (0, float("inf"), False, "high must be a number between .*, got inf"),
        (True, 2, False, "low must be a number between .*, got True"),
        ("a", 2, False, "low must be a number between .*, got 'a'"),
        (0, 2**63, False, "high must be a number between .*, got 9223372036854775808"),
        (0, 1, 1, "log must be True or False, got 1"),
    ],
)
def test_a_range_has_finite_bounds_in_order(low: Any, high: Any, log: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Range(low, high, log)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((1,), "expected 2 to 1000 values, got 1"),
        (range(1001), "got 1001"),
        ((1, True), r"expected different values, got \(1, True\)"),
        ((1, None), "must be a finite number"),
        ((1, float("nan")), "got nan"),
    ],
)
def test_a_choice_has_different_values(values: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Choice(*values)


@pytest.mark.parametrize(
    ("given", "inside", "outside"),
    [
        (Range(1, 3), [1, 2, 3], [0, 4, 2.0, True, "2"]),
        (Range(1.0, 3.0), [1, 2.5, 3.0], [0.9, "2", True]),
        (Choice(0, 0.5, "a", True), [0, 0.5, "a", True], [0.0, False, "b", 1]),
    ],
)
def test_membership_minds_the_type(given: Range | Choice, inside: list[Any], outside: list[Any]) -> None:
    assert [value for value in inside if value not in given] == []
    assert [value for value in outside if value in given] == []


def test_numbers_of_numpy_become_plain() -> None:
    assert type(Range(np.float64(0.5), 1.0).low) is float
    assert type(Range(np.int64(1), np.int64(5)).high) is int  # type: ignore[arg-type]
    assert [type(value) for value in Choice(np.float64(0.5), 1).values] == [float, int]


def test_they_are_written_as_the_command_reads_them() -> None:
    assert str(Range(1e-3, 1e-1, log=True)) == "0.001:0.1:log"
    assert str(Range(1, 3)) == "1:3"
    assert str(Choice(0, 0.01, "a")) == "0,0.01,a"
