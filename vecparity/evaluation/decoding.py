"""Decodes parts of an evaluation's JSON, with errors that say what was expected and what was got."""

import re
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from vecparity.errors import brief

# msgspec's error says where a number is out of its range, not which number it is.
_OUT_OF_RANGE = re.compile(r"Expected `\w+` (?P<range>.+) - at `\$\.(?P<name>\w+)(?P<keys>.*)`")

Part = TypeVar("Part")


def decode(data: bytes | Raw, type_: type[Part], within: str = "") -> Part:
    """Decodes JSON; the error of a number out of its range says which number was got.

    Args:
        data: The JSON.
        type_: The type to decode.
        within: The place of this JSON in the whole, for errors.

    Raises:
        ValueError: The JSON is of another type, or is no JSON.
    """
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as error:
        if (found := _OUT_OF_RANGE.fullmatch(str(error))) is None:
            raise ValueError(f"expected the JSON of an evaluation: {error}") from error
        name, keys = found["name"], re.findall(r"\.(\w+)|\[(\d+)\]", found["keys"])
        value: Any = msgspec.json.decode(msgspec.json.decode(data, type=dict[str, Raw])[name])
        for key, index in keys:
            value = value[key or int(index)]
        expected = f"a number {found['range']} as {within}{name}{found['keys']}"
        raise ValueError(f"expected {expected}, got {brief(value)}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"expected the JSON of an evaluation: {error}") from error
