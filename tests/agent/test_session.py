"""A session: its verbs, its refusals, and what it keeps."""

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from processes import await_that
from published_run import Player, first_attempt, require_chance, require_results, second_attempt
from sessions import HANGING, needs_seal, put, put_strategy

from vecparity import History, Options
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.session import Session
from vecparity.agent.settings import SessionSettings
from vecparity.errors import (
    InterruptedTrainingError,
    MachineError,
    StrategyFailedError,
    UsageError,
    VecparityError,
)
from vecparity.evaluation.callbacks import Asked, Follower
from vecparity.evaluation.job import Failure, Job, Outcome
from vecparity.task.config import CONFIGURATIONS

SMOKE = SessionSettings(smoke=True)


@pytest.fixture(scope="module")
def evaluators() -> Iterator[Evaluators]:
    with Evaluators(Options(audit="off"), most=2) as shared:
        yield shared


@pytest.fixture
def session(evaluators: Evaluators) -> Session:
    return Session(evaluators, SMOKE)


def call(session: Session) -> Callable[[str, Any], str]:
    return lambda verb, arguments: str(getattr(session, verb)(**arguments))


def test_the_view_says_what_may_be_edited(session: Session) -> None:
    first, last = session.file.first, session.file.last
    heading, *lines = session.view().split("\n")
    assert (
        heading == f"custom_strategy.py: {len(lines)} lines; lines {first} to {last} may be edited; 3 tests remaining"
    )
    assert lines[first - 1].partition("| ")[2] == session.file.block[0]


def test_an_edit_shows_what_was_replaced_and_the_block(session: Session) -> None:
    first = session.file.first
    length = len(session.file.lines) - len(session.file.block)
    put(session, "a\nb\nc\n")
    answer = session.edit("replace", first + 1, first + 2, "x\ny\nz")
    assert answer.split("\n") == [
        f"Replaced lines {first + 1} to {first + 2} with 3 lines.",
        "Before:",
        f"{first + 1:5d} | b",
        f"{first + 2:5d} | c",
        f"custom_strategy.py: {length + 4} lines; lines {first} to {first + 3} may be edited",
        *(f"{first + index:5d} | {line}" for index, line in enumerate("axyz")),
    ]


def test_lines_are_inserted_and_deleted(session: Session) -> None:
    first = session.file.first
    put(session, "a\nb")
    assert session.edit("insert", first - 1, content="above").startswith(f"Inserted 1 line below line {first - 1}.")
    session.edit("insert", first + 2, first + 2, "below\r\n\r\nlast\r\n")
    assert list(session.file.block) == ["above", "a", "b", "below", "", "last"]
    assert session.edit("delete", first + 1, first + 4).startswith(
        f"Deleted lines {first + 1} to {first + 4}.\nBefore:"
    )
    assert list(session.file.block) == ["above", "last"]
    assert "the block is empty: insert below" in session.edit("delete", first, first + 1)
    with pytest.raises(UsageError, match=f"the block is empty: insert below line {first - 1}, got replace"):
        session.edit("replace", first, first, "a")
    session.edit("insert", first - 1, content="anew")
    assert list(session.file.block) == ["anew"]


@pytest.mark.parametrize("op", ["replace", "delete"])
@pytest.mark.parametrize(("before", "after"), [(-1, 0), (0, 1), (-1, 1), (-40, -40), (1, 1), (2, -2), (9**99, 9**99)])
def test_lines_outside_the_block_are_refused(session: Session, op: Any, before: int, after: int) -> None:
    first, last = session.file.first, session.file.last
    start, end = first + before, (last if after > -40 else first) + after
    if before > 0:
        start = last + before
    with pytest.raises(UsageError, match=f"^only lines {first} to {last} may be edited, got {op} of lines {start} to"):
        session.edit(op, start, end, "x" if op == "replace" else None)
    assert len(session.versions) == 1


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"op": "append", "start_line": 50}, "op must be one of replace, insert, delete, got 'append'"),
        ({"op": "replace", "start_line": 50}, "replace needs content, the new lines, got None"),
        ({"op": "insert", "start_line": 50, "content": ""}, "insert needs content, the new lines, got ''"),
        (
            {"op": "insert", "start_line": 2, "content": "x"},
            r"insert goes below one of the lines \d+ to \d+, got line 2",
        ),
        ({"op": "delete", "start_line": 50, "content": "x"}, "delete takes no content, got 'x'"),
        ({"op": "delete", "start_line": "50"}, "start_line must be an integer, got '50'"),
        ({"op": "delete", "start_line": True}, "start_line must be an integer, got True"),
        ({"op": "delete", "start_line": 50, "end_line": 50.5}, r"end_line must be an integer, got 50\.5"),
        ({"op": "insert", "start_line": 50, "content": "x\ud800"}, r"text that UTF-8 can encode, got '\\ud800'"),
        ({"op": "replace", "start_line": 50, "content": "x" * 65_536}, "at most 65,536 characters"),
        ({"op": "replace", "start_line": 50, "content": "\n" * 4_000}, "at most 4,000 lines"),
    ],
)
def test_an_invalid_edit_is_refused_in_a_line(session: Session, arguments: dict[str, Any], refusal: str) -> None:
    with pytest.raises(UsageError, match=refusal) as refused:
        session.edit(**arguments)
    assert str(refused.value).isprintable()
    assert len(session.versions) == 1


def test_edits_are_taken_back_one_or_several_at_a_time(session: Session) -> None:
    with pytest.raises(UsageError, match="there is no edit to undo"):
        session.undo()
    begun = session.file
    for content in "abcd":
        put(session, content)
    assert session.undo().startswith("Took back 1 edit.\ncustom_strategy.py: ")
    assert session.file.block == ("c",)
    put(session, "e")
    session.undo(2)
    assert session.file.block == ("b",)
    for wrong in (0, 3, -1, True, 1.0):
        with pytest.raises(UsageError, match="n must be an integer from 1 to 2, got"):
            session.undo(wrong)  # type: ignore[arg-type]
    session.undo(2)
    assert session.file == begun
    assert [version.block[0] for version in session.versions[1:]] == ["a", "b", "c", "d", "e"]


def test_the_directory_has_the_file_and_every_version(evaluators: Evaluators, tmp_path: Path) -> None:
    session = Session(evaluators, SMOKE, tmp_path / "own")
    put(session, "../../x = '\\udcff'")
    put(session, "b")
    session.undo()
    names = sorted(path.name for path in (tmp_path / "own").iterdir())
    assert names == ["custom_strategy.py", "version_0000.py", "version_0001.py", "version_0002.py"]
    assert (tmp_path / "own" / "custom_strategy.py").read_text() == session.file.text
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="cannot be written: "):
        Session(evaluators, SMOKE, tmp_path / "file")


@pytest.mark.slow
@needs_seal
def test_tests_are_counted_recorded_and_submitted(evaluators: Evaluators, tmp_path: Path) -> None:
    settings = SessionSettings(smoke=True, budget=2, hidden="n64-k8", history=tmp_path / "history.sqlite3")
    session = Session(evaluators, settings)
    with pytest.raises(UsageError, match="there is no test to submit yet"):
        session.submit(1)
    put_strategy(session, "isolated_cube")
    answer = session.test()
    assert "n50-k8" in answer and "n64-k8" not in answer
    first = session.strategy
    put(session, "def init_model(model, config):\n    pass\n")
    broken = session.test()
    assert "a strategy must define" in broken and "FINAL_METRICS" not in broken
    with pytest.raises(UsageError, match=r"^all are used, 2 tests: submit\(n\) submits one of them, n from 1 to 2$"):
        session.test()
    with pytest.raises(UsageError, match="n must be an integer from 1 to 2, got 3"):
        session.submit(3)
    answer = session.submit(1)
    assert answer.startswith("Submitted test #1: scored on sealed secrets\n")
    assert answer.count("FINAL_METRICS") == 3 and "\nScore: 0." in answer
    assert session.submission is not None and session.submission.is_sealed
    assert {own.provenance.draw is not None for own in session.submission.evaluations.values()} == {True}
    for verb in (session.test, session.undo, lambda: session.submit(1), lambda: put(session, "x")):
        with pytest.raises(UsageError, match="the session has ended: test 1 was submitted"):
            verb()
    assert session.view()
    with History(settings.history) as history:
        recorded = history.evaluations()
    assert [own.source for own in recorded] == [first.source] * 5
    notes = [own.entry.note for own in recorded]
    assert notes == [f"session {session.name}, test 1"] * 2 + [f"session {session.name}, submission of test 1"] * 3


@pytest.mark.slow
def test_without_a_seal_the_public_score_is_audited_and_unverified() -> None:
    with Evaluators(Options(audit="off", containment="limits")) as evaluators:
        session = Session(evaluators, SMOKE)
        put_strategy(session, "isolated_cube")
        session.test()
        answer = session.submit(1)
    assert "unverified" in answer and "\nScore: 0." in answer
    submission = session.submission
    assert submission is not None and not submission.is_sealed
    assert {own.provenance.audit for own in submission.evaluations.values()} == {"strict"}


class Waiting(Follower):
    """Notes that a strategy is being waited for. A `Follower`."""

    def __init__(self) -> None:
        self.is_waiting = threading.Event()

    def asked(self, asked: Asked) -> None:
        """See `Follower`."""
        self.is_waiting.set()


@pytest.mark.slow
def test_a_hanging_test_ends_at_its_limit_and_counts(evaluators: Evaluators) -> None:
    session = Session(evaluators, SessionSettings(smoke=True, seconds=1.5))
    put(session, HANGING)
    answer = session.test()
    assert answer.split("\n")[1:] == [
        "[n32-k8, n50-k8, n64-k8] error: StrategyFailedError: did not finish within 1.5 s, the limit of a test"
    ]
    assert session.remaining == 2


@pytest.mark.slow
def test_a_hanging_test_is_stopped_and_holds_nobody_else(evaluators: Evaluators) -> None:
    hanging, other = Session(evaluators, SMOKE), Session(evaluators, SMOKE)
    put(hanging, HANGING)
    follower, stopped, answers = Waiting(), threading.Event(), list[str]()
    thread = threading.Thread(target=lambda: answers.append(hanging.test([follower], stopped)), daemon=True)
    thread.start()
    assert follower.is_waiting.wait()
    put_strategy(other, "isolated_cube")
    assert other.test().count("FINAL_METRICS") == 3
    assert not answers
    stopped.set()
    await_that(lambda: not thread.is_alive())
    assert "error: InterruptedTrainingError: stopped before its end, on request" in answers[0]
    assert hanging.remaining == 2
    put_strategy(hanging, "isolated_cube")
    assert hanging.test().count("FINAL_METRICS") == 3
    assert hanging.tests[1].evaluations["n32-k8"].results == other.tests[0].evaluations["n32-k8"].results


class Failing(Evaluators):
    """Evaluates nothing: raises or returns what is scripted, and notes the options that it was given."""

    def __init__(self, *script: VecparityError) -> None:
        super().__init__(Options(audit="off"))
        self.given: list[Options | None] = []
        self._script = list(script)

    def evaluate(self, jobs: Sequence[Job], *others: Any, options: Options | None = None, **rest: Any) -> list[Outcome]:
        self.given.append(options)
        error = self._script.pop(0)
        if isinstance(error, MachineError):
            raise error
        return [Failure(job, error) for job in jobs]


@needs_seal
def test_a_submission_that_the_machine_failed_has_the_same_test_and_secrets_again() -> None:
    failed, no_score = MachineError("no memory"), StrategyFailedError("no score")
    evaluators = Failing(no_score, no_score, failed, failed, no_score)
    session = Session(evaluators, SMOKE)
    session.test()
    session.test()
    for _ in range(2):
        with pytest.raises(MachineError, match="no memory"):
            session.submit(2)
        with pytest.raises(UsageError, match="expected test 2, whose submission the machine failed, got test 1"):
            session.submit(1)
    session.submit(2)
    assert session.submission is not None and session.submission.number == 2
    first, *others = evaluators.given[2:]
    assert first is not None and first.seal_key is not None and first.draw is not None
    assert others == [first, first]
    another = Failing(no_score, no_score)
    session = Session(another, SMOKE)
    session.test()
    session.submit(1)
    assert another.given[1] is not None and another.given[1].seal_key != first.seal_key


def test_the_versions_of_a_session_have_a_bounded_size(session: Session) -> None:
    content = "x" * 65_000
    for _ in range(8 * 2**20 // 65_001):
        put(session, content)
    with pytest.raises(UsageError, match="versions have at most 8,388,608 characters, got more"):
        put(session, content)
    session.undo()
    put(session, "x")


@pytest.mark.slow
def test_a_stopped_submission_ends_the_session_without_a_score(evaluators: Evaluators) -> None:
    session = Session(evaluators, SMOKE)
    put_strategy(session, "isolated_cube")
    session.test()

    class Stopping(Follower):
        def begin(self, config: Any) -> None:
            stopped.set()

    stopped = threading.Event()
    answer = session.submit(1, [Stopping()], stopped)
    assert "InterruptedTrainingError: stopped before its end" in answer and "\nScore: none" in answer
    assert session.submission is not None and session.submission.accuracy is None
    with pytest.raises(UsageError, match=r"^the session has ended: test 1 was submitted, and has no score$"):
        session.submit(1)


@pytest.mark.slow
def test_a_stop_before_a_turn_changes_nothing(evaluators: Evaluators) -> None:
    session, stopped = Session(evaluators, SMOKE), threading.Event()
    put(session, "x = )")
    session.test()
    stopped.set()
    with pytest.raises(InterruptedTrainingError, match="stopped before its end"):
        session.submit(1, stopped=stopped)
    assert session.submission is None
    with pytest.raises(InterruptedTrainingError, match="stopped before its end"):
        session.test(stopped=stopped)
    assert session.remaining == 2
    errors = list[InterruptedTrainingError]()

    def test() -> None:
        try:
            session.test(stopped=later)
        except InterruptedTrainingError as error:
            errors.append(error)

    later, never = threading.Event(), threading.Event()
    with evaluators.turn(never), evaluators.turn(never):
        thread = threading.Thread(target=test, daemon=True)
        thread.start()
        later.set()
        await_that(lambda: not thread.is_alive())
    assert len(errors) == 1 and session.remaining == 2


@pytest.mark.slow
@needs_seal
def test_the_published_agents_run(evaluators: Evaluators) -> None:
    attempt = Session(evaluators, SessionSettings())
    first, second, submitted = second_attempt(Player(call(attempt)))
    require_results(first, "isolated_cube_1")
    require_results(second, "isolated_cube")
    assert first.startswith("Test #1 (2 tests remaining;") and second.startswith("Test #2 (1 test remaining;")
    assert submitted.startswith("Submitted test #2: ") and "Score: 1.000000, 1,750 steps" in submitted
    assert len(attempt.versions) == 4


@pytest.mark.slow
def test_the_published_agents_first_attempt(evaluators: Evaluators) -> None:
    """Under the short settings: it takes a minute to learn nothing in 30 000 steps."""
    require_chance(first_attempt(Player(call(Session(evaluators, SMOKE)))))


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        ({"budget": 0}, "budget must be an integer from 1 to 100, got 0"),
        ({"budget": True}, "budget must be an integer"),
        ({"protocol": "short"}, "protocol must be one of full, published, got 'short'"),
        ({"seed": 1.5}, "seed must be an integer, got 1.5"),
        ({"seconds": 0}, "seconds must be a finite number above 0, got 0"),
        ({"seconds": float("nan")}, "seconds must be a finite number above 0, got nan"),
        ({"hidden": "n33-k8"}, "hidden must be one of n32-k8, n50-k8, n64-k8, or None, got 'n33-k8'"),
        ({"digest": "long"}, "digest must be one of harness, compact, got 'long'"),
    ],
)
def test_invalid_settings_are_refused(arguments: dict[str, Any], refusal: str) -> None:
    with pytest.raises(UsageError, match=refusal):
        SessionSettings(**arguments)


def test_no_evaluations_at_a_time_are_refused() -> None:
    with pytest.raises(UsageError, match="the number of evaluations at a time must be at least 1, got 0"):
        Evaluators(Options(), most=0)


def test_a_hidden_configuration_is_not_shown() -> None:
    assert SessionSettings(hidden="n32-k8").shown == list(CONFIGURATIONS)[1:]
