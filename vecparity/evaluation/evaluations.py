"""Several evaluations, as `evaluate` and `evaluate_many` return them."""

from typing import TYPE_CHECKING

from vecparity.evaluation.result import Evaluation


class Evaluations(list[Evaluation]):
    """A list of evaluations that shows one line for each, and in a notebook one table with small curves."""

    __module__ = "vecparity"  # the public module, from which pickle imports the class with its attached method

    def __repr__(self) -> str:
        lines = "".join(f"\n  {evaluation.in_words}" for evaluation in self)
        return f"<{len(self)} evaluation{'' if len(self) == 1 else 's'}{':' if self else ''}{lines}>"

    if TYPE_CHECKING:
        # `api` attaches this: reports import evaluations, not the reverse.
        def _repr_html_(self, /) -> str: ...
