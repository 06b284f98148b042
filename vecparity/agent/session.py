"""A session: one file, edits, a few tests and one submission, as the benchmark has an agent work. No protocol in it."""

import threading
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from vecparity.agent.digest import digest, submission_digest
from vecparity.agent.edits import Operation, new_lines, span
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
from vecparity.task.seeds import new_draw, new_key
from vecparity.tuning.winners import RANKED_SEED, can_seal

# Far more than any strategy needs: a session holds all of its versions in memory, and answers show the block.
_MOST_CHARACTERS, _MOST_LINES, _MOST_EDITS = 65_536, 4_000, 1_000
_MOST_IN_VERSIONS = 8 * 2**20
_NOTE = "session "


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
        self._num_characters = 0  # of all versions
        self._sealing: dict[str, Any] = {}  # the key and draw of the submission, which exist in memory alone
        self._chosen: int | None = None  # the test whose submission the machine failed
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
        first, last = span(self.file, op, start_line, end_line)
        lines = new_lines(op, content)
        if len(self.versions) > _MOST_EDITS:
            raise UsageError(f"a session has at most {_MOST_EDITS:,} edits, got one more")
        before, after = self.file, self.file.with_lines(first, last, lines)
        if len(after.block) > _MOST_LINES:
            raise UsageError(f"the block must have at most {_MOST_LINES:,} lines, got {len(after.block):,}")
        if (length := sum(len(line) + 1 for line in after.block)) > _MOST_CHARACTERS:
            raise UsageError(f"the block must have at most {_MOST_CHARACTERS:,} characters, got {length:,}")
        if self._num_characters + length > _MOST_IN_VERSIONS:
            raise UsageError(
                f"the blocks of a session's versions have at most {_MOST_IN_VERSIONS:,} characters, got more"
            )
        self._num_characters += length
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

        A submission is final once it has begun: nobody may see how one goes, and then choose another.

        Args:
            n: The test's number.
            followers: Objects to notify of the progress.
            stopped: Once set, by another thread, the evaluation ends soon; if it had begun, so does the session,
                without a score.

        Raises:
            UsageError: There is no such test, the session has ended, or the machine failed a submission of another.
            InterruptedTrainingError: It was stopped before it began; the session goes on.
            MachineError: The machine failed; the same test may be submitted again, on the same secrets.
        """
        self._require_going_on()
        if not self.tests:
            raise UsageError("there is no test to submit yet: test() makes one")
        _require_number("n", n, 1, len(self.tests))
        if self._chosen not in (None, n):
            raise UsageError(f"expected test {self._chosen}, whose submission the machine failed, got test {n}")
        strategy, options = self.tests[n - 1].strategy, self._evaluators.options
        is_sealed = can_seal(options.containment, options.require_containment, options.init_device)
        if is_sealed:
            self._sealing = self._sealing or {"seal_key": new_key(), "draw": new_draw()}
            seed, options = RANKED_SEED, replace(options, **self._sealing)
        else:
            seed, options = self.settings.seed, replace(options, audit="strict")
        stopped = stopped or threading.Event()
        try:
            outcomes = self._evaluate(strategy, list(CONFIGURATIONS), seed, followers, stopped, options)
        except MachineError:
            self._chosen = n
            raise
        self.submission = Submission(n, strategy, outcomes, is_sealed)
        self._record(self.submission, seed, f"submission of test {n}")
        return submission_digest(self.submission)

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
                Recorder(history).record(evaluations, jobs, f"{_NOTE}{self.name}, {words}")
        except VecparityError as error:
            warnings.warn(f"{words} could not be recorded: {error}", stacklevel=2)

    def _require_going_on(self) -> None:
        if self.submission is not None:
            score = "" if self.submission.accuracy is not None else ", and has no score"
            raise UsageError(f"the session has ended: test {self.submission.number} was submitted{score}")

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


def session_of(note: str | None) -> str | None:
    """Returns the name of the session whose note it is in a history, or None."""
    if note is None or not note.startswith(_NOTE):
        return None
    return note.removeprefix(_NOTE).partition(",")[0]


def _require_number(name: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{name} must be an integer from {least} to {most}, got {brief(value)}")
