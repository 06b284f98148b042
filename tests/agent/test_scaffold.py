"""The file that agents edit: what it shows, which lines may be edited, and that it is a strategy."""

from pathlib import Path

import pytest
from conftest import SHORT

import vecparity
from vecparity import Strategy, evaluate
from vecparity.agent.scaffold import scaffold
from vecparity.strategy.source import load
from vecparity.task.config import task_config

FILE = scaffold(task_config("n32-k8", protocol="published"))
STARTER = Path(vecparity.__file__).parent / "strategy" / "starter.py"


def test_the_file_shows_the_settings_and_the_task() -> None:
    head = "\n".join(FILE.head)
    assert "max_steps=30000," in head
    assert "over 5 secrets with 3 orders" in head.replace("\n", " ")
    assert max(map(len, FILE.lines)) <= 120


def test_lines_have_their_numbers() -> None:
    lines = FILE.numbered(1, len(FILE.lines)).split("\n")
    assert len(lines) == len(FILE.text.splitlines())
    assert lines[FILE.first - 1].endswith(FILE.block[0])
    assert int(lines[FILE.last - 1].partition("|")[0]) == FILE.last
    assert "EDITABLE BLOCK" in FILE.lines[FILE.first - 2] and "EDITABLE BLOCK" in FILE.lines[FILE.last]


def test_lines_are_replaced_within_the_block() -> None:
    small = FILE.with_lines(FILE.first, FILE.last, ["a", "b", "c"])
    assert small.block == ("a", "b", "c")
    assert small.with_lines(small.first + 1, small.first + 1, ["x", "y"]).block == ("a", "x", "y", "c")
    assert small.with_lines(small.first + 1, small.first, ["x"]).block == ("a", "x", "b", "c")
    assert small.with_lines(small.last, small.last, []).block == ("a", "b")
    empty = small.with_lines(small.first, small.last, [])
    assert empty.block == () and (empty.first, empty.last) == (small.first, small.first - 1)
    assert empty.with_lines(empty.first, empty.last, ["z"]).lines == (*FILE.head, "z", *FILE.rest)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["isolated_cube", "clean_noisy_cube", "starter"])
def test_a_strategy_in_the_block_gives_the_same_bits_as_alone(name: str) -> None:
    if name == "starter":
        alone, file = load(STARTER), FILE
    else:
        alone = load(name)
        file = FILE.with_lines(FILE.first, FILE.last, alone.source.decode().splitlines())
    own, expected = (evaluate(strategy, audit="off", **SHORT) for strategy in (Strategy.from_source(file.text), alone))
    assert own.results == expected.results
    assert own.curves == expected.curves
    assert own.first_layers == expected.first_layers
