"""The sessions of a server: how many, whose, and for how long."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from clock import Clock
from processes import await_that
from sessions import HANGING, put, put_strategy

from vecparity import History, Options
from vecparity.agent import sessions as module
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.inquiries import Inquiries, ranking, recorded
from vecparity.agent.session import Session
from vecparity.agent.sessions import Sessions
from vecparity.agent.settings import SessionSettings
from vecparity.analysis.ranking import leaderboard
from vecparity.errors import InvalidStrategyError, StrategyFailedError, UsageError, VecparityError
from vecparity.evaluation.result import Evaluation
from vecparity.strategy.source import load

SMOKE = SessionSettings(smoke=True)
NEVER = threading.Event()


@pytest.fixture(scope="module")
def evaluators() -> Iterator[Evaluators]:
    with Evaluators(Options(audit="off")) as shared:
        yield shared


def test_a_session_is_whose_key_it_is(evaluators: Evaluators) -> None:
    sessions = Sessions(evaluators, SMOKE)
    (first_key, first), (second_key, second) = sessions.begin(), sessions.begin()
    assert first is not second and len(first_key) == 32 and first_key != second_key
    assert sessions.names == {first.name, second.name}
    for key, own in ((first_key, first), (second_key, second)):
        with sessions.held(key, NEVER) as held:
            assert held is own
    for wrong in ("", first.name, first_key[:-1], "../" + first_key, first_key.upper()):
        refused = pytest.raises(UsageError, match="expected the key of a session, as begin returns it, got")
        with refused, sessions.held(wrong, NEVER):
            pass


def test_there_are_no_more_than_may_be_and_idle_ones_end(evaluators: Evaluators) -> None:
    clock = Clock()
    sessions = Sessions(evaluators, SMOKE, most=2, idle_seconds=100, clock=clock)
    keys = [sessions.begin()[0] for _ in range(2)]
    with pytest.raises(UsageError, match="expected at most 2 sessions at a time, got one more: try again later"):
        sessions.begin()
    clock.now += 60
    with sessions.held(keys[1], NEVER):
        clock.now += 60
        sessions.begin()
        assert len(sessions) == 2
        clock.now += 200
    with (
        sessions.held(keys[1], NEVER),
        pytest.raises(UsageError, match="may have ended"),
        sessions.held(keys[0], NEVER),
    ):
        pass
    assert len(sessions) == 1


def test_a_session_serves_one_call_at_a_time(evaluators: Evaluators, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.01)
    sessions = Sessions(evaluators, SMOKE)
    key, _ = sessions.begin()
    with sessions.held(key, NEVER), pytest.raises(UsageError, match="the session is busy"), sessions.held(key, NEVER):
        pass
    with sessions.held(key, NEVER):
        pass


def test_one_call_waits_for_a_busy_session_and_a_stopped_one_is_not_carried_out(evaluators: Evaluators) -> None:
    sessions, stopped, errors = Sessions(evaluators, SMOKE), threading.Event(), list[VecparityError]()
    key, _ = sessions.begin()

    def wait() -> None:
        try:
            with sessions.held(key, stopped):
                pass
        except VecparityError as error:
            errors.append(error)

    with sessions.held(key, NEVER):
        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        await_that(sessions._held[key].waiting.locked)
        began = time.monotonic()
        with pytest.raises(UsageError, match="the session is busy"), sessions.held(key, NEVER):
            pass
        assert time.monotonic() - began < module._PATIENCE_SECONDS / 2
        stopped.set()
    await_that(lambda: not thread.is_alive())
    assert [str(error) for error in errors] == ["stopped before its end, on request"]
    with sessions.held(key, NEVER):
        pass


def test_each_session_has_a_directory_of_its_own(evaluators: Evaluators, tmp_path: Path) -> None:
    sessions = Sessions(evaluators, SMOKE, tmp_path / "all")
    for number in range(2):
        put(sessions.begin()[1], f"# {number}")
    own = sorted(path.read_text() for path in (tmp_path / "all").glob("session_*/custom_strategy.py"))
    assert len(own) == 2 and [f"# {number}\n" in text for number, text in enumerate(sorted(own))]
    assert len(list(tmp_path.rglob("*.py"))) == 6


@pytest.mark.parametrize("numbers", [{"most": 0}, {"idle_seconds": 0}, {"idle_seconds": float("nan")}])
def test_numbers_below_1_are_refused(evaluators: Evaluators, numbers: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="must be a"):
        Sessions(evaluators, SMOKE, **numbers)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_check_says_what_the_functions_answer(evaluators: Evaluators) -> None:
    inquiries, session = Inquiries(evaluators), Session(evaluators, SessionSettings(hidden="n32-k8"))
    put_strategy(session, "isolated_cube")
    lines = inquiries.check(session, NEVER).split("\n")
    assert lines[0] == "The file loads and answers."
    assert lines[1].startswith("[n50-k8] secret 0: 4,096 rows, 256 distinct, 50.0% labelled 1, 100.0% with the parity;")
    assert not any("n32-k8" in line for line in lines)
    put(session, "x = )")
    with pytest.raises(InvalidStrategyError, match="does not load: SyntaxError"):
        inquiries.check(session, NEVER)
    assert session.remaining == 3


@pytest.mark.slow
def test_a_hanging_check_ends(evaluators: Evaluators) -> None:
    session = Session(evaluators, SessionSettings(seconds=1))
    put(session, HANGING)
    with pytest.raises(StrategyFailedError, match=r"^did not finish within 1 s, the limit of a check$"):
        Inquiries(evaluators).check(session, NEVER)


@pytest.mark.slow
def test_a_check_has_one_limit_for_all_of_its_calls(evaluators: Evaluators) -> None:
    session = Session(evaluators, SessionSettings(seconds=4))
    put(session, f"import time\ntime.sleep(1.5)\n{load('isolated_cube').source.decode()}")
    with pytest.raises(StrategyFailedError, match=r"^did not finish within 4 s, the limit of a check$"):
        Inquiries(evaluators).check(session, NEVER)


@pytest.mark.slow
def test_a_stop_ends_a_check_which_holds_nobody_else(evaluators: Evaluators) -> None:
    inquiries, session, other = Inquiries(evaluators), Session(evaluators, SMOKE), Session(evaluators, SMOKE)
    put(session, HANGING)
    stopped, errors = threading.Event(), list[VecparityError]()

    def check() -> None:
        try:
            inquiries.check(session, stopped)
        except VecparityError as error:
            errors.append(error)

    before = set(psutil.Process().children())
    thread = threading.Thread(target=check, daemon=True)
    thread.start()
    await_that(lambda: set(psutil.Process().children()) != before)
    put(other, "x = )")
    with pytest.raises(InvalidStrategyError, match="does not load: SyntaxError"):
        inquiries.check(other, NEVER)
    assert thread.is_alive()
    stopped.set()
    await_that(lambda: not thread.is_alive())
    assert [str(error) for error in errors] == ["stopped before its end, on request"]


@pytest.mark.slow
def test_tests_are_compared_listed_and_ranked(evaluators: Evaluators, tmp_path: Path) -> None:
    settings = SessionSettings(hidden="n64-k8", history=tmp_path / "history.sqlite3")
    with pytest.raises(UsageError, match="no evaluations are recorded yet"):
        recorded(settings.history, (), 20)
    inquiries, session = Inquiries(evaluators), Session(evaluators, settings)
    names = {session.name}
    put_strategy(session, "isolated_cube_1")
    session.test()
    put(session, "x = )")
    session.test()
    lines = inquiries.compare(session, "test 1", "isolated_cube", NEVER).split("\n")
    assert [line.partition(":")[0] for line in lines] == [
        "n32-k8, isolated_cube against test 1",
        "n50-k8, isolated_cube against test 1",
    ]
    assert inquiries.compare(session, "test 2", "test 1", NEVER).split("\n")[0] == "n32-k8: test 2 has no score"
    for wrong in ("../../etc/passwd", str(tmp_path / "x.py"), "test 0", "test 1 ", "custom_strategy"):
        with pytest.raises(UsageError, match=r"expected one of clean_noisy_cube, .* or a test of this session"):
            inquiries.compare(session, "test 1", wrong, NEVER)
    with pytest.raises(UsageError, match="of which there are 2 tests, got test 3"):
        inquiries.compare(session, "test 1", "test 3", NEVER)
    listed = recorded(settings.history, names, 1)
    assert listed == f"2: custom_strategy, n50-k8, published, seed 42: {listed.partition(': ')[2].partition(': ')[2]}"
    assert listed.endswith(f"; session {session.name}, test 1")
    assert "protocol published, public seeds" in ranking(settings.history, names)
    with pytest.raises(UsageError, match="limit must be from 1 to 100, got 101"):
        recorded(settings.history, names, 101)
    with pytest.raises(UsageError, match="expected a history, got none: this server records nothing"):
        ranking(None, names)
    with History(settings.history, create=True) as history:
        assert history.count() == 2
        other, strategy = inquiries._known["isolated_cube"]["n32-k8"], load("isolated_cube")
        assert isinstance(other, Evaluation)
        for note in (
            None,
            f"session {'0' * 8}, test 1",
            f"of session {session.name}, test 1",
        ):  # the user's, and others'
            history.add(other, strategy, "command", note)
        assert "isolated_cube" in str(leaderboard(history.summaries()))
    assert recorded(settings.history, names, 1) == listed
    assert len(recorded(settings.history, names, 100).split("\n")) == 2
    assert "isolated_cube" not in ranking(settings.history, names)
    for ask in (lambda: recorded(settings.history, {"1" * 8}, 20), lambda: ranking(settings.history, {"1" * 8})):
        with pytest.raises(UsageError, match="no evaluations of this server's sessions are recorded yet"):
            ask()
