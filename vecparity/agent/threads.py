"""Calls that take long, from a loop of events: in a thread each, which ends soon where the call is cancelled."""

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread

Answer = TypeVar("Answer")


async def in_thread(call: Callable[[threading.Event], Answer], limiter: anyio.CapacityLimiter | None = None) -> Answer:
    """Makes a call in a thread, and returns its answer.

    Args:
        call: Gets an event that is set where it is cancelled, and then returns soon; nobody reads its answer.
        limiter: Bounds the number of threads; by default the loop's own.
    """
    stopped = threading.Event()
    try:
        return await to_thread.run_sync(call, stopped, abandon_on_cancel=True, limiter=limiter)
    finally:
        stopped.set()
