"""Ranges of a strategy's parameters: where a search may look. Written where the parameter is.

    def get_optimizer_config(config, *, lr: Annotated[float, Range(1e-3, 1e-1, log=True)] = 1e-2): ...

The original evaluator has no `Range`; where a strategy shall run there, too, import it under ``try``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vecparity.errors import UsageError, brief
from vecparity.strategy.parameters import Value, require_value

# More than any list that a person writes, or any search could try.
_MOST_VALUES = 1_000


@dataclass(frozen=True)
class Range:
    """All numbers between two bounds: whole ones if both bounds are, and the parameter's type is not ``float``.

    Attributes:
        low: The least value.
        high: The greatest value.
        log: True to look at orders of magnitude: 0.001 to 0.01 is as wide as 0.01 to 0.1.

    Raises:
        UsageError: The bounds are no finite numbers in order, or not above 0 with ``log``.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            bound: Any = getattr(self, name)
            is_number = isinstance(bound, int | float | np.integer | np.floating) and not isinstance(bound, bool)
            if not is_number or not abs(bound) < 2**63:
                raise UsageError(f"Range: {name} must be a number between -2**63 and 2**63, got {brief(bound)}")
            object.__setattr__(
                self, name, int(bound) if isinstance(bound, int | np.integer) else float(bound)
            )  # not NumPy's
        if not isinstance(self.log, bool):
            raise UsageError(f"Range: log must be True or False, got {brief(self.log)}")
        if not self.low < self.high:
            raise UsageError(f"Range: low must be below high, got {self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise UsageError(f"Range: low must be above 0 with log, got {self.low}")

    @property
    def is_whole(self) -> bool:
        """True if it has whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def as_floats(self) -> "Range":
        """Returns the same bounds with all numbers between them."""
        return Range(float(self.low), float(self.high), self.log)

    def __contains__(self, value: object) -> bool:
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or (self.is_whole and isinstance(value, float))
        ):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low}:{self.high}" + (":log" if self.log else "")


@dataclass(frozen=True, init=False)
class Choice:
    """A few values, in no order.

    Attributes:
        values: The values: numbers, texts, or truth values.

    Raises:
        UsageError: There are fewer than two values or more than 1000, two are equal, or one cannot be a parameter.
    """

    values: tuple[Value, ...]

    def __init__(self, *values: Value) -> None:
        if not 2 <= len(values) <= _MOST_VALUES:
            raise UsageError(f"Choice: expected 2 to {_MOST_VALUES} values, got {len(values)}")
        for value in values:
            require_value("in Choice", value)
        if len(set(values)) < len(values):  # 1, 1.0 and True are equal
            raise UsageError(f"Choice: expected different values, got {brief(values)}")
        plain = tuple(float(value) if isinstance(value, float) else value for value in values)  # not NumPy's
        object.__setattr__(self, "values", plain)

    def __contains__(self, value: object) -> bool:
        return any(type(value) is type(own) and value == own for own in self.values)

    def __str__(self) -> str:
        return ",".join(map(str, self.values))


def size_of(given: Range | Choice) -> int | None:
    """Returns the number of a range's values, or None if it has all numbers between its bounds."""
    if isinstance(given, Choice):
        return len(given.values)
    return int(given.high - given.low) + 1 if given.is_whole else None


# Where a search may look, by the parameter's name.
Space = Mapping[str, Range | Choice]
