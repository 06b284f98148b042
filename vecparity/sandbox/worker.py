"""The worker: handles one call to a strategy, in a process forked for that call alone."""

import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import torch

from vecparity.errors import InvalidStrategyError, StrategyFailedError, describe
from vecparity.sandbox.protocol import (
    DATASET,
    FAILED,
    HEADER,
    INVALID,
    MOST_WORDS,
    PARAMETERS,
    SPACE,
    Request,
    encode_dataset,
    encode_parameters,
    encode_space,
    read_request,
)
from vecparity.strategy import annotations, interface, variants

# Part of torch's error message.
_NO_MEMORY = "can't allocate memory"


def serve(channel: socket.socket, level: str, scratch: Path) -> None:
    """Reads a request, calls the strategy, and replies.

    Args:
        channel: The socket to the evaluator.
        level: The containment in force.
        scratch: The worker's own directory, empty.
    """
    request = read_request(lambda length: _receive(channel, length))
    if level != "none":
        has_namespaces = level in ("bwrap", "landlock")
        request.limits.apply(counts_processes=has_namespaces, bounds_memory=request.device == "cpu")
    torch.set_num_threads(request.num_threads)
    try:
        kind, payload = _call(request, scratch)
    except (InvalidStrategyError, StrategyFailedError) as error:
        limit = _limit_behind(error.__cause__, request)
        kind = INVALID if isinstance(error, InvalidStrategyError) and not limit else FAILED
        payload = [_words(str(error) + limit)]
    except BaseException as error:
        words = f"{request.strategy.path}: raised {describe(error)}"
        kind, payload = FAILED, [_words(words + _limit_behind(error, request))]
    channel.sendall(HEADER.pack(kind, sum(map(len, payload))))
    for part in payload:
        channel.sendall(part)


def _call(request: Request, scratch: Path) -> tuple[bytes, Sequence[bytes]]:
    directory = scratch / "strategy"
    directory.mkdir()
    loaded = interface.load(request.strategy, torch.device(request.device), directory, request.arguments)
    if request.reply_kind == SPACE:
        return SPACE, encode_space(annotations.read_space(loaded))
    if request.run_seeds:
        if request.variants:
            params, optimizers = variants.initialise(loaded, request.config, request.run_seeds, request.variants)
            return PARAMETERS, encode_parameters(params, optimizers)
        initial = loaded.initialise(request.config, request.run_seeds)
        return PARAMETERS, encode_parameters([own for own, _ in initial], [[optimizer for _, optimizer in initial]])
    return DATASET, encode_dataset(loaded.training_set(request.config, request.secret, request.dataset_seed))


def _limit_behind(error: BaseException | None, request: Request) -> str:
    """Names the limit that made a strategy raise, if one did."""
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError) or number == errno.ENOMEM or (error and _NO_MEMORY in describe(error)):
        name, words = "strategy_memory", "asked for memory over the limit of {most} GiB"
    elif number in (errno.EFBIG, errno.ENOSPC):
        name, words = "strategy_file_size", "wrote files over the limit of {most} MiB"
    elif isinstance(error, BlockingIOError) and number == errno.EAGAIN:
        name, words = "strategy_processes", "started processes or threads over the limit of {most} processes"
    else:
        return ""
    return f": it {request.limits.reached(name, words, by_kernel=True)}"


def _words(text: str) -> bytes:
    return text.encode(errors="replace")[:MOST_WORDS]


def _receive(channel: socket.socket, length: int) -> bytes:
    received = bytearray()
    while len(received) < length:
        part = channel.recv(min(length - len(received), 1 << 20))
        if not part:
            os._exit(0)  # the evaluator has exited
        received += part
    return bytes(received)
