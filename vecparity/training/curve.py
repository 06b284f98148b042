"""The learning curve of one run. This module loads without torch."""

from dataclasses import dataclass, field


@dataclass
class Curve:
    """The closed windows of one run.

    Attributes:
        step: The step at which each window closed.
        loss: Mean of the window's batch losses, in nats.
        accuracy: Mean of the window's batch accuracies.
    """

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)

    def append(self, step: int, loss: float, accuracy: float) -> None:
        self.step.append(step)
        self.loss.append(loss)
        self.accuracy.append(accuracy)
