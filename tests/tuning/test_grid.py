"""Axes read from texts, and the grids that they span."""

from collections.abc import Iterable
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecparity import Strategy
from vecparity.errors import UsageError
from vecparity.strategy.parameters import Value
from vecparity.strategy.source import load
from vecparity.tuning.grid import parse_axes, span_grid

ROWS = load("random_rows")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("lr=0.001,0.01", (0.001, 0.01)),
        ("hidden_width=128", (128,)),
        ("kind=True,1,1.0,one,a:b", (True, 1, 1.0, "one", "a:b")),
        ("lr=0.001:0.1:5:log", (0.001, 0.00316228, 0.01, 0.0316228, 0.1)),
        ("wd=0:9:4", (0, 3, 6, 9)),
        ("wd=0.0:1.0:3", (0.0, 0.5, 1.0)),
        ("wd=0.0:1:3", (0.0, 0.5, 1.0)),
        ("hidden_width=128:1024:4:log", (128, 256, 512, 1024)),
        ("num_examples=10:20:3", (10, 15, 20)),
        ("shift=-1.5:1.5:3", (-1.5, 0.0, 1.5)),
    ],
)
def test_values_as_they_are_written(text: str, values: tuple[Value, ...]) -> None:
    (parsed,) = parse_axes([text]).values()
    assert [(type(value), value) for value in parsed] == [(type(value), value) for value in values]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["lr"], "over must be NAME=VALUE,VALUE,.* got 'lr'"),
        (["l r=1"], "over must be NAME=VALUE"),
        (["lr=1:2"], "NAME=LOW:HIGH:COUNT, .* got 'lr=1:2'"),
        (["lr=1:2:3:lin"], "NAME=LOW:HIGH:COUNT:log, got 'lr=1:2:3:lin'"),
        (["lr=1:2:x"], "NAME=LOW:HIGH:COUNT"),
        (["lr=2:1:3"], "low must be below high, got 2 and 1"),
        (["lr=0:1:3:log"], "low must be above 0 with log, got 0"),
        (["lr=1:2:1"], "expected 2 to 1,000 values, got 1"),
        (["lr=1:2:1001"], "expected 2 to 1,000 values, got 1,001"),
        (["lr=1,"], "over lr: expected a value before and after each comma, got nothing"),
        (["lr=1", "lr=2"], "over lr is given twice"),
    ],
)
def test_what_is_no_axis_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_axes(texts)


def test_the_last_axis_varies_fastest() -> None:
    grid = span_grid({"lr": [0.1, 0.2], "num_orderings": range(1, 4)}, ROWS, None, 42)
    assert grid.axes == {"lr": (0.1, 0.2), "num_orderings": (1, 2, 3)}
    assert [tuple(point.values()) for point in grid.points] == [(lr, n) for lr in (0.1, 0.2) for n in (1, 2, 3)]
    assert all(list(point) == ["lr", "num_orderings"] for point in grid.points)


def test_numbers_of_numpy_are_numbers() -> None:
    grid = span_grid({"lr": np.array([0.5, 1.0]), "num_examples": np.arange(2)}, ROWS, None, 42)
    assert [type(value) for values in grid.axes.values() for value in values] == [float, float, int, int]


@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4), data=st.data())
def test_a_random_part_is_of_different_points_in_the_grids_order(sizes: list[int], data: st.DataObject) -> None:
    axes = {name: range(size) for name, size in zip(("lr", "wd", "beta1", "num_examples"), sizes, strict=False)}
    every = span_grid(axes, ROWS, None, 0).points
    count, seed = data.draw(st.integers(1, len(every))), data.draw(st.integers(0, 2**32))
    part = span_grid(axes, ROWS, count, seed).points
    assert part == [point for point in every if point in part]
    assert len(part) == count
    assert span_grid(axes, ROWS, count, seed).points == part


def test_another_seed_draws_another_part() -> None:
    parts = {str(span_grid({"lr": range(100)}, ROWS, 5, seed).points) for seed in range(5)}
    assert len(parts) == 5


def test_a_part_of_a_grid_that_is_too_large_for_a_sweep() -> None:
    axes = {"lr": range(1000), "wd": range(1000), "num_examples": range(1000)}
    assert len(span_grid(axes, ROWS, 7, 42).points) == 7
    with pytest.raises(UsageError, match=r"at most 100,000 cells, got 1,000,000,000 \(--random takes a part\)"):
        span_grid(axes, ROWS, None, 42)
    with pytest.raises(UsageError, match="at most 100,000 cells, got 100,001"):
        span_grid(axes, ROWS, 100_001, 42)
    many = dict.fromkeys(("lr", "wd", "beta1", "beta2", "num_examples", "max_steps", "batch_size"), range(1000))
    with pytest.raises(UsageError, match="got 1,000,000,000,000,000,000,000"):
        span_grid(many, ROWS, 7, 42)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({}, "expected one axis or more"),
        ({"num_example": [1]}, r"no such parameter of .*random_rows.py, and no setting \(is num_examples meant\?\)"),
        ({"hidden_widht": [1]}, r"\(is hidden_width meant\?\)"),
        ({"lr": []}, "over lr: expected one value or more, at most 100,000, got none"),
        ({"lr": count()}, "over lr: expected one value or more, at most 100,000, got more"),
        ({"lr": "0.1"}, "over lr: expected a list of values, got '0.1'"),
        ({"lr": 0.1}, "over lr: expected a list of values, got 0.1"),
        ({"lr": [0.1, 0.2, 0.1]}, "over lr: expected each value once, got 0.1 twice"),
        ({"lr": [float("nan")]}, "parameter lr must be a finite number"),
        ({"lr": ["\x1b[2J"]}, r"one line of at most 200 characters, got '\\x1b\[2J'"),
    ],
)
def test_what_spans_no_grid_is_refused(axes: dict[str, Iterable[Any]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        span_grid(axes, ROWS, None, 42)


@pytest.mark.parametrize("count", [0, 3, True, 1.0])
def test_a_part_has_as_many_points_as_there_are(count: Any) -> None:
    with pytest.raises(UsageError, match="random must be a number of cells, 1 to the grid's 2, got"):
        span_grid({"lr": [1, 2]}, ROWS, count, 42)


def test_a_name_that_is_both_a_parameter_and_a_setting() -> None:
    both = Strategy.from_source("def get_optimizer_config(config, *, hidden_width=3): ...")
    with pytest.raises(UsageError, match=r"over hidden_width: a setting has this name, .* rename the parameter"):
        span_grid({"hidden_width": [3]}, both, None, 42)
