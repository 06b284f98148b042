"""``vecparity search``: looks for the best values of a strategy's parameters."""

from typing import Annotated

from cyclopts import Parameter

from vecparity.cli.arguments import Overrides, Task, given
from vecparity.cli.search_arguments import SearchArguments
from vecparity.sandbox.limits import Limits


def search(
    strategy: Annotated[str, Parameter(name="STRATEGY"), Task],
    /,
    *,
    arguments: SearchArguments = SearchArguments(),  # noqa: B008
    overrides: Overrides = Overrides(),  # type: ignore[valid-type]  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
) -> int:
    """Look for the values of a strategy's parameters that reach the highest accuracy, then in the fewest steps.

    All trials share secrets, orderings and seeds. The best are evaluated anew, on secrets that the search has not seen.

    Args:
        strategy: A bundled strategy, or a file.
        arguments: The arguments.
        overrides: The settings.
        limits: The limits.

    Returns:
        The exit status, as of vecparity eval: 75 if it was interrupted and its study goes on.
    """
    from vecparity.cli.commands.search_work import work

    return work(strategy, arguments, given(overrides), limits)
