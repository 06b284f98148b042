"""A strategy as the evaluator holds it: the bytes of a file. Only workers execute the file, see `sandbox`."""

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from vecparity.errors import UsageError
from vecparity.files import read_whole, to_path

# Far more than any strategy needs: a larger file is something else.
_MOST_BYTES = 10 << 20
_BUNDLED = Path(__file__).parent.parent / "strategies"


@dataclass(frozen=True)
class Strategy:
    """A strategy's file, read once, so that the executed bytes are the hashed bytes.

    Attributes:
        name: The file's name without its suffix.
        path: The file, as errors name it.
        source: The file's bytes.
    """

    name: str
    path: str
    source: bytes

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 digest of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def is_bundled(self) -> bool:
        """True if the file equals a bundled strategy, byte for byte."""
        return self.sha256 in _bundled_digests()


@cache
def _bundled_digests() -> frozenset[str]:
    return frozenset(hashlib.sha256(path.read_bytes()).hexdigest() for path in _BUNDLED.glob("*.py"))


def bundled() -> list[str]:
    """Returns the names of the strategies that come with the package."""
    return sorted(path.stem for path in _BUNDLED.glob("*.py"))


def load(name_or_path: str | Path) -> Strategy:
    """Reads a bundled strategy by name, or a file by path.

    Raises:
        UsageError: No bundled strategy or readable file has this name, or the name cannot be printed.
    """
    named_path = to_path(name_or_path, "strategy")
    path = _BUNDLED / f"{named_path}.py" if str(name_or_path) in bundled() else named_path
    if not path.stem.isprintable():  # the name appears in results, tables and pages
        raise UsageError(f"strategy must be a file whose name can be printed, got {str(name_or_path)!r}")
    try:
        source = read(path)
    except OSError as error:
        raise UsageError(
            f"strategy must be a Python file or one of {', '.join(bundled())}, got {str(name_or_path)!r}: "
            f"{error.strerror}"
        ) from error
    return Strategy(path.stem, str(path), source)


def read(path: Path) -> bytes:
    """Reads a strategy's file.

    Raises:
        OSError: The file cannot be read, is not a regular file, or is larger than 10 MiB.
    """
    return read_whole(path, _MOST_BYTES)
