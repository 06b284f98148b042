"""A pool's servers serve strangers one after the other: none finds a trace of another, and no network of a secret."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from own_sandbox import OwnSandbox

from vecparity.errors import InvalidStrategyError, StrategyFailedError
from vecparity.sandbox import levels
from vecparity.sandbox.fork_server import ForkServer
from vecparity.sandbox.levels import LEVELS, WITH_NAMESPACES, Level
from vecparity.sandbox.limits import Limits
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.pool import Pool, Sandbox
from vecparity.strategy.source import Strategy
from vecparity.task.config import TaskConfig

CONFIG = TaskConfig(n_features=20, secret_size=3, hidden_width=4, max_train_examples=1000)
SECRET = (1, 2, 3)
STRATEGY = """
import os, resource, ctypes, sys
from pathlib import Path

def leave():
    {leave}

def find():
    {find}

def init_model(model, config):
    leave()

def make_dataset(secret, config, seed):
    leave()
    return torch.full((1 + bool(find()), config.n_features), 1.0), torch.zeros(1 + bool(find()))

def get_optimizer_config(config):
    return dict(lr=1, wd=0, beta1=.5, beta2=.5)
"""
NOTHING = "return False"


def strategy(leave: str = "pass", find: str = NOTHING) -> Strategy:
    return Strategy.from_source(STRATEGY.format(leave=leave, find=find), name="mine")


def levels_here(candidates: Any = LEVELS) -> list[Any]:
    return [
        pytest.param(level, marks=pytest.mark.skipif(bool(problem), reason=f"{level} {problem}"))
        for level in candidates
        for problem in [levels.why_not(level)]
    ]


@pytest.fixture(scope="module")
def pools() -> Iterator[Any]:
    made: dict[Level, Pool] = {}
    with StrategyLog() as log:

        def pool(level: Level) -> Pool:
            if level not in made:
                made[level] = Pool(level, Limits(), log)
            return made[level]

        yield pool
        for opened in made.values():
            opened.close()


def servers(pool: Pool, *, again: bool = False) -> list[Any]:
    return pool._servers[again]


@pytest.mark.parametrize("level", levels_here())
def test_no_server_that_showed_a_secret_makes_a_network(pools: Any, level: Level) -> None:
    pool = pools(level)
    sandbox = Sandbox(pool, strategy(), {})
    for _ in range(2):
        sandbox.initialise(CONFIG, [1])
        assert len(sandbox.training_set(CONFIG, SECRET, 1).labels) == 1
        sandbox.initialise(CONFIG, [2])
    assert sorted(server.has_shown_secrets for server in servers(pool)) == [False, True]


def test_a_pool_is_bounded(pools: Any) -> None:
    pool = pools("none")
    for number in range(20):
        Sandbox(pool, strategy(f"number = {number}"), {}).initialise(CONFIG, [1])
        Sandbox(pool, strategy(f"number = {number}"), {}).training_set(CONFIG, SECRET, 1)
    assert len(servers(pool)) == 2
    assert servers(pool, again=True) == []


TRACES = {
    "a niceness of the server's": (
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 7)",
        "return os.getpriority(os.PRIO_PROCESS, os.getppid()) == 7",
    ),
    "an affinity of the server's": (
        "os.sched_setaffinity(os.getppid(), {max(os.sched_getaffinity(0))})",
        "return len(os.sched_getaffinity(os.getppid())) == 1 < os.cpu_count()",
    ),
    "a limit of the server's": (
        "resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))",
        "return Path(f'/proc/{os.getppid()}/limits').read_text().split('core file size')[1].split()[1] == '0'",
    ),
    "what is dumped of the server": (
        "Path(f'/proc/{os.getppid()}/coredump_filter').write_text('0x1')",
        "return int(Path(f'/proc/{os.getppid()}/coredump_filter').read_text(), 16) == 1",
    ),
    "a semaphore": (
        "assert ctypes.CDLL(None).semget(4711, 1, 0o1600) >= 0",
        "return ctypes.CDLL(None).semget(4711, 1, 0o600) >= 0",
    ),
    "a message queue": (
        "assert ctypes.CDLL(None).msgget(4711, 0o1600) >= 0",
        "return ctypes.CDLL(None).msgget(4711, 0o600) >= 0",
    ),
    "a shared segment": (
        "assert ctypes.CDLL(None).shmget(4711, 4096, 0o1600) >= 0",
        "return ctypes.CDLL(None).shmget(4711, 4096, 0o600) >= 0",
    ),
    "a queue with a name": (
        "ctypes.CDLL(None).mq_open(b'/left', os.O_CREAT | os.O_RDWR, 0o600, None)",
        "return ctypes.CDLL(None).mq_open(b'/left', os.O_RDONLY) >= 0",
    ),
    "a key of the user's": (
        "ctypes.CDLL(None).syscall(248, b'user', b'left', b'1', 1, -4)",
        "return ctypes.CDLL(None).syscall(249, b'user', b'left', None, 0) > 0 or "
        "ctypes.CDLL(None).syscall(250, 10, -4, b'user', b'left', 0) > 0",
    ),
    "a file in shared memory": ("Path('/dev/shm/left').touch()", "return Path('/dev/shm/left').exists()"),
    "a file beside its own directory": (
        "Path('../left').touch()",
        "return Path('../left').exists()",
    ),
    "its environment": ("os.environ['LEFT'] = '1'", "return 'LEFT' in os.environ"),
    "a module": ("sys.modules['left'] = sys", "return 'left' in sys.modules"),
    "a change of torch": ("torch.left = True", "return hasattr(torch, 'left')"),
    "a default of torch": (
        "torch.set_default_dtype(torch.float64)",
        "return torch.get_default_dtype() == torch.float64",
    ),
    "a process": (
        "os.fork() or (os.setsid(), os.execlp('sleep', 'left', '1000'))",
        "return any(b'left' in (path / 'cmdline').read_bytes() for path in Path('/proc').glob('[0-9]*'))",
    ),
    "a page of the server's memory": (
        "open(f'/proc/{os.getppid()}/mem', 'r+b', 0)",
        NOTHING,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("level", levels_here(WITH_NAMESPACES))
@pytest.mark.parametrize("kind", TRACES)
def test_a_stranger_finds_nothing_that_the_one_before_left(pools: Any, level: Level, kind: str) -> None:
    """Neither does the data worker of one's own; whatever the trick does, the stranger's calls go well."""
    leave, find = TRACES[kind]
    pool = pools(level)
    for left, found in (
        ("initialise", strategy(find=find)),
        ("training_set", strategy(find=find)),
        ("initialise", strategy("pass", find)),
    ):
        leaving = Sandbox(pool, strategy(leave), {})
        try:
            if left == "initialise":
                leaving.initialise(CONFIG, [1])
            else:
                leaving.training_set(CONFIG, SECRET, 1)
        except (StrategyFailedError, InvalidStrategyError):
            pass  # not even allowed
        assert len(Sandbox(pool, found, {}).training_set(CONFIG, SECRET, 1).labels) == 1, "nothing is found"


@pytest.mark.parametrize("level", levels_here(WITH_NAMESPACES))
@pytest.mark.parametrize("kind", ["a niceness of the server's", "a semaphore"])
def test_a_server_that_a_strategy_touched_is_not_used_again(
    level: Level, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine without the filter of system calls: with it, a strategy cannot touch it so."""
    without_filter = "from vecparity.sandbox import system_calls; system_calls.why_not = lambda: 'is left out'"
    monkeypatch.setattr(levels, "_START", f"{without_filter}; {levels._START}")
    with StrategyLog() as log, OwnSandbox(strategy(TRACES[kind][0]), level, Limits(), log) as sandbox:
        sandbox.initialise(CONFIG, [1])  # the strategy's answer stands
        assert sandbox.has_ended


@pytest.mark.parametrize("level", levels_here())
def test_a_server_that_was_left_alone_is_used_again(level: Level) -> None:
    with StrategyLog() as log, OwnSandbox(strategy(), level, Limits(), log) as sandbox:
        for _ in range(3):
            sandbox.initialise(CONFIG, [1])
            assert not sandbox.has_ended


def test_a_server_that_a_strategy_ended_is_replaced() -> None:
    with StrategyLog() as log, Pool("limits", Limits(strategy_processes=2), log) as pool:
        multiplies = Sandbox(pool, strategy("import os, time; os.fork(); os.fork(); time.sleep(1000)"), {})
        with pytest.raises(StrategyFailedError, match="strategy-processes"):
            multiplies.initialise(CONFIG, [1])
        assert servers(pool) == []
        assert len(Sandbox(pool, strategy(), {}).initialise(CONFIG, [1])) == 1


def test_a_pool_that_is_closed_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with StrategyLog() as log, Pool("limits", Limits(), log) as pool:
        pool.warm_up(again=False)
        pool.warm_up(again=True)
        Sandbox(pool, strategy(), {}).initialise(CONFIG, [1])
        pids = [server._process.pid for again in (False, True) for server in servers(pool, again=again)]
        assert len(pids) == 4
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_starts_while_a_signal_comes_is_closed_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    def start(*arguments: Any, **options: Any) -> ForkServer:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        server = ForkServer(*arguments, **options)
        started.append(server)
        return server

    monkeypatch.setattr("vecparity.sandbox.pool.ForkServer", start)
    with StrategyLog() as log, Pool("none", Limits(), log) as pool:
        with pytest.raises(KeyboardInterrupt):
            Sandbox(pool, strategy(), {}).space(CONFIG)
        assert servers(pool) == started
    assert not os.path.exists(f"/proc/{started[0]._process.pid}")


def test_torch_in_a_worker_is_as_it_was_loaded(pools: Any) -> None:
    """The strategy of the call before changed the generator, the number of threads and the default type."""
    sandbox = Sandbox(pools("none"), strategy("torch.manual_seed(9); torch.set_num_threads(1)"), {})
    first = sandbox.initialise(CONFIG, [1])
    ((params, _),) = Sandbox(pools("none"), strategy(), {}).initialise(CONFIG, [1])
    assert torch.equal(params, first[0][0])
