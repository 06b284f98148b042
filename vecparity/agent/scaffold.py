"""The file that an agent edits: a fixed head, the block with a strategy's three functions, and a fixed rest."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from vecparity.task.config import TaskConfig

NAME = "custom_strategy"
FILE = f"{NAME}.py"
_STARTER = Path(__file__).parents[1] / "strategy" / "starter.py"
_BEGIN = "# ===== EDITABLE BLOCK: the lines from here to the end of the block may be edited ====="
_END = "# ===== END OF THE EDITABLE BLOCK ====="

_HEAD = '''"""A strategy for learning hidden parities. Only the three functions in the editable block are evaluated.

{task}
"""

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from vecparity import TaskConfig, parity_labels

# The settings that the functions get as `config`. Other configurations have another n_features.
DEFAULT_TASK = TaskConfig(
{settings}
)

'''
_REST = f"""
if __name__ == "__main__":
    # vecparity eval {FILE} --all-configs --protocol published
    raise SystemExit("the three functions are evaluated from outside: see the comment above")
"""


def task_in_words(config: TaskConfig) -> str:
    """Returns the task in a few lines: what is learnt, what an author chooses, and how it is scored."""
    network = f"Linear(N, {config.hidden_width}) -> ReLU -> Linear({config.hidden_width}, 1) -> Sigmoid"
    asked = (
        f"A secret is {config.secret_size} of the N input bits (N = 32, 50 or 64); a row's label is the parity of "
        f"these bits. A fixed network, {network}, is trained by AdamW with batches of {config.batch_size}, until it "
        f"gets {config.early_stop_acc:.1%} of its training rows right for long enough, or for {config.max_steps:,} "
        "steps. You choose its initial weights, its training rows, for which alone you are shown the secret, and "
        "AdamW's four settings."
    )
    scored = (
        f"The score is the mean share of {config.test_set_size:,} uniform random rows that the trained networks label "
        f"correctly, over {config.num_hidden_secrets} secrets with {config.num_orderings} orders of training each. "
        "1.0 is perfect, 0.5 is guessing. Among equals, fewer steps are better."
    )
    return "\n\n".join(textwrap.fill(words, 110, break_on_hyphens=False) for words in (asked, scored))


@dataclass(frozen=True)
class Scaffold:
    """A file of lines without their ends, of which those of the block may be edited. Lines count from 1.

    Attributes:
        head: The lines above the block, the last of them its mark.
        block: The lines that may be edited.
        rest: The lines below the block, the first of them its mark.
    """

    head: tuple[str, ...]
    block: tuple[str, ...]
    rest: tuple[str, ...]

    @property
    def lines(self) -> tuple[str, ...]:
        return self.head + self.block + self.rest

    @property
    def first(self) -> int:
        """Number of the block's first line; one more than `last` if the block is empty."""
        return len(self.head) + 1

    @property
    def last(self) -> int:
        """Number of the block's last line."""
        return len(self.head) + len(self.block)

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    def numbered(self, first: int, last: int) -> str:
        """Returns lines with their numbers, each as ``   12 | text``."""
        shown = enumerate(self.lines[first - 1 : last], start=first)
        return "\n".join(f"{number:5d} | {line}".rstrip(" ") for number, line in shown)

    def with_lines(self, first: int, last: int, lines: Sequence[str]) -> "Scaffold":
        """Returns the file with other lines of the block in place of those from ``first`` to ``last``."""
        start, end = first - self.first, last - self.first + 1
        return replace(self, block=(*self.block[:start], *lines, *self.block[end:]))


def scaffold(config: TaskConfig) -> Scaffold:
    """Returns the file that a session begins with: its functions train, but do not solve the task."""
    settings = "\n".join(f"    {field.name}={getattr(config, field.name)}," for field in fields(config))
    head = _HEAD.format(task=task_in_words(config), settings=settings)
    starter = _STARTER.read_text(encoding="utf-8")
    functions = starter[starter.index("def init_model(") :]
    return Scaffold(
        head=(*head.splitlines(), _BEGIN),
        block=tuple(functions.splitlines()),
        rest=(_END, *_REST.splitlines()),
    )
