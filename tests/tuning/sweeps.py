"""Sweeps built from made-up figures."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from made import changed, diverged, made
from searches import STRATEGY

from vecparity.errors import MachineError
from vecparity.strategy.parameters import Value
from vecparity.task.config import task_config
from vecparity.tuning.results import Cell, Sweep

LRS: tuple[Value, ...] = (0.001, 0.003, 0.01, 0.03, 0.1)
AXES: dict[str, tuple[Value, ...]] = {"lr": LRS, "wd": (0.0, 0.1, 0.3, 1.0)}


def sweep(axes: Mapping[str, tuple[Value, ...]] = AXES, num_secrets: int = 5, **fields: Any) -> Sweep:
    """A sweep whose cells' accuracies and steps follow from their values."""
    cells = [
        cell(dict(zip(axes, values, strict=True)), number, num_secrets)
        for number, values in enumerate(product(*axes.values()))
    ]
    return replace(Sweep(STRATEGY, axes, task_config("n32-k8"), "full", 42, cells, 12.3), **fields)


def cell(values: Mapping[str, Value], number: int, num_secrets: int = 5) -> Cell:
    """A cell of two orderings a secret, under the seed and configuration of its values, if these are axes."""
    middle = accuracy(values)
    ends = [
        [(1_000 + 100 * number + 10 * secret, min(1.0, middle + 0.001 * secret)), (2_000 + 250 * secret, middle)]
        for secret in range(num_secrets)
    ]
    label, seed = str(values.get("config", "n32-k8")), int(values.get("seed", 42))
    return Cell(
        values, changed(made("mine", ends, label, seed), params={n: v for n, v in values.items() if n != "seed"})
    )


def accuracy(values: Mapping[str, Value]) -> float:
    distance = abs(math.log10(float(values.get("lr", 0.01))) + 2) + abs(float(values.get("wd", 0.3)) - 0.3)
    return max(0.5, 0.99 - 0.2 * distance)


def with_failures(whole: Sweep) -> Sweep:
    """The same, had the first cell failed, the second diverged, and the third not been drawn."""
    first, second, _, *rest = whole.cells
    assert second.evaluation is not None
    failed = Cell(first.values, None, MachineError("memory ran out: <b>no</b>"))
    return replace(whole, cells=[failed, replace(second, evaluation=diverged(second.evaluation)), *rest])
