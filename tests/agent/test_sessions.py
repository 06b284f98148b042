"""The sessions of a server: how many, whose, and for how long."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock import Clock
from sessions import HANGING, put, put_strategy

from vecparity import History, Options
from vecparity.agent import sessions as module
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.inquiries import Inquiries, ranking, recorded
from vecparity.agent.session import Session
from vecparity.agent.sessions import Sessions
from vecparity.agent.settings import SessionSettings
from vecparity.errors import InvalidStrategyError, StrategyFailedError, UsageError
from vecparity.sandbox.limits import Limits

SMOKE = SessionSettings(smoke=True)
NEVER = threading.Event()


@pytest.fixture(scope="module")
def evaluators() -> Iterator[Evaluators]:
    with Evaluators(Options(audit="off", limits=Limits(strategy_seconds=20))) as shared:
        yield shared


def test_a_session_is_whose_key_it_is(evaluators: Evaluators) -> None:
    sessions = Sessions(evaluators, SMOKE)
    (first_key, first), (second_key, second) = sessions.begin(), sessions.begin()
    assert first is not second and len(first_key) == 32 and first_key != second_key
    for key, own in ((first_key, first), (second_key, second)):
        with sessions.held(key) as held:
            assert held is own
    for wrong in ("", first.name, first_key[:-1], "../" + first_key, first_key.upper()):
        refused = pytest.raises(UsageError, match="expected the key of a session, as begin returns it, got")
        with refused, sessions.held(wrong):
            pass


def test_there_are_no_more_than_may_be_and_idle_ones_end(evaluators: Evaluators) -> None:
    clock = Clock()
    sessions = Sessions(evaluators, SMOKE, most=2, idle_seconds=100, clock=clock)
    keys = [sessions.begin()[0] for _ in range(2)]
    with pytest.raises(UsageError, match="expected at most 2 sessions at a time, got one more: try again later"):
        sessions.begin()
    clock.now += 60
    with sessions.held(keys[1]):
        clock.now += 60
        sessions.begin()
        assert len(sessions) == 2
        clock.now += 200
    with sessions.held(keys[1]), pytest.raises(UsageError, match="may have ended"), sessions.held(keys[0]):
        pass
    assert len(sessions) == 1


def test_a_session_serves_one_call_at_a_time(evaluators: Evaluators, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.01)
    sessions = Sessions(evaluators, SMOKE)
    key, _ = sessions.begin()
    with sessions.held(key), pytest.raises(UsageError, match="the session is busy"), sessions.held(key):
        pass
    with sessions.held(key):
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
    with pytest.raises((StrategyFailedError, InvalidStrategyError), match="did not finish within 1 s"):
        Inquiries(evaluators).check(session, NEVER)


@pytest.mark.slow
def test_tests_are_compared_listed_and_ranked(evaluators: Evaluators, tmp_path: Path) -> None:
    settings = SessionSettings(hidden="n64-k8", history=tmp_path / "history.sqlite3")
    with pytest.raises(UsageError, match="no evaluations are recorded yet"):
        recorded(settings.history, 20)
    inquiries, session = Inquiries(evaluators), Session(evaluators, settings)
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
    listed = recorded(settings.history, 1)
    assert listed == f"2: custom_strategy, n50-k8, published, seed 42: {listed.partition(': ')[2].partition(': ')[2]}"
    assert listed.endswith(f"; session {session.name}, test 1")
    assert "protocol published, public seeds" in ranking(settings.history)
    with pytest.raises(UsageError, match="limit must be from 1 to 100, got 101"):
        recorded(settings.history, 101)
    with pytest.raises(UsageError, match="expected a history, got none: this server records nothing"):
        ranking(None)
    with History(settings.history) as history:
        assert history.count() == 2
