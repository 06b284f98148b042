"""The progress of a test or a submission, for clients that show one number and a few words."""

import time
from collections.abc import Callable, Sequence

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


class Elapsed(Follower):
    """Tells of a submission's time alone: from its steps, or when a configuration ends, scores could be inferred.

    A `Follower`; other threads may read it.

    Args:
        clock: Returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at: float | None = None

    @property
    def done(self) -> float:
        """Whole seconds since the submission began."""
        began_at = self._began_at
        return 0.0 if began_at is None else float(int(self._clock() - began_at))

    @property
    def words(self) -> str:
        """The present state."""
        return "waiting for a turn" if self._began_at is None else "submitted: being scored"

    def begin(self, config: TaskConfig) -> None:
        """See `Follower`."""
        if self._began_at is None:
            self._began_at = self._clock()
