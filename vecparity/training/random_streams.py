"""Comparison of an evaluation's random streams with the original's: no library promises to draw alike for ever.

Digests and first values come from `tests/golden/seeding.json` and `traces.json`, which record the original evaluator
under PyTorch 2.13.0 (contract section 7). The record lacks untouched networks; their digest follows from the
definitions of MT19937 and of `torch.nn.Linear`'s initialisation. A test checks all digests against these sources.
"""

import hashlib
import platform
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from vecparity.task.config import TaskConfig
from vecparity.task.network import build_network, flatten
from vecparity.task.seeds import PublicSeeds
from vecparity.training.orderings import make_orderings

Likeness = Literal["same", "rounded", "other"]

_NUM_ROWS = 100
_ORDERING_SEED = 84_000_000
_TEST_SET_SEED = 840_000
_RUN_SEED = 42_000_000
_NUM_TEST_ROWS = 64
# On numbers of about 1, torch's code paths differ by roundings of about 1e-7.
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Stream:
    """The beginning of one stream.

    Attributes:
        name: The kind of value drawn from the stream.
        how: The function that draws.
        draw: Draws the beginning of the stream.
        sha256: SHA-256 of the original's bytes.
        head: The original's first values, to recognise a different rounding; empty where nothing is rounded.
    """

    name: str
    how: str
    draw: Callable[[], Tensor]
    sha256: str
    head: tuple[float, ...] = ()

    def likeness(self) -> Likeness:
        """Compares a fresh draw with the original: the same, the same except for rounding, or another stream."""
        drawn = self.draw()
        if hashlib.sha256(drawn.contiguous().numpy().data).hexdigest() == self.sha256:
            return "same"
        first = drawn.flatten()[: len(self.head)].tolist()
        is_close = bool(self.head) and np.allclose(first, self.head, rtol=0, atol=_ROUNDING)
        return "rounded" if is_close else "other"


def _secrets() -> Tensor:
    return torch.tensor(PublicSeeds(42).secrets(TaskConfig(num_hidden_secrets=1)))


def _test_set() -> Tensor:
    generator = torch.Generator().manual_seed(_TEST_SET_SEED)
    return torch.randint(0, 2, (_NUM_TEST_ROWS, 32), generator=generator).to(torch.uint8)


def _network() -> nn.Sequential:
    torch.manual_seed(_RUN_SEED)
    return build_network(32, 512)


def _untouched() -> Tensor:
    return flatten(dict(_network().named_parameters()))


def _normal_weights() -> Tensor:
    """Returns the first layer of `isolated_cube`."""
    weight = next(_network().parameters()).detach()
    return nn.init.kaiming_normal_(weight, mode="fan_in", nonlinearity="relu").mul_(2.0)


def _ordering() -> Tensor:
    indices, lengths = np.zeros((1, 1, _NUM_ROWS), np.int32), np.zeros((1, 1), np.int32)
    make_orderings([_NUM_ROWS], [_ORDERING_SEED]).fill(indices, lengths, 1)
    return torch.from_numpy(indices).to(torch.int64)


def _permutation() -> Tensor:
    return torch.randperm(_NUM_ROWS, generator=torch.Generator().manual_seed(_ORDERING_SEED))


_PERMUTATION = "45f8aed842d77cc2862db6817dbb648613f70fefd756c469e8704b11d1f975e5"
# The streams that an evaluation and its strategies draw from.
STREAMS = (
    Stream("secrets", "random.sample", _secrets, "09f5075584a7474f17816e739123183c7a333730993e0f25df1f8ffe76cb81eb"),
    Stream("test sets", "torch.randint", _test_set, "b890ce336b42aa90b995ff88df83413966ad1d79ab6ba5fdbf45551494ea2a6a"),
    Stream(
        "networks",
        "torch.nn.Linear",
        _untouched,
        "91004d715d15ed22ab0966d2dc7c4e83776534676e3c7aeadca1062ced4b5183",
        (0.10009678453207016, 0.050056714564561844, -0.025500275194644928, -0.12276028096675873),
    ),
    Stream(
        "normal weights",
        "torch.nn.init.kaiming_normal_",
        _normal_weights,
        "5c8efc5445067d5567eff53bbc207348685064c5a38879df1af3da9bf645cd48",
        (-0.011108004488050938, -0.4696173369884491, 0.2617298662662506, 0.48954567313194275),
    ),
    Stream("orderings", "torch.randperm, or its native twin", _ordering, _PERMUTATION),
    Stream("permutations", "torch.randperm", _permutation, _PERMUTATION),
)


def likenesses() -> list[tuple[Stream, Likeness]]:
    """Compares every stream with the original's; leaves torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        return [(stream, stream.likeness()) for stream in STREAMS]


@cache
def warn_of_others() -> None:
    """Warns, once per process, of streams that differ from the original's by more than rounding.

    Torch rounds initial weights differently where it uses neither AVX2 nor AVX-512. The results then have the same
    distribution, as with any other rounding in the training.
    """
    others = [stream.name for stream, likeness in likenesses() if likeness == "other"]
    if others:
        warnings.warn(
            f"torch {torch.__version__} and Python {platform.python_version()} draw {', '.join(others)} differently "
            "from the original: compare only with evaluations of this machine",
            stacklevel=2,
        )
