"""The containment of strategies that agents write."""

from vecparity.sandbox import levels
from vecparity.sandbox.levels import Containment, Level


def required(containment: Containment, require: Level | None) -> Level | None:
    """Returns the weakest containment that is acceptable: landlock, unless a weaker one is named.

    What an agent writes must not read the user's files only because the machine lacks something.

    Args:
        containment: See `Options`.
        require: See `Options`.

    Raises:
        UsageError: The machine does not support it.
    """
    if containment == "auto" and require is None:
        require = "landlock"
    levels.choose(containment, require)
    return require
