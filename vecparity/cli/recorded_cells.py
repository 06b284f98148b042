"""Cells that are recorded are shown, too, wherever an interruption falls."""

from collections.abc import Sequence

from vecparity.cli.interruption import Interruption
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.result import Evaluation


class RecordedCells(Follower):
    """Has a first signal wait while cells are recorded and not yet among those that the command shows. A `Follower`.

    Args:
        interruption: Handles the signals of the command.
    """

    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption
        self._num_coming = 0

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`: these are recorded next."""
        self._num_coming += len(evaluations)
        self._interruption.can_be_kept = self._num_coming > 0

    def shown(self) -> None:
        """Notes that the command has one of them.

        Raises:
            KeyboardInterrupt: A signal has waited for the last of them.
        """
        self._num_coming = max(0, self._num_coming - 1)
        if not self._num_coming:
            self._interruption.can_be_kept = False
            if self._interruption.requested():
                raise KeyboardInterrupt
