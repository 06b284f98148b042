"""A file of scalars that TensorBoard reads. Source: TensorBoard's protocol buffers Event and Summary.

Written by TensorBoard's own record writer, not by torch's SummaryWriter: that takes an event for each scalar, and a
thread, whose traceback would be all that is said of a full disk.
"""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]
from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]
from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]


class EventFile:
    """Takes scalars, and flushes them, so that a running TensorBoard sees them.

    Args:
        directory: Made if it is not there. What earlier files in it show is superseded.

    Raises:
        OSError: It cannot be written; `write` and `close` raise it, too.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # Read in the order of their names.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._writer = RecordWriter((directory / name).open("wb"))
        self._add(Event(file_version="brain.Event:2"))
        self._add(Event(step=0, session_log=SessionLog(status=SessionLog.START)))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Adds the values of some tags at a step."""
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._add(Event(step=step, summary=Summary(value=values)))
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _add(self, event: Event) -> None:
        event.wall_time = time.time()
        self._writer.write(event.SerializeToString())
