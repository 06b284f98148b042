"""The wire protocol between the evaluator and a worker: bytes of known lengths, nothing callable.

A request is JSON written by the evaluator, and therefore trusted. A reply is one byte for its kind, eight bytes for its
length, and a payload whose length the evaluator computes by itself. Any payload of that length is either a valid answer
or refused: rows and labels are packed bits; parameters and hyperparameters are numbers that the evaluator checks again.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float32
from torch import Tensor

from vecparity.errors import InvalidStrategyError, UsageError, describe
from vecparity.sandbox.limits import Limits
from vecparity.strategy.parameters import Arguments, Value
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Choice, Range, Space
from vecparity.strategy.validation import HYPERPARAMETERS
from vecparity.task.config import OptimizerConfig, Secret, TaskConfig
from vecparity.task.dataset import Dataset, num_words
from vecparity.task.network import parameter_shapes

# Requests to the fork server: a worker, or a worker in other surroundings for a repeated call.
WORKER, WORKER_AGAIN = b"W", b"A"
# Messages of the fork server. READY: it can fork. TOUCHED: a worker left a trace that later workers could find, and no
# other will be forked. ENDED: a worker's wait status and CPU time in seconds. Before that, ENDED with IN_USE, which is
# no wait status, gives the bytes in use in the memory of its namespaces.
READY, TOUCHED = b"R", b"T"
ENDED = struct.Struct("<id")
IN_USE = -1
HEADER = struct.Struct("<cQ")
# Kinds of reply: the worker completed the call (P, D and S), or failed.
PARAMETERS, DATASET, SPACE, INVALID, FAILED = b"P", b"D", b"S", b"I", b"F"
# Maximum length of a worker's error message, in bytes of UTF-8.
MOST_WORDS = 4096
# Maximum length of the ranges of a strategy's parameters, in bytes of JSON.
_MOST_SPACE = 1 << 20
_LENGTH = struct.Struct("<Q")
_NUMBERS = len(HYPERPARAMETERS)


class ForgedError(Exception):
    """A reply that the code of `worker` never sends. The text completes "a reply must be ..., got ..."."""

    def __str__(self) -> str:
        return f"took over its worker: a reply must be {super().__str__()}"


class _Range(msgspec.Struct, tag="range"):
    low: int | float
    high: int | float
    log: bool


class _Choice(msgspec.Struct, tag="choice"):
    values: tuple[bool | int | float | str, ...]


_AS_JSON = {Range: _Range, Choice: _Choice}


@dataclass(frozen=True)
class Request:
    """One call's worth of a strategy's work: networks for run seeds, a dataset for a secret, or else its ranges.

    Attributes:
        strategy: The strategy whose functions the worker calls.
        config: The settings.
        limits: The worker's limits.
        num_threads: Threads within torch's operations, the same number as in the evaluator.
        run_seeds: One seed for each run, in a request for networks and hyperparameters; empty in one for a dataset.
        device: The device on which ``init_model`` draws.
        secret: The secret, in a request for a dataset; no other request contains it.
        dataset_seed: The dataset's seed, in a request for a dataset.
        arguments: Keyword arguments for each function's calls.
        variants: Further keyword arguments of ``get_optimizer_config``, in a request for the hyperparameters of several
            variants, with one network for each run.
    """

    strategy: Strategy
    config: TaskConfig
    limits: Limits
    num_threads: int
    run_seeds: Sequence[int] = ()
    device: str = "cpu"
    secret: Secret = ()
    dataset_seed: int = 0
    arguments: Arguments = field(default_factory=dict)
    variants: Sequence[Mapping[str, Value]] = ()

    def encode(self) -> bytes:
        content = {
            **vars(self),
            "config": asdict(self.config),
            "limits": asdict(self.limits),
            "strategy": {"name": self.strategy.name, "path": self.strategy.path},
        }
        parts = [json.dumps(content).encode(), self.strategy.source]
        return b"".join(_LENGTH.pack(len(part)) + part for part in parts)

    @classmethod
    def decode(cls, content: bytes, source: bytes) -> "Request":
        values: dict[str, Any] = json.loads(content)
        values["strategy"] = Strategy(source=source, **values["strategy"])
        values["config"] = TaskConfig(**values["config"])
        values["limits"] = Limits(**values["limits"])
        values["secret"] = tuple(values["secret"])
        return cls(**values)

    @property
    def reply_kind(self) -> bytes:
        if self.run_seeds:
            return PARAMETERS
        return DATASET if self.secret else SPACE

    @property
    def most_reply_bytes(self) -> int:
        """Length of the longest valid payload in bytes: exact for networks, an upper bound for others."""
        if self.reply_kind == SPACE:
            return _MOST_SPACE
        if self.run_seeds:
            return len(self.run_seeds) * (4 * _num_params(self.config) + 8 * _NUMBERS * max(1, len(self.variants)))
        return _dataset_bytes(self.config.max_train_examples, self.config.n_features)


def read_request(receive: Any) -> Request:
    """Reads a request, in the worker.

    Args:
        receive: Takes a number of bytes and returns exactly that many bytes.
    """
    parts = [receive(_LENGTH.unpack(receive(_LENGTH.size))[0]) for _ in range(2)]
    return Request.decode(*parts)


def encode_parameters(
    params: Sequence[Float32[Tensor, " param"]], variants: Sequence[Sequence[OptimizerConfig]]
) -> list[bytes]:
    """Writes the networks of all runs, and every variant's hyperparameters of all runs."""
    stacked = np.stack([each.numpy() for each in params]).astype("<f4", copy=False)
    numbers = np.array([list(asdict(optimizer).values()) for of_runs in variants for optimizer in of_runs], "<f8")
    return [stacked.tobytes(), numbers.tobytes()]


def decode_parameters(
    payload: bytearray, request: Request
) -> list[list[tuple[Float32[Tensor, " param"], OptimizerConfig]]]:
    """Reads networks and hyperparameters, of each variant and run; the variants share the networks.

    Raises:
        ForgedError: The payload has a length or a number that the code of `worker` never sends.
    """
    num_runs, num_params = len(request.run_seeds), _num_params(request.config)
    if len(payload) != request.most_reply_bytes:
        raise ForgedError(f"{request.most_reply_bytes} bytes, got {len(payload)}")
    count = num_runs * num_params
    params = np.frombuffer(payload, "<f4", count).astype(np.float32)
    if not np.isfinite(params).all():
        raise ForgedError("finite parameters, got others")
    numbers = np.frombuffer(payload, "<f8", offset=4 * count).reshape(-1, num_runs, _NUMBERS)
    for row in numbers.reshape(-1, _NUMBERS).tolist():
        for (name, (is_valid, expected)), value in zip(HYPERPARAMETERS.items(), row, strict=True):
            if not is_valid(value):
                raise ForgedError(f"{name} {expected}, got {value}")
    stacked = torch.from_numpy(rearrange(params, "(run param) -> run param", run=num_runs))
    return [
        [(own, OptimizerConfig(*row)) for own, row in zip(stacked, of_runs, strict=True)]
        for of_runs in numbers.tolist()
    ]


def encode_dataset(dataset: Dataset) -> list[bytes]:
    labels = np.packbits(dataset.labels.numpy(), bitorder="little")
    rows = dataset.bits.numpy().astype("<i8", copy=False)
    return [_LENGTH.pack(dataset.num_examples), rows.tobytes(), labels.tobytes()]


def decode_dataset(payload: bytearray, request: Request) -> Dataset:
    """Reads a training set. Any bits are valid rows if those past N are 0.

    Raises:
        ForgedError: The length does not fit the number of rows, there are no rows or too many, or a bit past N is set.
    """
    config = request.config
    words = num_words(config.n_features)
    rows = _LENGTH.unpack_from(payload)[0] if len(payload) >= _LENGTH.size else 0
    if not 1 <= rows <= config.max_train_examples or len(payload) != _dataset_bytes(rows, config.n_features):
        raise ForgedError(f"1 to {config.max_train_examples} rows, got {len(payload)} bytes for {rows}")
    bits = np.frombuffer(payload, "<i8", rows * words, _LENGTH.size).astype(np.int64).reshape(rows, words)
    last_bits = config.n_features - 64 * (words - 1)
    if last_bits < 64 and (bits[:, -1] >> last_bits).any():
        raise ForgedError(f"rows of {config.n_features} bits, got more")
    packed = np.frombuffer(payload, np.uint8, offset=_LENGTH.size + 8 * rows * words)
    labels = np.unpackbits(packed, count=rows, bitorder="little")
    return Dataset(torch.from_numpy(bits), torch.from_numpy(labels), config.n_features)


def encode_space(space: Space) -> list[bytes]:
    """Writes ranges of parameters.

    Raises:
        InvalidStrategyError: They are too many.
    """
    encoded = msgspec.json.encode({name: _AS_JSON[type(given)](**vars(given)) for name, given in space.items()})
    if len(encoded) > _MOST_SPACE:
        raise InvalidStrategyError(f"expected ranges of at most {_MOST_SPACE} bytes, got {len(encoded)}")
    return [encoded]


def decode_space(payload: bytearray, request: Request) -> Space:
    """Reads ranges of parameters.

    Raises:
        ForgedError: The payload is nothing that the code of `worker` sends.
    """
    try:
        received = msgspec.json.decode(bytes(payload), type=dict[str, _Range | _Choice])
        return {
            name: Choice(*given.values) if isinstance(given, _Choice) else Range(given.low, given.high, given.log)
            for name, given in received.items()
        }
    except (msgspec.MsgspecError, UsageError, UnicodeError, RecursionError) as error:
        raise ForgedError(f"ranges of parameters, got others: {describe(error)}") from error


def printable(text: bytes) -> str:
    """Decodes a worker's text and replaces the characters that could control a terminal; newlines stay."""
    decoded = text.decode(errors="replace")
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in decoded)


def _num_params(config: TaskConfig) -> int:
    return sum(shape.numel() for shape in parameter_shapes(config.n_features, config.hidden_width).values())


def _dataset_bytes(rows: int, n_features: int) -> int:
    return _LENGTH.size + 8 * rows * num_words(n_features) + -(-rows // 8)
