"""A strategy as the evaluator holds it: the bytes of a file. Only workers execute the file, see `sandbox`."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

from vecparity.errors import UsageError, brief, visible
from vecparity.files import read_whole, to_path
from vecparity.strategy import functions

# Far more than any strategy needs: a larger file is something else.
_MOST_BYTES = 10 << 20
_BUNDLED = Path(__file__).parent.parent / "strategies"


# ``pickle`` is a source that unpickles functions whose own source was not to be had.
Origin = Literal["file", "text", "functions", "pickle"]


@dataclass(frozen=True)
class Strategy:
    """A strategy's source, read once, so that the executed bytes are the hashed bytes.

    Attributes:
        name: The file's name without its suffix.
        path: The file, as errors name it.
        source: The file's bytes.
        origin: The kind of thing that the source was made of.
    """

    name: str
    path: str
    source: bytes
    origin: Origin = "file"

    @classmethod
    def from_source(cls, text: str | bytes, *, name: str = "strategy") -> "Strategy":
        """Makes a strategy of a Python source.

        Args:
            text: The source; text is encoded as UTF-8.
            name: A name for results and errors.

        Raises:
            UsageError: The name is no plain name, or the source is larger than 10 MiB.
        """
        return cls._made(text.encode(errors="surrogatepass") if isinstance(text, str) else text, name, "text")

    @classmethod
    def from_functions(
        cls,
        *,
        init_model: Callable[..., object],
        make_dataset: Callable[..., object],
        get_optimizer_config: Callable[..., object],
        name: str = "strategy",
    ) -> "Strategy":
        """Makes a strategy of three functions, of a module or of a notebook's cells.

        Their source is gathered, with the definitions, imports and plain values that they use. Where a source is not to
        be had (a lambda, a function within a function, an object that no statement defines), they are pickled, and
        ``origin`` says so.

        Args:
            init_model: See the interface.
            make_dataset: See the interface.
            get_optimizer_config: See the interface.
            name: A name for results and errors.

        Raises:
            UsageError: The name is no plain name, or a function has no source and cannot be pickled.
        """
        given = {"init_model": init_model, "make_dataset": make_dataset, "get_optimizer_config": get_optimizer_config}
        for function, value in given.items():
            if not callable(value):
                raise UsageError(f"{function} must be a function, got {brief(value)}")
        try:
            return cls._made(functions.as_source(given), name, "functions")
        except ValueError:
            return cls._made(functions.as_pickle(given), name, "pickle")

    @classmethod
    def _made(cls, source: bytes, name: str, origin: Origin) -> "Strategy":
        if not isinstance(source, bytes):
            raise UsageError(f"a strategy's source must be text or bytes, got {brief(source)}")
        if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]{0,99}", name):
            raise UsageError(f"name must be letters, digits, '_', '-' and '.', at most 100, got {brief(name)}")
        if len(source) > _MOST_BYTES:
            raise UsageError(f"a strategy's source must be at most {_MOST_BYTES >> 20} MiB, got {len(source)} bytes")
        return cls(name, f"{name}.py", source, origin)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 digest of the file's bytes, in hexadecimal."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def is_bundled(self) -> bool:
        """True if the file equals a bundled strategy, byte for byte."""
        return self.sha256 in bundled_digests().values()


@cache
def bundled_digests() -> Mapping[str, str]:
    """Returns the digests of the bundled strategies, by name."""
    return {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in _BUNDLED.glob("*.py")}


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
    if path.suffix == ".ipynb":
        raise UsageError(
            f"strategy must be a Python file, got {str(name_or_path)!r}, which is a notebook: save the functions as .py"
        )
    try:
        source = read(path)
    except OSError as error:
        raise UsageError(
            f"strategy must be a Python file or one of {', '.join(bundled())}, got {str(name_or_path)!r}: "
            f"{error.strerror}{_meant(named_path)}"
        ) from error
    return Strategy(path.stem, str(path), source)


def _meant(path: Path) -> str:
    """Returns a question about the file or the bundled strategy that may be meant by a path that leads nowhere."""
    try:
        beside = [str(path.parent / other.name) for other in path.parent.iterdir() if other.suffix == ".py"]
    except OSError:
        beside = []
    likely = get_close_matches(str(path), [*sorted(beside), *bundled()], n=1, cutoff=0.75)
    return f" (is {visible(likely[0])} meant?)" if likely else ""


def load_all(names_or_paths: Sequence[str | Path], *, each_once: bool = True) -> list[Strategy]:
    """Reads several strategies; those whose files share a name are named after their directories, too.

    Args:
        names_or_paths: Bundled strategies' names, and files.
        each_once: True if a strategy that is given twice is an error.

    Raises:
        UsageError: See `load`; or a strategy is given twice.
    """
    strategies = [load(name) for name in names_or_paths]
    files = [os.path.realpath(strategy.path) for strategy in strategies]
    for index, file in enumerate(files):
        if each_once and file in files[:index]:
            raise UsageError(f"expected each strategy once, got {str(names_or_paths[index])!r} twice")
    places = [Path(os.path.abspath(strategy.path)) for strategy in strategies]
    stems = {place: place.with_suffix("") for place in places}
    names = {place: stem if list(stems.values()).count(stem) == 1 else place for place, stem in stems.items()}
    ends = distinct_ends(names.values())
    return [
        replace(strategy, name=visible("-".join(part.strip(os.sep) for part in ends[names[place]].parts)))
        for strategy, place in zip(strategies, places, strict=True)
    ]


def distinct_ends(paths: Iterable[Path]) -> dict[Path, Path]:
    """Returns the end of each path: its name, behind as many directories as tell it from others of the same name."""
    every = dict.fromkeys(paths)
    return {path: _distinct_end(path, [other for other in every if other.name == path.name]) for path in every}


def _distinct_end(path: Path, namesakes: Sequence[Path]) -> Path:
    length = 1
    while sum(other.parts[-length:] == path.parts[-length:] for other in namesakes) > 1:
        length += 1
    return Path(*path.parts[-length:])


def read(path: Path) -> bytes:
    """Reads a strategy's file.

    Raises:
        OSError: The file cannot be read, is not a regular file, or is larger than 10 MiB.
    """
    return read_whole(path, _MOST_BYTES)
