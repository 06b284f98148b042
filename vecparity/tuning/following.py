"""The progress of a search, beside that of its evaluations."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from vecparity.evaluation.callbacks import Follower
from vecparity.tuning.results import Search, Trial


@runtime_checkable
class SearchFollower(Follower, Protocol):
    """Receives the progress of a search, and of its evaluations as any `Follower` does."""

    def batch(self, number: int, of: int) -> None:
        """Called before a batch is evaluated: so many trials are finished, of so many that there shall be."""
        return

    def told(self, trial: Trial) -> None:
        """Called for every finished trial, those of earlier sittings first."""
        return

    def rescoring(self, found: Search, count: int) -> None:
        """Called when all trials are made, before so many of the best are evaluated anew."""
        return


def search_followers(followers: Sequence[Follower]) -> list[SearchFollower]:
    """Returns those followers that are told of a search's own progress, too."""
    return [follower for follower in followers if isinstance(follower, SearchFollower)]
