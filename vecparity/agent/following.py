"""The progress of a test, for clients that show one number and a few words."""

from collections.abc import Sequence

from vecparity.evaluation.callbacks import Asked, Follower
from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig
from vecparity.training.progress import WindowClosed

# The share of a configuration that its preparation counts as.
_PREPARATION = 0.05


class Fraction(Follower):
    """Counts configurations, the present one by its steps. A `Follower`; other threads may read it.

    Attributes:
        done: Configurations that are done, with the share of the present one that is; it never goes back.
        words: The present state. They tell nothing that a test's answer would, as a test may be stopped.
    """

    def __init__(self) -> None:
        self.done = 0.0
        self.words = "waiting for a turn"
        self._finished = 0
        self._config: TaskConfig | None = None

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        self._config = config
        self.words = f"{config.label}: preparing"

    def asked(self, asked: Asked) -> None:
        """See `Follower`."""
        assert self._config is not None
        self.words = f"{self._config.label}: asking for {asked.what}"
        self._advance(_PREPARATION * asked.number / asked.of)

    def window(self, closed: WindowClosed) -> None:
        """See `Follower`."""
        assert self._config is not None
        self.words = f"{self._config.label}: step {closed.step:,}"
        self._advance(_PREPARATION + (1 - _PREPARATION) * closed.step / self._config.max_steps)

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        """See `Follower`."""
        self._finished += 1
        self.done = float(self._finished)

    def _advance(self, share: float) -> None:
        self.done = max(self.done, self._finished + min(1.0, share))
