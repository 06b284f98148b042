"""The grid of a sweep: axes read from ``NAME=VALUES`` texts, and the points that they span."""

import math
import random
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from itertools import islice

import numpy as np

from vecparity.errors import UsageError, brief
from vecparity.strategy.parameters import Value, names_of, parse, require_value
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Range
from vecparity.task.config import TaskConfig

SETTINGS = tuple(field.name for field in fields(TaskConfig))

# More cells than a machine evaluates in a day, at the shortest settings.
_MOST_CELLS = 100_000
_MOST_VALUES = 1_000
_FORMS = "NAME=VALUE,VALUE,... or NAME=LOW:HIGH:COUNT, or NAME=LOW:HIGH:COUNT:log"
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER}):(?P<high>{_NUMBER}):(?P<count>[1-9]\d{{0,5}})(?P<log>:log)?", re.ASCII)
# Values between the bounds of a range are rounded: they are the same on every machine, and fit a table.
_DIGITS = 6


@dataclass(frozen=True)
class Grid:
    """The axes of a sweep and the points to evaluate.

    Attributes:
        axes: The values of each axis in order, by its name: a parameter of the strategy, or a setting.
        points: The value on each axis, by its name, of each point; the last axis varies fastest.
    """

    axes: Mapping[str, tuple[Value, ...]]
    points: Sequence[Mapping[str, Value]]


def parse_axes(texts: Sequence[str]) -> dict[str, tuple[Value, ...]]:
    """Reads axes: ``lr=0.001,0.01``, or ``lr=0.001:0.1:5:log`` for 5 values from 0.001 to 0.1, equal factors apart.

    Between two whole bounds, values are rounded to whole numbers, and to 6 digits between others.

    Raises:
        UsageError: A text has another form, or a name is given twice.
    """
    axes: dict[str, tuple[Value, ...]] = {}
    for text in texts:
        name, is_assigned, values = text.partition("=")
        if not is_assigned or not name.isidentifier():
            raise UsageError(f"over must be {_FORMS}, got {brief(text)}")
        if name in axes:
            raise UsageError(f"over {name} is given twice: expected all values of an axis together")
        if re.match(rf"{_NUMBER}:", values, re.ASCII):
            axes[name] = _spaced(text, name, values)
        else:
            axes[name] = tuple(_value(name, value) for value in values.split(","))
    return axes


def _value(name: str, text: str) -> Value:
    if not text:
        raise UsageError(f"over {name}: expected a value before and after each comma, got nothing")
    return parse([f"{name}={text}"])[name]


def _spaced(text: str, name: str, values: str) -> tuple[Value, ...]:
    parts = _RANGE.fullmatch(values)
    if parts is None:
        raise UsageError(f"over must be {_FORMS}, got {brief(text)}")
    low, high, count = (_value(name, part) for part in parts.group("low", "high", "count"))
    try:
        span = Range(low, high, log=parts["log"] is not None)  # type: ignore[arg-type]  # numbers, by the pattern
    except UsageError as error:
        raise UsageError(f"over {brief(text)}: {error}") from error
    if not span.is_whole:
        span = span.as_floats()
    assert isinstance(count, int)
    if not 2 <= count <= _MOST_VALUES:
        raise UsageError(f"over {brief(text)}: expected 2 to {_MOST_VALUES:,} values, got {count:,}")
    return tuple(_between(span, index / (count - 1)) for index in range(count))


def _between(span: Range, share: float) -> int | float:
    """Returns the number at a share of the way from the low bound to the high one."""
    if share in (0, 1):
        return span.low if share == 0 else span.high
    if span.log:
        number = math.exp(math.log(span.low) * (1 - share) + math.log(span.high) * share)
    else:
        number = span.low * (1 - share) + span.high * share
    return round(number) if span.is_whole else float(f"{number:.{_DIGITS}g}")


def span_grid(axes: Mapping[str, Iterable[Value]], strategy: Strategy, count: int | None, seed: int) -> Grid:
    """Returns the grid that axes span, or a random part of it.

    Args:
        axes: The values of each axis, by its name.
        strategy: The strategy, whose parameters axes may be.
        count: The number of points to draw without replacement, or None for all.
        seed: The seed of the draw.

    Raises:
        UsageError: A name is neither a parameter nor a setting, or both; an axis has no values, or one twice; there are
            too many points, or fewer than ``count``.
    """
    if not axes:
        raise UsageError(f"expected one axis or more to sweep over ({_FORMS}), got none")
    checked = {name: _checked(name, values, strategy) for name, values in axes.items()}
    total = math.prod(len(values) for values in checked.values())
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= total):
        raise UsageError(f"random must be a number of cells, 1 to the grid's {total:,}, got {brief(count)}")
    if (count or total) > _MOST_CELLS:
        raise UsageError(f"a sweep has at most {_MOST_CELLS:,} cells, got {count or total:,} (--random takes a part)")
    if total > sys.maxsize:
        raise UsageError(f"the grid that a part is drawn from has at most {sys.maxsize:,} cells, got {total:,}")
    places = range(total) if count is None else sorted(random.Random(seed).sample(range(total), count))
    return Grid(checked, [_point(checked, place) for place in places])


def _point(axes: Mapping[str, tuple[Value, ...]], place: int) -> dict[str, Value]:
    values = list[Value]()
    for axis in reversed(list(axes.values())):
        place, index = divmod(place, len(axis))
        values.append(axis[index])
    return dict(zip(axes, reversed(values), strict=True))


def _checked(name: str, values: Iterable[Value], strategy: Strategy) -> tuple[Value, ...]:
    parameters = names_of(strategy)
    if name not in SETTINGS and name not in parameters:
        likely = get_close_matches(str(name), [*parameters, *SETTINGS], n=1)
        meant = f" (is {likely[0]} meant?)" if likely else ""
        has = f"parameters of {strategy.name} are {', '.join(parameters)}" if parameters else "it has no parameters"
        raise UsageError(f"over {brief(name)}: no such parameter of {strategy.path}, and no setting{meant}: {has}")
    if name in SETTINGS and name in parameters:
        raise UsageError(
            f"over {name}: a setting has this name, and so has a parameter of {strategy.path}: rename the parameter to "
            "sweep over either"
        )
    if isinstance(values, str | Mapping) or not isinstance(values, Iterable):
        raise UsageError(f"over {name}: expected a list of values, got {brief(values)}")
    first = islice(values, _MOST_CELLS + 1)
    plain = [value.item() if isinstance(value, np.generic) else value for value in first]
    if not 1 <= len(plain) <= _MOST_CELLS:
        found = "more" if plain else "none"
        raise UsageError(f"over {name}: expected one value or more, at most {_MOST_CELLS:,}, got {found}")
    for value in plain:
        require_value(name, value)
    seen = set[tuple[type, Value]]()
    for value in plain:
        if (type(value), value) in seen:
            raise UsageError(f"over {name}: expected each value once, got {brief(value)} twice")
        seen.add((type(value), value))
    return tuple(plain)
