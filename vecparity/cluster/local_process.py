"""The process of a local worker: makes the calls that come through its pipe, until the pipe is closed."""

import pickle
import sys
from multiprocessing.connection import Connection
from typing import Any

from vecparity.cluster import preemption
from vecparity.sandbox.privileges import end_with_parent


def main() -> None:
    """Makes calls, until the pipe is closed or a call was preempted; the pipe's descriptor is the argument."""
    end_with_parent(int(sys.argv[1]))
    pipe = Connection(int(sys.argv[1]))
    try:
        import vecparity.cluster.worker  # noqa: F401  # takes seconds, and every evaluation needs it

        pipe.send_bytes(b"ready")
        while not preemption.has_arrived():
            pipe.send_bytes(_answer(pipe.recv_bytes()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _answer(call: bytes) -> bytes:
    """Makes a call, and returns whether it returned, its result or error, and whether it was the last."""
    answer: tuple[bool, Any]
    try:
        function, args, kwargs = pickle.loads(call)
        answer = True, function(*args, **kwargs)
    except Exception as error:
        answer = False, error
    is_last = preemption.has_arrived()
    try:
        return pickle.dumps((*answer, is_last))
    except Exception as error:
        return pickle.dumps((False, TypeError(f"expected a result that can be pickled, got {error}"), is_last))
