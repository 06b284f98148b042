"""``vecparity new``: writes a strategy file to start from."""

import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from vecparity.cli.output import show
from vecparity.errors import MachineError, UsageError
from vecparity.strategy.source import bundled, load

_STARTER = Path(__file__).parents[2] / "strategy" / "starter.py"


def new(
    file: Annotated[Path, Parameter(name="FILE")], /, *, from_: Annotated[str | None, Parameter(name="--from")] = None
) -> int:
    """Write a strategy to start from: a working one with comments, or a copy of a bundled one.

    Args:
        file: The file to write. It must not exist.
        from_: A bundled strategy to copy unchanged.

    Returns:
        The exit status.

    Raises:
        UsageError: The file exists, does not end in .py or cannot be printed, or no such strategy is bundled.
        MachineError: The file cannot be written.
    """
    if file.suffix != ".py":
        raise UsageError(f"FILE must be a name that ends in .py, got {str(file)!r}")
    if not str(file).isprintable():  # no command would read it
        raise UsageError(f"FILE must be a name that can be printed, got {str(file)!r}")
    if from_ is not None and from_ not in bundled():
        raise UsageError(f"--from must be one of {', '.join(bundled())}, got {from_!r}")
    _write(file, _STARTER.read_bytes() if from_ is None else load(from_).source)
    show(f"wrote {file}; next:", f"  vecparity check {shlex.quote(str(file))}")
    return 0


def _write(file: Path, source: bytes) -> None:
    """Writes a new file, whole or not at all; leaves an existing file alone, even one made at this moment."""
    try:
        with file.open("xb") as opened:
            try:
                opened.write(source)
                opened.flush()
            except OSError:
                with suppress(OSError):
                    file.unlink()
                raise
    except FileExistsError as error:
        raise UsageError(f"FILE must not exist yet, got {file}") from error
    except OSError as error:
        raise MachineError(f"{file} cannot be written: {error.strerror or error}") from error
