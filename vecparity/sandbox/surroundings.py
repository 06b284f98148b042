"""Different surroundings for repeated calls: other process numbers and clocks than in the first calls.

A separate fork server is a new interpreter, with its own hash seed, addresses and state of numpy's global generator.
But the workers of both servers may have the same small process numbers in their namespaces, and both servers may be
asked within the same second.
"""

import datetime
import time
from collections.abc import Callable
from functools import cache
from threading import Thread
from typing import Any, Self

# A prime, so that later process numbers also differ modulo every small number.
_PROCESS_NUMBERS = 101
# Changes every field of a date and time: the year, the month and its day, the day of the week, and so on. The total is
# a prime number of seconds.
_SHIFT = datetime.timedelta(days=400, hours=5, minutes=7, seconds=13)
_SHIFT_NS = int(_SHIFT.total_seconds()) * 10**9
_CLOCKS = ("time", "monotonic", "perf_counter")
# Clocks that clock_gettime() identifies by a number.
_ABSOLUTE_CLOCKS = ("CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_MONOTONIC_RAW", "CLOCK_BOOTTIME", "CLOCK_TAI")

_Original = datetime.datetime


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:  # original datetime objects count as instances, too
        return isinstance(instance, _Original)


class _Datetime(_Original, metaclass=_Kind):
    """A datetime that takes the time from `time`; the original takes it from the system."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Self:
        return cls.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> Self:
        return cls.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)

    def __repr__(self) -> str:
        return f"datetime.{super().__repr__()}"


_Datetime.__name__ = _Datetime.__qualname__ = _Original.__name__
_Datetime.__module__ = _Original.__module__


@cache
def use_up_process_numbers() -> None:
    """Uses up process numbers, so that later processes get other numbers than they would otherwise. Runs only once."""
    for _ in range(_PROCESS_NUMBERS):  # a thread takes a number like a process, in far less time
        thread = Thread(target=int)
        thread.start()
        thread.join()


def shift_clocks() -> None:
    """Sets the clocks of Python's `time` and `datetime` 400 days, 5 hours, 7 minutes and 13 seconds ahead.

    Call it before any module that imports these clocks by name is loaded. The system's clocks are unchanged, and code
    that reads the time in another way sees them.
    """
    for name in _CLOCKS:
        setattr(time, name, _later(getattr(time, name), _SHIFT_NS / 1e9))
        setattr(time, f"{name}_ns", _later(getattr(time, f"{name}_ns"), _SHIFT_NS))
    _shift_clocks_by_number()
    for name in ("localtime", "gmtime", "ctime"):
        setattr(time, name, _now_by_default(getattr(time, name)))
    time.strftime = _now_as_a_tuple_by_default(time.strftime, 1)
    time.asctime = _now_as_a_tuple_by_default(time.asctime, 0)
    datetime.datetime = _Datetime  # type: ignore[misc]  # `date.today` asks `time.time` itself


def _later(clock: Callable[[], Any], shift: float) -> Callable[[], Any]:
    return lambda: clock() + shift


def _shift_clocks_by_number() -> None:
    numbers = {getattr(time, name) for name in _ABSOLUTE_CLOCKS if hasattr(time, name)}
    gettime, gettime_ns = time.clock_gettime, time.clock_gettime_ns
    time.clock_gettime = lambda clk_id: gettime(clk_id) + (_SHIFT_NS / 1e9 if clk_id in numbers else 0.0)
    time.clock_gettime_ns = lambda clk_id: gettime_ns(clk_id) + (_SHIFT_NS if clk_id in numbers else 0)


def _now_by_default(function: Callable[[float], Any]) -> Callable[..., Any]:
    return lambda seconds=None: function(time.time() if seconds is None else seconds)


def _now_as_a_tuple_by_default(function: Callable[..., str], num_arguments: int) -> Callable[..., str]:
    """Wraps a function so that its last argument, if left out, is the local time."""
    return lambda *arguments: function(*arguments, *([] if len(arguments) > num_arguments else [time.localtime()]))
