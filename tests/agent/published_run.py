"""The moves of the published agent's run, with the bundled strategies' text as content; any client can play them.

Its first attempt was what `clean_noisy_cube` does. The second was what `isolated_cube_1` does, then an edit of the last
lines that left a function's head out, taken back, and the same edit with the head, which makes it `isolated_cube`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from conftest import golden

from vecparity.strategy.source import load
from vecparity.task.config import CONFIGURATIONS

Call = Callable[[str, Mapping[str, Any]], str]

_HEAD = "def get_optimizer_config("


@dataclass
class Player:
    """Plays moves, each by the answers to those before it, as a model does.

    Attributes:
        call: Calls a verb by name with its arguments, and returns the text that the agent reads.
        answers: All answers so far, with the verbs.
    """

    call: Call
    answers: list[tuple[str, str]] = field(default_factory=list)

    def move(self, verb: str, **arguments: Any) -> str:
        answer = self.call(verb, arguments)
        self.answers.append((verb, answer))
        return answer

    def block(self) -> tuple[int, int]:
        """The lines that may be edited, by the newest answer that says so."""
        answer = next(words for _, words in reversed(self.answers) if "may be edited" in words)
        first, last = re.findall(r"lines (\d+) to (\d+) may be edited", answer)[-1]
        return int(first), int(last)

    def replace_block(self, strategy: str) -> str:
        """Replaces the whole block by a bundled strategy's text."""
        first, last = self.block()
        return self.move("edit", op="replace", start_line=first, end_line=last, content=text(strategy))

    def line_of(self, beginning: str) -> int:
        """The number of the last line that begins so, by the newest answer that shows it."""
        shown = "\n".join(words for _, words in self.answers)
        return int(re.findall(rf"(?m)^ *(\d+) \| {re.escape(beginning)}", shown)[-1])


def text(strategy: str) -> str:
    return load(strategy).source.decode()


def first_attempt(player: Player) -> str:
    """Returns the answer to its one test."""
    player.move("view")
    player.replace_block("clean_noisy_cube")
    return player.move("test")


def second_attempt(player: Player) -> tuple[str, str, str]:
    """Returns the answers to its two tests and to the submission."""
    player.move("view")
    player.replace_block("isolated_cube_1")
    first = player.move("test")
    start, (_, end) = player.line_of(_HEAD), player.block()
    last_lines = text("isolated_cube").partition(_HEAD)[2]
    headless = last_lines.partition("\n")[2]
    broken = player.move("edit", op="replace", start_line=start, end_line=end, content=headless)
    assert _HEAD not in broken.rpartition("may be edited")[2], "the head was to be left out"
    undone = player.move("undo", n=1)
    assert _HEAD in undone
    player.move("edit", op="replace", start_line=start, end_line=end, content=_HEAD + last_lines)
    second = player.move("test")
    return first, second, player.move("submit", n=2)


def require_results(answer: str, strategy: str) -> None:
    """Checks the figures of each configuration in a test's answer against those of the original evaluator."""
    for label in CONFIGURATIONS:
        figures = section(answer, label)
        accuracy = float(re.findall(r"FINAL_METRICS test_accuracy=([\d.]+)", figures)[-1])
        steps = float(re.findall(r"mean_steps=([\d.]+) num_runs=15", figures)[-1])
        expected = golden("published")[f"{strategy}_{label.removesuffix('-k8')}_seed42"]["final"]
        if strategy == "isolated_cube":
            assert (accuracy, steps) == (1.0, 1750)
        else:
            assert abs(accuracy - 0.999) <= 0.001, figures
            assert abs(steps - expected["mean_steps"]) <= 25, figures


def require_chance(answer: str) -> None:
    """Checks that nothing was learnt at n50-k8, as in the first attempt's test."""
    figures = section(answer, "n50-k8")
    assert abs(float(re.findall(r"FINAL_METRICS test_accuracy=([\d.]+)", figures)[-1]) - 0.5) <= 0.02, figures


def section(answer: str, label: str) -> str:
    """The part of an answer that is about a configuration."""
    return answer.partition(f"[{label}]")[2].partition("\n[")[0]
