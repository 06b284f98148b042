"""The progress of one configuration of a running command, for a display. Times are a clock's, in seconds."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from vecparity.training.progress import WindowClosed

Stage = Literal["waiting", "preparing", "training", "done"]

# Speed is measured over the last few seconds, because it changes as runs stop.
_RECENT_SECONDS = 10.0


@dataclass
class Headway:
    """One configuration's progress.

    Attributes:
        label: Its name.
        max_steps: Steps of a run that does not stop early.
        stage: Its present stage.
        step: The furthest step of any run; for runs that train one after the other, the present run's step.
        num_runs: Number of runs of all evaluations, known once they are prepared.
        num_live: Number of runs that have not stopped.
        accuracy: After each window, the mean over the runs of each run's last window.
        seconds: Total duration, once it is done.
    """

    label: str
    max_steps: int
    stage: Stage = "waiting"
    step: int = 0
    num_runs: int = 0
    num_live: int = 0
    accuracy: list[float] = field(default_factory=list)
    seconds: float = 0.0
    _began: float = 0.0
    _training_began: float = 0.0
    _run_steps: int = 0
    _run_steps_left: int = 0
    _last: dict[int, float] = field(default_factory=dict)
    # The times at which windows closed, with the run-steps trained until then.
    _marks: deque[tuple[float, int]] = field(default_factory=deque)

    def begin(self, now: float) -> None:
        self.stage, self._began = "preparing", now

    def begin_training(self, num_runs: int, now: float) -> None:
        self.stage, self.num_runs, self.num_live = "training", num_runs, num_runs
        self._training_began = now
        self._marks.append((now, 0))

    def window(self, closed: WindowClosed, now: float) -> None:
        # Engines that train one run after the other start at step 0 with each run.
        before = self.step if closed.step > self.step else 0
        self.step, self.num_live = closed.step, closed.num_live
        going_on = len(set(closed.live).intersection(closed.runs))
        self._run_steps_left = closed.num_live * self.max_steps - going_on * closed.step
        self._last |= zip(closed.runs, closed.accuracy, strict=True)
        self.accuracy.append(sum(self._last.values()) / max(1, len(self._last)))
        if not closed.is_shown_again:
            self._run_steps += len(closed.runs) * (closed.step - before)
        self._marks.append((now, self._run_steps))
        while now - self._marks[1][0] > _RECENT_SECONDS:
            self._marks.popleft()

    def finish(self, now: float) -> None:
        self.stage, self.seconds, self.num_live = "done", now - self._began, 0
        if self._marks:  # from now on, the speed over the whole training
            self._marks = deque([(self._training_began, 0), self._marks[-1]])

    @property
    def run_steps_per_second(self) -> float | None:
        """Recent speed, or the speed over the whole training once done; None if nothing has been trained."""
        if not self._run_steps:
            return None
        (began, before), (ended, after) = self._marks[0], self._marks[-1]
        return (after - before) / max(ended - began, 1e-9)

    def seconds_left(self, now: float) -> float | None:
        """Returns the most seconds that training can still take at this speed, if no further run stops early."""
        if self.stage != "training" or not (speed := self.run_steps_per_second):
            return None
        return max(0.0, self._run_steps_left / speed - (now - self._marks[-1][0]))
