"""A file of scalars for TensorBoard. Source: TensorBoard's protocol buffers Event and Summary.

TensorBoard's own record writer writes the file. torch's SummaryWriter would need an event for each scalar, and a
thread whose traceback would be the only report of a full disk.
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
    """Writes and flushes scalars, so that a running TensorBoard sees them.

    Args:
        directory: Made if it does not exist. The new file supersedes earlier files in it.

    Raises:
        OSError: The file cannot be written; `write` and `close` raise it too.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads a directory's files in the order of their names.
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
