"""A strategy as the evaluator knows it: a file's bytes. It is executed in workers only, see `sandbox`."""

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from vecparity.errors import UsageError
from vecparity.files import read_whole, to_path

# Far more than anybody writes: a larger file is something else.
_MOST_BYTES = 10 << 20
_BUNDLED = Path(__file__).parent.parent / "strategies"


@dataclass(frozen=True)
class Strategy:
    """A strategy's file, read once: what is executed is what was hashed.

    Attributes:
        name: The file's name without its suffix.
        path: The file, as it is named in errors.
        source: The file's bytes.
    """

    name: str
    path: str
    source: bytes

    @cached_property
    def sha256(self) -> str:
        """Digest of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def is_bundled(self) -> bool:
        """Whether it is one of those that come with the package, byte for byte."""
        return self.sha256 in _bundled_digests()


@cache
def _bundled_digests() -> frozenset[str]:
    return frozenset(hashlib.sha256(path.read_bytes()).hexdigest() for path in _BUNDLED.glob("*.py"))


def bundled() -> list[str]:
    """Names of the strategies that come with the package."""
    return sorted(path.stem for path in _BUNDLED.glob("*.py"))


def load(name_or_path: str | Path) -> Strategy:
    """Reads a bundled strategy by name, or a file by path.

    Raises:
        UsageError: Neither a bundled strategy nor a file that can be read, or its name cannot be printed.
    """
    given = to_path(name_or_path, "strategy")
    path = _BUNDLED / f"{given}.py" if str(name_or_path) in bundled() else given
    if not path.stem.isprintable():  # it stands in results, tables and pages
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
        OSError: It cannot be read, is no regular file, or is larger than a strategy is.
    """
    return read_whole(path, _MOST_BYTES)
