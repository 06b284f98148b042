"""Settings of a session."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from vecparity.errors import UsageError, brief
from vecparity.task.config import CONFIGURATIONS, Protocol, TaskConfig, task_config

DigestForm = Literal["harness", "compact"]

# All tests stay in memory.
_MOST_TESTS = 100


@dataclass(frozen=True, kw_only=True)
class SessionSettings:
    """The rules of a session.

    Attributes:
        budget: Number of tests.
        protocol: The protocol of tests and of the submission.
        smoke: The short settings on top of the protocol.
        seed: The top-level seed of tests.
        hidden: A configuration that tests leave out and the submission has, or None.
        seconds: The most seconds that a test or the submission may take.
        digest: The form of a test's answer: the harness's lines, or one line for each configuration.
        history: The file in which tests and the submission are recorded, or None. It must exist or be creatable.

    Raises:
        UsageError: A value is invalid.
    """

    budget: int = 3
    protocol: Protocol = "published"
    smoke: bool = False
    seed: int = 42
    hidden: str | None = None
    seconds: float = 3600.0
    digest: DigestForm = "harness"
    history: Path | None = None

    def __post_init__(self) -> None:
        if not _is_integer(self.budget) or not 1 <= self.budget <= _MOST_TESTS:
            raise UsageError(f"budget must be an integer from 1 to {_MOST_TESTS}, got {brief(self.budget)}")
        if not _is_integer(self.seed):
            raise UsageError(f"seed must be an integer, got {brief(self.seed)}")
        seconds: Any = self.seconds
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 < seconds < math.inf:
            raise UsageError(f"seconds must be a finite number above 0, got {brief(seconds)}")
        if self.hidden not in (None, *CONFIGURATIONS):
            raise UsageError(f"hidden must be one of {', '.join(CONFIGURATIONS)}, or None, got {brief(self.hidden)}")
        if self.digest not in get_args(DigestForm):
            raise UsageError(f"digest must be one of {', '.join(get_args(DigestForm))}, got {brief(self.digest)}")
        self.config("n32-k8")  # checks the protocol

    @property
    def shown(self) -> list[str]:
        """Labels of the configurations that tests evaluate."""
        return [label for label in CONFIGURATIONS if label != self.hidden]

    def config(self, label: str) -> TaskConfig:
        """Returns the settings of a configuration."""
        return task_config(label, protocol=self.protocol, smoke=self.smoke)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
