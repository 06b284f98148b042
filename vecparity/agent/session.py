"""A session: one file, edits, a few tests and one submission, as the benchmark has an agent work. No protocol in it."""

import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args
from uuid import uuid4

from vecparity.agent.digest import digest, submission_digest
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.results import Scored, Submission
from vecparity.agent.scaffold import FILE, NAME, Scaffold, scaffold
from vecparity.agent.settings import SessionSettings
from vecparity.errors import MachineError, UsageError, VecparityError, brief, in_number
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.job import Job, Outcome
from vecparity.evaluation.options import Options
from vecparity.evaluation.result import Evaluation
from vecparity.history.recorder import Recorder
from vecparity.history.store import History
from vecparity.strategy.source import Strategy
from vecparity.task.config import CONFIGURATIONS
from vecparity.task.seeds import new_key
from vecparity.tuning.winners import RANKED_SEED, can_seal

Operation = Literal["replace", "insert", "delete"]

# Far more than any strategy needs; a session holds all of its versions in memory.
_MOST_CHARACTERS, _MOST_EDITS = 65_536, 1_000


class Session:
    """An agent's session. Its verbs return the text that the agent reads; a refusal is an error of one line.

    An edit may leave a file that does not load: the next test says so, and `undo` takes the edit back. A test counts
    once it has begun, whatever comes of it, unless the machine failed. One thread at a time may use a session.

    Args:
        evaluators: Evaluate the tests; sessions may share them. Their options should have ``audit="off"``: tests are
            not audited.
        settings: The rules.
        directory: A directory for the file and its versions; by default all of it stays in memory.

    Attributes:
        settings: The rules.
        name: A name for the session in the history's notes.
        file: The file as it is.
        versions: The file as it was at the beginning and after each edit, including those undone.
        tests: The tests so far.
        submission: The submission, or None while the session goes on.

    Raises:
        MachineError: The directory cannot be written.
    """

    def __init__(self, evaluators: Evaluators, settings: SessionSettings, directory: Path | None = None) -> None:
        self.settings = settings
        self.name = uuid4().hex[:8]
        self.file = scaffold(settings.config(settings.shown[0]))
        self.versions = [self.file]
        self.tests: list[Scored] = []
        self.submission: Submission | None = None
        self._evaluators = evaluators
        self._directory = directory
        self._undoable: list[Scaffold] = []
        self._write(number=0)

    @property
    def remaining(self) -> int:
        """Number of tests that are left."""
        return self.settings.budget - len(self.tests)

    @property
    def strategy(self) -> Strategy:
        """The file as a strategy."""
        return Strategy.from_source(self.file.text, name=NAME)

    def view(self) -> str:
        """Returns the whole file, with the numbers of its lines."""
        tests = in_number(self.remaining, "test")
        return f"{self._extent()}; {tests} remaining\n{self.file.numbered(1, len(self.file.lines))}"

    def edit(self, op: Operation, start_line: int, end_line: int | None = None, content: str | None = None) -> str:
        """Changes lines of the block.

        Args:
            op: ``replace`` puts the content in place of the lines from ``start_line`` to ``end_line``; ``insert`` puts
                it below ``start_line``, which may be the line above the block; ``delete`` removes the lines.
            start_line: The first line, by the number that `view` shows.
            end_line: The last line; by default the first.
            content: The new lines. For ``delete`` there are none.

        Returns:
            What was replaced, and the block as it is now.

        Raises:
            UsageError: An argument is invalid, a line is outside the block, or the session has ended.
            MachineError: The file cannot be written.
        """
        self._require_going_on()
        first, last = self._span(op, start_line, end_line)
        lines = _lines(op, content)
        if len(self.versions) > _MOST_EDITS:
            raise UsageError(f"a session has at most {_MOST_EDITS:,} edits, got one more")
        before, after = self.file, self.file.with_lines(first, last, lines)
        if (length := sum(len(line) + 1 for line in after.block)) > _MOST_CHARACTERS:
            raise UsageError(f"the block must have at most {_MOST_CHARACTERS:,} characters, got {length:,}")
        self._undoable.append(before)
        self.versions.append(after)
        self.file = after
        self._write(number=len(self.versions) - 1)
        if op == "insert":
            done = f"Inserted {in_number(len(lines), 'line')} below line {start_line}."
        elif op == "delete":
            done = f"Deleted lines {first} to {last}."
        else:
            done = f"Replaced lines {first} to {last} with {in_number(len(lines), 'line')}."
        replaced = f"\nBefore:\n{before.numbered(first, last)}" if first <= last else ""
        return f"{done}{replaced}\n{self._block()}"

    def undo(self, n: int = 1) -> str:
        """Takes back the last ``n`` edits, and returns the block as it is now.

        Raises:
            UsageError: There are not so many edits, or the session has ended.
            MachineError: The file cannot be written.
        """
        self._require_going_on()
        most = len(self._undoable)
        if not most:
            raise UsageError("there is no edit to undo")
        _require_number("n", n, 1, most)
        self.file = self._undoable[-n]
        del self._undoable[-n:]
        self._write()
        return f"Took back {in_number(n, 'edit')}.\n{self._block()}"

    def test(self, followers: Sequence[Follower] = (), stopped: threading.Event | None = None) -> str:
        """Evaluates the file as it is, and returns the digest.

        Args:
            followers: Objects to notify of the progress.
            stopped: Once set, by another thread, the test ends soon; it counts if it had begun.

        Raises:
            UsageError: All tests are used, or the session has ended.
            InterruptedTrainingError: It was stopped before it began.
            MachineError: The machine failed; the test does not count.
        """
        self._require_going_on()
        if not self.remaining:
            used = in_number(self.settings.budget, "test")
            raise UsageError(f"all are used, {used}: submit(n) submits one of them, n from 1 to {len(self.tests)}")
        strategy, labels = self.strategy, self.settings.shown
        outcomes = self._evaluate(strategy, labels, self.settings.seed, followers, stopped or threading.Event())
        tested = Scored(len(self.tests) + 1, strategy, outcomes)
        self.tests.append(tested)
        self._record(tested, self.settings.seed, f"test {tested.number}")
        return digest(self.tests, self.settings.budget, self.settings.digest)

    def submit(self, n: int, followers: Sequence[Follower] = (), stopped: threading.Event | None = None) -> str:
        """Scores the file of the n-th test on all configurations, ends the session, and returns the score.

        The secrets are drawn anew under a fresh key that nobody keeps. Where the containment can keep no key from a
        strategy, they are the public ones, and audits are strict.

        Args:
            n: The test's number.
            followers: Objects to notify of the progress.
            stopped: Once set, by another thread, the evaluation ends soon.

        Raises:
            UsageError: There is no such test, or the session has ended.
            InterruptedTrainingError: It was stopped; the session goes on.
            MachineError: The machine failed; the session goes on.
        """
        self._require_going_on()
        if not self.tests:
            raise UsageError("there is no test to submit yet: test() makes one")
        _require_number("n", n, 1, len(self.tests))
        strategy, options = self.tests[n - 1].strategy, self._evaluators.options
        is_sealed = can_seal(options.containment, options.require_containment, options.init_device)
        if is_sealed:
            seed, options = RANKED_SEED, replace(options, seal_key=new_key())
        else:
            seed, options = self.settings.seed, replace(options, audit="strict")
        stopped = stopped or threading.Event()
        outcomes = self._evaluate(strategy, list(CONFIGURATIONS), seed, followers, stopped, options)
        submission = Submission(n, strategy, outcomes, is_sealed)
        if stopped.is_set() and submission.errors:
            raise next(iter(submission.errors.values()))
        self.submission = submission
        self._record(submission, seed, f"submission of test {n}")
        return submission_digest(submission)

    def _evaluate(
        self,
        strategy: Strategy,
        labels: Sequence[str],
        seed: int,
        followers: Sequence[Follower],
        stopped: threading.Event,
        options: Options | None = None,
    ) -> dict[str, Outcome]:
        rules = self.settings
        jobs = [Job(strategy, label, seed, protocol=rules.protocol, smoke=rules.smoke) for label in labels]
        outcomes = self._evaluators.evaluate(jobs, followers, seconds=rules.seconds, stopped=stopped, options=options)
        return dict(zip(labels, outcomes, strict=True))

    def _record(self, scored: Scored, seed: int, words: str) -> None:
        """Records what was evaluated, with or without a score; a failed record must not lose the result."""
        if self.settings.history is None:
            return
        outcomes = scored.outcomes.values()
        found = [outcome if isinstance(outcome, Evaluation) else outcome.evaluation for outcome in outcomes]
        evaluations = [evaluation for evaluation in found if evaluation is not None]
        try:
            with History(self.settings.history, create=True) as history:
                jobs = [(scored.strategy, seed)] * len(evaluations)
                Recorder(history).record(evaluations, jobs, f"session {self.name}, {words}")
        except VecparityError as error:
            warnings.warn(f"{words} could not be recorded: {error}", stacklevel=2)

    def _require_going_on(self) -> None:
        if self.submission is not None:
            raise UsageError(f"the session has ended: test {self.submission.number} was submitted")

    def _span(self, op: str, start_line: int, end_line: int | None) -> tuple[int, int]:
        """Returns the lines to take out, of which there are none for an insertion."""
        if op not in get_args(Operation):
            raise UsageError(f"op must be one of {', '.join(get_args(Operation))}, got {brief(op)}")
        first, last = self.file.first, self.file.last
        end = start_line if end_line is None else end_line
        for name, line in (("start_line", start_line), ("end_line", end)):
            if not isinstance(line, int) or isinstance(line, bool):
                raise UsageError(f"{name} must be an integer, got {brief(line)}")
        if op == "insert":
            if not first - 1 <= start_line <= last:
                raise UsageError(f"insert goes below one of the lines {first - 1} to {last}, got line {start_line}")
            return start_line + 1, start_line
        if first > last:
            raise UsageError(f"the block is empty: insert below line {first - 1}, got {op}")
        if not first <= start_line <= end <= last:
            raise UsageError(f"only lines {first} to {last} may be edited, got {op} of lines {start_line} to {end}")
        return start_line, end

    def _extent(self) -> str:
        file = self.file
        editable = f"lines {file.first} to {file.last} may be edited"
        if file.first > file.last:
            editable = f"the block is empty: insert below line {file.first - 1}"
        return f"{FILE}: {in_number(len(file.lines), 'line')}; {editable}"

    def _block(self) -> str:
        return f"{self._extent()}\n{self.file.numbered(self.file.first, self.file.last)}".rstrip("\n")

    def _write(self, number: int | None = None) -> None:
        """Writes the file, and a version under its number."""
        if self._directory is None:
            return
        data = self.strategy.source
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            (self._directory / FILE).write_bytes(data)
            if number is not None:
                (self._directory / f"version_{number:04d}.py").write_bytes(data)
        except OSError as error:
            raise MachineError(f"{self._directory} cannot be written: {error.strerror or error}") from error


def _lines(op: str, content: str | None) -> list[str]:
    if op == "delete":
        if content:
            raise UsageError(f"delete takes no content, got {brief(content)}")
        return []
    if not isinstance(content, str) or not content:
        raise UsageError(f"{op} needs content, the new lines, got {brief(content)}")
    try:
        content.encode()
    except UnicodeEncodeError as error:  # half of a character: no answer with it could be sent
        raise UsageError(f"content must be text that UTF-8 can encode, got {brief(content[error.start])}") from error
    text = content.replace("\r\n", "\n").replace("\r", "\n")
    return text.removesuffix("\n").split("\n")


def _require_number(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{name} must be an integer from {least} to {most}, got {brief(value)}")
