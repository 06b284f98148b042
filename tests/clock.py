"""A clock for tests."""


class Clock:
    """Returns the time that it is set to, in seconds."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
