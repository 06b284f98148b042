"""One request and its reply, over a channel whose other end is untrusted."""

import os
import select
import signal
import socket

from vecparity.errors import InvalidStrategyError, StrategyFailedError
from vecparity.sandbox.limits import TICK_SECONDS, LimitReachedError, Usage
from vecparity.sandbox.protocol import (
    ENDED,
    FAILED,
    HEADER,
    IN_USE,
    INVALID,
    MOST_WORDS,
    ForgedError,
    Request,
    printable,
)


class EndedError(Exception):
    """A worker ended without a reply. The text says how."""


class Conversation:
    """Talks to one worker while checking its limits.

    Args:
        channel: The socket to the worker.
        control: The socket to the fork server, which reports on it that the worker has ended.
        usage: The worker's usage.
    """

    def __init__(self, channel: socket.socket, control: socket.socket, usage: Usage) -> None:
        self._channel, self._control, self._usage = channel, control, usage
        self.ended: tuple[int, float] | None = None  # wait status and CPU seconds
        channel.setblocking(False)
        control.setblocking(False)

    def send(self, message: bytes) -> None:
        """Sends a request.

        Raises:
            LimitReachedError: A limit was reached.
        """
        view = memoryview(message)
        while view and self.ended is None:
            self._wait(sending=True)
            try:
                view = view[self._channel.send(view) :]
            except BlockingIOError:
                continue
            except OSError:
                return  # the worker reads no more: its reply, or its end, says why

    def reply(self, request: Request) -> bytearray:
        """Receives the payload of the reply to a request.

        Raises:
            InvalidStrategyError: The worker refused what the strategy returned.
            StrategyFailedError: The worker says that a function of the strategy raised.
            LimitReachedError: A limit was reached.
            EndedError: The worker ended without a reply.
            ForgedError: The received bytes are not a valid reply.
        """
        kind, length = HEADER.unpack(self._receive(HEADER.size, request))
        if kind in (INVALID, FAILED):
            words = printable(bytes(self._receive(min(length, MOST_WORDS), request))).replace("\n", " ")
            raise InvalidStrategyError(words) if kind == INVALID else StrategyFailedError(words)
        if kind != request.reply_kind:
            raise ForgedError(f"of kind {request.reply_kind!r}, got {kind!r}")
        if length > request.most_reply_bytes:
            raise ForgedError(f"at most {request.most_reply_bytes} bytes, got {length}")
        payload = self._receive(length, request)
        if self._receive_some(memoryview(bytearray(1))):
            raise ForgedError(f"{length} bytes, the length in its header, got more")
        return payload

    def _receive(self, length: int, request: Request) -> bytearray:
        received = bytearray(length)
        view = memoryview(received)
        while view:
            count = self._receive_some(view)
            if not count:
                raise self._without_reply(request)
            view = view[count:]
        return received

    def _receive_some(self, view: memoryview) -> int:
        """Receives at least one byte; returns 0 if the worker has ended and everything that it sent is read."""
        while True:
            try:
                return self._channel.recv_into(view)
            except BlockingIOError:
                if self.ended is not None:
                    return 0
            except OSError:
                return 0
            self._wait()

    def _wait(self, *, sending: bool = False) -> None:
        """Waits for the channel or for the worker's end, while the worker stays within its limits."""
        writable = [self._channel] if sending else []
        while not any(select.select([self._channel, self._control], writable, [], TICK_SECONDS)):
            self._usage.check()
        self._usage.check()
        try:
            ended = self._control.recv(ENDED.size)
        except BlockingIOError:
            return
        except OSError:
            ended = b""
        status, value = ENDED.unpack(ended) if len(ended) == ENDED.size else (0, 0.0)
        if status == IN_USE:
            self._usage.reported = int(value)
        else:
            self.ended = status, value

    def _without_reply(self, request: Request) -> Exception:
        """Builds the error for a worker that exited early, or closed its channel, without a reply."""
        while self.ended is None:
            self._wait()
        status, cpu_seconds = self.ended
        limits = request.limits
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU or cpu_seconds >= limits.cpu_seconds[0]:
                words = f"used {cpu_seconds:.3g} s of CPU time, over the limit of {{most}} s"
                return LimitReachedError(limits.reached("strategy_cpu_seconds", words, by_kernel=True))
            return EndedError(f"ended its process by {_name(number)}")
        return EndedError(f"ended its process (exit status {os.waitstatus_to_exitcode(status)}) instead of returning")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
