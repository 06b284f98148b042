from typing import Any

import pytest

from vecparity import Choice, Range, Strategy
from vecparity.errors import UsageError
from vecparity.tuning.ranges import parse_ranges, resolve_space

STRATEGY = Strategy.from_source(
    "def make_dataset(s, c, seed, *, rows=100): pass\ndef get_optimizer_config(c, *, lr=1e-2, wd=0.3, kind='a'): pass",
    name="mine",
)


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("lr=1e-3:1e-1:log", Range(1e-3, 1e-1, log=True)),
        ("lr=0:1", Range(0, 1)),
        ("lr=-1:-0.5", Range(-1, -0.5)),
        ("wd=0,0.01,0.3", Choice(0, 0.01, 0.3)),
        ("kind=a,b:c,True", Choice("a", "b:c", True)),
    ],
)
def test_ranges_are_read_from_texts(text: str, given: Range | Choice) -> None:
    assert parse_ranges([text]) == {text.partition("=")[0]: given}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["lr"], "tune 'lr': expected LOW:HIGH, LOW:HIGH:log or values with commas"),
        (["lr=1"], "tune 'lr=1': expected LOW:HIGH"),
        (["lr=a:b"], "tune 'lr=a:b': Range: low must be a number between .*, got 'a'"),
        (["lr=1:2:3"], "tune 'lr=1:2:3': Range: high must be a number between .*, got '2:3'"),
        (["lr=2:1"], "low must be below high, got 2 and 1"),
        (["lr=0:1:log"], "low must be above 0 with log, got 0"),
        (["lr=1,1.0"], r"expected different values, got \(1, 1.0\)"),
        (["1=0:1"], "tune must be NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=A,B,C, got '1=0:1'"),
        (["lr=0:1", "lr=0:2"], "tune lr is given twice, as 0:1 and '0:2'"),
    ],
)
def test_other_texts_are_refused(texts: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_ranges(texts)


def test_what_was_asked_for_takes_the_place_of_what_is_declared() -> None:
    declared = {"lr": Range(1e-3, 1e-1, log=True), "wd": Range(0.0, 1.0)}
    space = resolve_space(STRATEGY, declared, {"lr": Choice(0.1, 0.2), "rows": Range(10, 20)}, {"wd": 0.1})
    assert space == {"lr": Choice(0.1, 0.2), "rows": Range(10, 20)}
    assert list(space) == ["lr", "rows"]


def test_whole_bounds_have_all_numbers_between_them_where_the_default_is_not_whole() -> None:
    space = resolve_space(STRATEGY, {}, {"lr": Range(1, 2), "rows": Range(1, 2)}, {})
    assert (space["lr"], space["rows"]) == (Range(1.0, 2.0), Range(1, 2))
    assert 1.5 in space["lr"]
    assert 1.5 not in space["rows"]


@pytest.mark.parametrize(
    ("parameter", "is_whole"),
    [
        ("a=1", True),
        ("a: int = MOST", True),
        ("a: Annotated[int, 'words'] = 1", True),
        ("a=1.0", False),
        ("a: float = 0", False),
        ("a=1 / 100", False),
        ("a=True", False),
    ],
)
def test_a_parameter_is_a_whole_number_by_its_annotation_or_its_default(parameter: str, is_whole: bool) -> None:
    strategy = Strategy.from_source(f"def init_model(m, c, *, {parameter}): pass", name="mine")
    (given,) = resolve_space(strategy, {}, {"a": Range(1, 5)}, {}).values()
    assert isinstance(given, Range)
    assert given.is_whole == is_whole


@pytest.mark.parametrize(
    ("declared", "tuned", "fixed", "said"),
    [
        ({}, {}, {}, r"mine.py: expected a range to search in, .* got none \(its parameters are kind, lr, rows, wd\)"),
        ({"lr": Range(0.1, 1)}, {}, {"lr": 0.2}, "expected a range to search in"),
        ({}, {"lt": Range(0.1, 1)}, {}, "no parameter 'lt': its parameters are kind, lr, rows, wd"),
        ({}, {"lr": Range(0.1, 1)}, {"lr": 0.5}, "expected lr with either a range or a value, got 0.1:1 and 0.5"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(declared: Any, tuned: Any, fixed: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        resolve_space(STRATEGY, declared, tuned, fixed)
