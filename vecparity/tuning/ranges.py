"""The space of a search: ranges that a strategy declares, and those that were asked for."""

from collections.abc import Mapping, Sequence

from vecparity.errors import UsageError, brief
from vecparity.strategy.parameters import Value, names_of, read_value, resolve, whole_parameters
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Choice, Range, Space


def parse_ranges(texts: Sequence[str]) -> dict[str, Range | Choice]:
    """Reads ``NAME=LOW:HIGH``, ``NAME=LOW:HIGH:log`` and ``NAME=VALUE,VALUE,...``.

    Raises:
        UsageError: A text has another form, or a name is given twice.
    """
    space: dict[str, Range | Choice] = {}
    for text in texts:
        name, _, values = text.partition("=")
        if name in space:
            raise UsageError(f"tune {name} is given twice, as {space[name]} and {brief(values)}")
        try:
            space[name] = _parse(values)
        except UsageError as error:
            raise UsageError(f"tune {brief(text)}: {error}") from error
        if not name.isidentifier() or space[name] is None:
            raise UsageError(f"tune must be NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=A,B,C, got {brief(text)}")
    return space


def _parse(text: str) -> Range | Choice:
    if "," in text:
        return Choice(*(read_value(value) for value in text.split(",")))
    bounds, is_log = (text.removesuffix(":log"), True) if text.endswith(":log") else (text, False)
    low, between, high = bounds.partition(":")
    if not between:
        raise UsageError("expected LOW:HIGH, LOW:HIGH:log or values with commas")
    return Range(read_value(low), read_value(high), is_log)  # type: ignore[arg-type]  # it says what is no number


def resolve_space(strategy: Strategy, declared: Space, tuned: Space, fixed: Mapping[str, Value]) -> Space:
    """Returns the ranges in which a search looks, in alphabetical order.

    Args:
        strategy: The strategy.
        declared: The ranges in its functions' signatures.
        tuned: Ranges that take the place of these, or are added.
        fixed: Values of parameters that are not to vary.

    Raises:
        UsageError: There is no range, or one of no parameter; or a parameter is to vary and to be fixed.
    """
    for name in tuned:
        if name in fixed:
            raise UsageError(f"expected {name} with either a range or a value, got {tuned[name]} and {fixed[name]!r}")
    space = {name: given for name, given in {**declared, **tuned}.items() if name not in fixed}
    resolve(strategy, {**fixed, **dict.fromkeys(space, 0)})  # what is no parameter gets the error of an unknown one
    if not space:
        names = names_of(strategy)
        known = f"its parameters are {', '.join(names)}" if names else "it has no keyword-only arguments"
        raise UsageError(
            f"{strategy.path}: expected a range to search in, as in --tune lr=1e-3:1e-1:log, got none ({known})"
        )
    whole = whole_parameters(strategy)
    return {
        name: given.as_floats() if isinstance(given, Range) and name in tuned and name not in whole else given
        for name, given in sorted(space.items())
    }
