"""Seeds for every random number of an evaluation: public formulas, or streams under a secret key.

Source: contract section 2 for the formulas.
"""

import hashlib
import hmac
import os
import random
import re
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Protocol, runtime_checkable

import platformdirs

from vecparity.errors import MachineError, UsageError, brief
from vecparity.task.config import Secret, TaskConfig

_KEY_BYTES = 32
_DRAW_BYTES = 16


@runtime_checkable
class Seeds(Protocol):
    """Seeds for everything random in an evaluation, for secret i and ordering j, both from 0.

    Attributes:
        seed: The top-level seed.
        seal: The digest of the key of sealed seeds; None if the seeds are public.
        draw: The draw of sealed seeds, see `SealedSeeds`.
    """

    @property
    def seed(self) -> int: ...

    @property
    def seal(self) -> str | None: ...

    @property
    def draw(self) -> str | None: ...

    def secrets(self, config: TaskConfig) -> list[Secret]:
        """Draws the evaluation's secrets: distinct sorted tuples of feature indices."""

    def dataset_seed(self, config: TaskConfig, i: int) -> int:
        """Returns the seed that ``make_dataset`` receives; it also seeds the global generators before the call."""

    def test_set_seed(self, config: TaskConfig, i: int) -> int:
        """Returns the seed for the generator of the secret's test set."""

    def run_seed(self, config: TaskConfig, i: int, j: int) -> int:
        """Returns the seed for the global generators, set before the network is built."""

    def ordering_seed(self, config: TaskConfig, i: int, j: int) -> int:
        """Returns the seed for the generator of the run's epoch permutations."""

    def call_order(self, config: TaskConfig, count: int) -> list[int]:
        """Returns the order in which ``count`` networks are initialised by one worker: a permutation of 0 to count."""


@dataclass(frozen=True)
class PublicSeeds:
    """The contract's formulas: anyone who sees one seed can compute all the others and the secrets.

    Args:
        seed: The top-level seed.

    Raises:
        UsageError: See `check_seed`.
    """

    seed: int

    def __post_init__(self) -> None:
        check_seed(self.seed)

    @property
    def seal(self) -> None:
        return None

    @property
    def draw(self) -> None:
        return None

    def secrets(self, config: TaskConfig) -> list[Secret]:
        return _draw_secrets(config, self.seed + 17)

    def dataset_seed(self, config: TaskConfig, i: int) -> int:
        return self.seed * 10_000 + i

    def test_set_seed(self, config: TaskConfig, i: int) -> int:
        return self.seed * 20_000 + i

    def run_seed(self, config: TaskConfig, i: int, j: int) -> int:
        return self.seed * 1_000_000 + i * 1_000 + j

    def ordering_seed(self, config: TaskConfig, i: int, j: int) -> int:
        return self.seed * 2_000_000 + i * 1_000 + j

    def call_order(self, config: TaskConfig, count: int) -> list[int]:
        return list(range(count))  # as in the original


@dataclass(frozen=True)
class SealedSeeds:
    """Streams under a key: without the key, a seed reveals nothing about other seeds or the secrets.

    A seed is the beginning of an HMAC-SHA256 (RFC 2104) of its purpose: the stream's name, N, K, the top-level seed
    and the indices. A strategy sees two seeds, the run's and the dataset's. Both have 32 bits: authors also pass them
    to `numpy.random.seed`, which takes no more, and torch's CPU generator uses only the low 32 bits. Short seeds are
    harmless: brute force recovers only a seed that the strategy already sees, and no other seed follows from it. A
    strategy never sees the seeds of test sets and orderings. Networks are initialised in an order that only the key
    tells: the place of a call in that order says nothing about the run's secret.

    Args:
        key: 32 bytes, see `new_key`.
        seed: The top-level seed, which distinguishes evaluations under one key and draw.
        draw: A nonce, see `new_draw`: the streams come from a key derived from it, so that nothing learnt in one
            evaluation helps in another. None for the streams of the key itself, common to all who ask for them.

    Raises:
        UsageError: The key has another length; see also `check_seed` and `check_draw`.
    """

    key: bytes = field(repr=False)
    seed: int
    draw: str | None = None

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if len(self.key) != _KEY_BYTES:
            raise UsageError(f"key must have {_KEY_BYTES} bytes, got {len(self.key)}")
        if self.draw is not None:
            check_draw(self.draw)

    @property
    def seal(self) -> str:
        return key_digest(self.key)

    def secrets(self, config: TaskConfig) -> list[Secret]:
        return _draw_secrets(config, self._stream("secrets", config))

    def dataset_seed(self, config: TaskConfig, i: int) -> int:
        return self._stream("dataset", config, i) % 2**32

    def test_set_seed(self, config: TaskConfig, i: int) -> int:
        return self._stream("test set", config, i)

    def run_seed(self, config: TaskConfig, i: int, j: int) -> int:
        return self._stream("run", config, i, j) % 2**32

    def ordering_seed(self, config: TaskConfig, i: int, j: int) -> int:
        return self._stream("ordering", config, i, j)

    def call_order(self, config: TaskConfig, count: int) -> list[int]:
        return random.Random(self._stream("call order", config, count)).sample(range(count), count)

    def _stream(self, name: str, config: TaskConfig, *indices: int) -> int:
        # Decimal numbers separated by bars, after a name without bars: no two uses share a message.
        parts = ["vecparity seed 1", name, config.n_features, config.secret_size, self.seed, *indices]
        key = self.key
        if self.draw is not None:
            key = hmac.digest(key, f"vecparity draw 1|{self.draw}".encode(), "sha256")
        digest = hmac.digest(key, "|".join(map(str, parts)).encode(), "sha256")
        return int.from_bytes(digest[:8], "big") >> 1  # 63 bits, so that torch reads it as non-negative


def _draw_secrets(config: TaskConfig, seed: int) -> list[Secret]:
    rng = random.Random(seed)
    drawn: dict[Secret, None] = {}  # a dict drops duplicates and keeps the order of drawing
    while len(drawn) < config.num_hidden_secrets:
        drawn[tuple(sorted(rng.sample(range(config.n_features), config.secret_size)))] = None
    return list(drawn)


def check_seed(seed: int) -> None:
    """Refuses a top-level seed whose derived seeds do not fit torch's generators (64 bits).

    Raises:
        UsageError: The seed is not an integer, or is too far from 0.
    """
    largest = (2**63 - 1) // 2_000_000 - 1
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise UsageError(f"seed must be an integer, got {seed!r}")
    if abs(seed) > largest:
        raise UsageError(f"seed must be between -{largest} and {largest}, got {seed!r}")


def check_draw(draw: str) -> None:
    """Refuses a draw that `new_draw` cannot have made.

    Raises:
        UsageError: It is not 32 hex digits.
    """
    if not isinstance(draw, str) or not re.fullmatch(rf"[0-9a-f]{{{2 * _DRAW_BYTES}}}", draw):
        raise UsageError(f"draw must be {2 * _DRAW_BYTES} hex digits, as in a sealed result, got {brief(draw)}")


def new_draw() -> str:
    """Draws a nonce from the system's source of randomness, in hex digits."""
    return token_hex(_DRAW_BYTES)


def new_key() -> bytes:
    """Draws a key from the system's source of randomness."""
    return token_bytes(_KEY_BYTES)


def key_digest(key: bytes) -> str:
    """Returns a digest that names a key without revealing it; publish it with results and check it against the key."""
    return hashlib.sha256(b"vecparity key digest 1|" + key).hexdigest()


def kept_key(digest: str) -> Path:
    """Returns where the key with this digest is kept unless another place is named, in the user's data directory."""
    return platformdirs.user_data_path("vecparity", appauthor=False) / "keys" / f"{digest[:16]}.key"


def write_key(path: Path, key: bytes) -> None:
    """Writes a key as 64 hex digits to a new file that only its owner can read, and syncs it to disk.

    Raises:
        UsageError: ``path`` already exists; a key is never overwritten.
        MachineError: The file cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(f"{key.hex()}\n")
            file.flush()
            os.fsync(descriptor)
    except FileExistsError as error:
        raise UsageError(f"the key's file must not exist yet, got {path}") from error
    except OSError as error:
        raise MachineError(f"{path}: the key cannot be written: {error.strerror}") from error


def read_key(path: Path) -> bytes:
    """Reads a key that `write_key` wrote.

    Raises:
        UsageError: The file cannot be read, does not hold 64 hex digits, or is accessible to others than its owner.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            content = file.read(1024)
    except OSError as error:
        raise UsageError(f"the key's file must be readable, got {path}: {error.strerror}") from error
    if os.name == "posix" and mode & 0o077:
        raise UsageError(f"{path}: the key must be accessible to its owner only, got mode {mode:04o}: chmod 600 {path}")
    if not re.fullmatch(rb"[0-9a-fA-F]{64}\s*", content):
        raise UsageError(f"{path}: expected a key of 64 hex digits, got {len(content)} other bytes")
    return bytes.fromhex(content.decode())
