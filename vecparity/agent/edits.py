"""The arguments of an edit: which lines it takes out of the block, and which it puts in."""

from typing import Literal, get_args

from vecparity.agent.scaffold import Scaffold
from vecparity.errors import UsageError, brief

Operation = Literal["replace", "insert", "delete"]


def span(file: Scaffold, op: str, start_line: int, end_line: int | None) -> tuple[int, int]:
    """Returns the first and the last line to take out, of which there are none for an insertion.

    Raises:
        UsageError: An argument is invalid, or a line is outside the block.
    """
    if op not in get_args(Operation):
        raise UsageError(f"op must be one of {', '.join(get_args(Operation))}, got {brief(op)}")
    first, last = file.first, file.last
    end = start_line if end_line is None else end_line
    for name, line in (("start_line", start_line), ("end_line", end)):
        if not isinstance(line, int) or isinstance(line, bool):
            raise UsageError(f"{name} must be an integer, got {brief(line)}")
    if op == "insert":
        if not first - 1 <= start_line <= last:
            raise UsageError(f"insert goes below one of the lines {first - 1} to {last}, got line {start_line}")
        return start_line + 1, start_line
    if first > last:
        raise UsageError(f"the block is empty: insert below line {first - 1}, got {op}")
    if not first <= start_line <= end <= last:
        raise UsageError(f"only lines {first} to {last} may be edited, got {op} of lines {start_line} to {end}")
    return start_line, end


def new_lines(op: str, content: str | None) -> list[str]:
    """Returns the lines to put in.

    Raises:
        UsageError: The content is invalid.
    """
    if op == "delete":
        if content:
            raise UsageError(f"delete takes no content, got {brief(content)}")
        return []
    if not isinstance(content, str) or not content:
        raise UsageError(f"{op} needs content, the new lines, got {brief(content)}")
    try:
        content.encode()
    except UnicodeEncodeError as error:  # half of a character: no answer with it could be sent
        raise UsageError(f"content must be text that UTF-8 can encode, got {brief(content[error.start])}") from error
    text = content.replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n")
