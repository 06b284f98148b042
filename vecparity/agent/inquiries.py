"""Questions beside the tests: what a file answers without training, comparisons, and what is recorded."""

import re
import threading
from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path

from vecparity.agent.evaluators import Evaluators, ended, stopped_error
from vecparity.agent.results import Scored
from vecparity.agent.session import Session, session_of
from vecparity.analysis.comparing import compare
from vecparity.analysis.ranking import leaderboard
from vecparity.errors import UsageError, VecparityError, brief, in_number, quoted
from vecparity.evaluation.job import Job, Outcome
from vecparity.evaluation.result import Evaluation
from vecparity.history.records import Entry
from vecparity.history.store import History
from vecparity.inspection.checking import Check, check_in
from vecparity.sandbox import levels
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.pool import Pool
from vecparity.strategy.source import bundled, load

_TEST = re.compile(r"test ([1-9][0-9]{0,2})")
_MOST_ENTRIES = 100
# A check trains nothing: only tests are worth a longer wait, and more sandboxes.
_MOST_CHECK_SECONDS, _MOST_CHECKS = 60.0, 2
_TICK_SECONDS = 0.05


class Inquiries:
    """Answers questions about the files and tests of sessions, which all have the same rules.

    Args:
        evaluators: Evaluate bundled strategies that are compared with, each once.
    """

    def __init__(self, evaluators: Evaluators) -> None:
        self._evaluators = evaluators
        self._known: dict[str, Mapping[str, Outcome]] = {}
        self._checking = threading.BoundedSemaphore(_MOST_CHECKS)

    def check(self, session: Session, stopped: threading.Event) -> str:
        """Calls the file's functions as a test would, and says what they returned. Nothing is trained.

        Args:
            session: The session.
            stopped: Once set, by another thread, the check ends soon.

        Raises:
            VecparityError: See `inspection.checking.check`.
            StrategyFailedError: It took too long.
            InterruptedTrainingError: ``stopped`` was set.
        """
        options, rules = self._evaluators.options, session.settings
        configs = [rules.config(label) for label in rules.shown]
        level = levels.choose(options.containment, options.require_containment)
        while not self._checking.acquire(timeout=_TICK_SECONDS):
            if stopped.is_set():
                raise stopped_error()
        try:
            seconds = min(rules.seconds, _MOST_CHECK_SECONDS)
            with (
                StrategyLog() as log,
                Pool(level, options.limits, log) as pool,
                ended(pool.interrupt, "check", seconds, stopped) as reasons,
            ):
                try:
                    checks = check_in(pool, log, session.strategy, configs, rules.seed, 1, level)
                except VecparityError as error:  # an interrupted call has an error of its own
                    raise next(iter(reasons), error) from None
        finally:
            self._checking.release()
        lines = [line for each in checks for line in _check_lines(each)]
        if checks[0].printed:
            lines += ["It printed:", quoted(checks[0].printed)]
        return "\n".join(["The file loads and answers.", *lines])

    def compare(self, session: Session, baseline: str, other: str, stopped: threading.Event) -> str:
        """Says for each configuration whether one side does better than the baseline, and how sure that is.

        Args:
            session: The session.
            baseline: A bundled strategy's name, or "test N" of the session.
            other: The same.
            stopped: Once set, by another thread, an evaluation ends soon.

        Raises:
            UsageError: A name is neither; or a side has no score.
            InterruptedTrainingError: It was stopped.
        """
        first, second = (self._side(session, name, stopped) for name in (baseline, other))
        lines = []
        for label in session.settings.shown:
            before, after = first[label], second[label]
            if isinstance(before, Evaluation) and isinstance(after, Evaluation):
                lines.append(compare(before, after, names=(baseline, other)).verdict)
            else:
                lines.append(f"{label}: {other if isinstance(before, Evaluation) else baseline} has no score")
        return "\n".join(lines)

    def _side(self, session: Session, name: str, stopped: threading.Event) -> Mapping[str, Outcome]:
        if test := _TEST.fullmatch(name):
            return _test(session, int(test[1])).outcomes
        if name not in bundled():
            expected = f"one of {', '.join(bundled())}, or a test of this session as in 'test 1'"
            raise UsageError(f"expected {expected}, got {brief(name)}")
        if name not in self._known:
            rules, strategy = session.settings, load(name)
            jobs = [Job(strategy, label, rules.seed, {}, rules.protocol, rules.smoke) for label in rules.shown]
            outcomes = self._evaluators.evaluate(jobs, seconds=rules.seconds, stopped=stopped)
            scored = Scored(1, strategy, dict(zip(rules.shown, outcomes, strict=True)))
            if errors := scored.errors:
                raise next(iter(errors.values()))
            self._known[name] = scored.outcomes
        return self._known[name]


def _check_lines(check: Check) -> list[str]:
    data = check.datasets[0]
    numbers = ", ".join(f"{name} {spread.median:g}" for name, spread in check.hyperparameters.items())
    facts = (
        f"[{check.config.label}] secret 0: {in_number(data.num_examples, 'row')}, {data.distinct_rows:,} distinct, "
        f"{data.positive_rate:.1%} labelled 1, {data.parity_rate:.1%} with the parity; {numbers}"
    )
    return [facts, *(f"[{check.config.label}] warning: {sentence}" for sentence in check.warnings)]


def _test(session: Session, number: int) -> Scored:
    if number > len(session.tests):
        made = in_number(len(session.tests), "test")
        raise UsageError(f"expected one of the session's tests, of which there are {made}, got test {number}")
    return session.tests[number - 1]


def recorded(path: Path | None, names: Collection[str], limit: int) -> str:
    """Lists the newest evaluations that some sessions recorded, a line each.

    Args:
        path: The history, which may have others' evaluations.
        names: The sessions' names.
        limit: The most evaluations.

    Raises:
        UsageError: Nothing is recorded, or ``limit`` is out of range.
        MachineError: The history is damaged.
    """
    if not 1 <= limit <= _MOST_ENTRIES:
        raise UsageError(f"limit must be from 1 to {_MOST_ENTRIES}, got {limit}")
    with _opened(path) as history:
        return "\n".join(map(_line, islice(_entries(history, names), limit)))


def _line(entry: Entry) -> str:
    score = "no score"
    if entry.test_accuracy is not None:
        score = f"accuracy {entry.test_accuracy:.6f}, {entry.mean_steps or 0:,.0f} steps"
    sealed = ", sealed" if entry.seal else ""
    note = f"; {entry.note}" if entry.note else ""
    return f"{entry.id}: {entry.title}, {entry.label}, {entry.protocol}, seed {entry.seed}{sealed}: {score}{note}"


def ranking(path: Path | None, names: Collection[str]) -> str:
    """Ranks the strategies that some sessions recorded, in the newest evaluation's league.

    Args:
        path: See `recorded`.
        names: See `recorded`.

    Raises:
        UsageError: Nothing that can be ranked is recorded.
        MachineError: The history is damaged.
    """
    with _opened(path) as history:
        return str(leaderboard(history.summaries({entry.id for entry in _entries(history, names)})))


def _entries(history: History, names: Collection[str]) -> Iterator[Entry]:
    """Yields the entries of sessions by their notes, the newest first.

    Raises:
        UsageError: There is none.
        MachineError: The history is damaged.
    """
    has_any = False
    for entry in history.each_entry(newest_first=True):
        if session_of(entry.note) in names:
            has_any = True
            yield entry
    if not has_any:
        raise UsageError("no evaluations of this server's sessions are recorded yet: test and submit record them")


def _opened(path: Path | None) -> History:
    if path is None:
        raise UsageError("expected a history, got none: this server records nothing")
    return History(path)
