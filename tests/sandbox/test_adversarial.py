"""Every file in `adversarial/` is a strategy with one trick, run by the real command at the levels its header names.

The header states the expected outcome:

    # at bwrap landlock: as honest
    # at limits none: status 4, says read the user's diary
    # flags: --strategy-processes 16
    # slow: landlock limits none
    # filter: yes
    # alone: yes

``as honest`` is exit status 0 and, to the last digit, what ``adversarial/honest.py`` gets without any containment.
``audited`` tricks are left by the containment to audits, see `test_auditing`. A ``fresh`` trick gets its own fork
server, as it has outside these tests; the others share one for each level, because a fork server never runs a
strategy's code. ``twice`` tricks are evaluated two times. ``filter`` tricks are held where system calls are
filtered, and skipped elsewhere. ``alone`` tricks are bombs, which on a busy machine take
much of what other tests need before they are detected.
"""

import ctypes
import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from conftest import ADVERSARIAL
from in_process import InThisProcess
from processes import await_that, started_by

from vecparity import Evaluation, Evaluator, Failure, Job
from vecparity.errors import StrategyFailedError
from vecparity.eval import main
from vecparity.evaluation import preparation
from vecparity.sandbox import levels, privileges, system_calls
from vecparity.sandbox.fork_server import ForkServer
from vecparity.sandbox.levels import LEVELS, Level
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.pool import Pool, Sandbox
from vecparity.strategy import interface, source
from vecparity.strategy.parameters import Arguments
from vecparity.strategy.source import Strategy
from vecparity.task.config import TaskConfig
from vecparity.task.dataset import make_test_set, unpack
from vecparity.task.network import build_skeleton, parameter_shapes, unflatten
from vecparity.task.seeds import PublicSeeds, write_key

SETTINGS = (
    "--num-hidden-secrets 2 --num-orderings 2 --max-steps 20 --log-interval 10 --hidden-width 16 --test-set-size 64 "
    "--no-history"
)
CONFIG = TaskConfig(num_hidden_secrets=2, num_orderings=2, hidden_width=16, test_set_size=64)
# In the PATH, and so in the environment, of all that these tests start; others may be at them on this machine.
MARK = f"/from-the-adversarial-tests-{os.getpid()}"
DRAW = "0" * 32
TRICK = "vecparity-trick"  # what tricks call their files and programs
PORT = re.compile(rb"^PORT = 1\b", re.MULTILINE)
PACKAGE = Path(source.__file__).parents[1] / "__init__.py"
# Where the package lies, and everything that strategies try to write to.
PLACES = [
    "/tmp",
    "/var/tmp",
    "/dev/shm",
    "/run",
    "/root",
    "/home",
    "/usr",
    "/etc",
    "/dev",
    "/",
    sys.prefix,
    sys.base_prefix,
]
PLACES += [*sys.path, os.path.dirname(torch.__file__), str(PACKAGE.parent)]
_EXPECTATION = re.compile(r"# at ([a-z ]+): (?:(as honest)|(audited)|status (\d), says (.+))")
_KEY = re.compile(r"# (flags|slow|filter|fresh|twice|alone): (.+)")


@dataclass
class Trick:
    """A strategy's header."""

    path: Path
    expected: dict[str, Any] = field(default_factory=dict)  # for each level: "as honest", "audited", (status, words)
    flags: str = ""
    slow: Sequence[str] = ()
    filter: bool = False
    fresh: bool = False
    twice: bool = False
    alone: bool = False


def read_trick(path: Path) -> Trick:
    trick = Trick(path)
    for line in path.read_text().split("\nimport ")[0].splitlines():
        if match := _EXPECTATION.fullmatch(line):
            names, honest, audited, status, words = match.groups()
            for level in names.split():
                assert level in LEVELS and level not in trick.expected, f"{path}: {line}"
                trick.expected[level] = honest or audited or (int(status), words)
        elif match := _KEY.fullmatch(line):
            key, value = match.groups()
            setattr(trick, key, {"flags": value, "slow": value.split()}.get(key, value == "yes"))
        else:
            assert not line.startswith("#"), f"{path}: {line}"
    trick.fresh |= bool(trick.flags)  # limits are the server's, too, and it ends when one is reached
    return trick


TRICKS = {path.stem: read_trick(path) for path in sorted(ADVERSARIAL.glob("*.py"))}


def cases() -> Iterator[Any]:
    for name, trick in TRICKS.items():
        for level, expected in trick.expected.items():
            if expected != "audited":
                marks = [pytest.mark.slow] * (level in trick.slow) + [pytest.mark.alone] * trick.alone
                yield pytest.param(name, level, id=f"{name}-{level}", marks=marks)


class StayingPool(Pool):
    """A pool whose servers outlive the user's directory, which is another for each test."""

    def _start(self, again: bool) -> ForkServer:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(tempfile, "tempdir", None)
            return super()._start(again)


class Pools:
    """A pool for each level and limits, whose servers serve one trick after the other."""

    def __init__(self) -> None:
        self.log = StrategyLog()
        self.made: dict[Any, StayingPool] = {}

    def sandbox(self, pool: Pool, strategy: Strategy, arguments: Arguments, *, again: bool = False) -> Sandbox:
        level, limits, _, device, num_threads = pool._kind
        key = level, limits
        if key not in self.made:
            self.made[key] = StayingPool(level, limits, self.log, device, num_threads)
        return Sandbox(self.made[key], strategy, arguments, again=again)

    def processes(self) -> set[int]:
        servers = [server for pool in self.made.values() for servers in pool._servers.values() for server in servers]
        firsts = [server._process.pid for server in servers]
        return {*firsts, *(pid for first in firsts for pid in started_by(first))}


@pytest.fixture(scope="module")
def pools() -> Iterator[Pools]:
    pools = Pools()
    with pools.log:
        yield pools
        for pool in pools.made.values():
            pool.close()


@pytest.fixture(scope="module", autouse=True)
def marked() -> Iterator[None]:
    # As after a login: what is kept in the keyring of this session would be found by the next evaluation.
    if number := system_calls.number("keyctl"):
        ctypes.CDLL(None).syscall(number, privileges._JOIN_SESSION_KEYRING, None)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", f"{os.environ['PATH']}:{MARK}")
        yield


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's directory (of a short name: the path of a socket is short), with the temporary ones in it."""
    home = Path(tempfile.mkdtemp(prefix="vp", dir="/tmp"))
    (home / "tmp").mkdir()
    (home / "diary").write_text("dear diary")
    monkeypatch.setattr(tempfile, "tempdir", str(home / "tmp"))
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="module")
def honest() -> Any:
    """Returns the output of the honest control, evaluated without any containment."""
    return evaluate_uncontained(ADVERSARIAL / "honest.py")


def evaluate_uncontained(path: Path) -> list[str]:
    """Evaluates in a process of its own, where the strategy is executed, too."""
    code = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import test_adversarial as tests; "
    code += "sys.exit(tests.main_uncontained(sys.argv[1:]))"
    arguments = [*SETTINGS.split(), "--containment", "none", "--strategy", str(path)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ADVERSARIAL.parent, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def main_uncontained(arguments: list[str]) -> int:
    preparation.Sandbox = InThisProcess  # type: ignore[assignment,misc]
    return main(arguments)


def marked_processes() -> set[int]:
    """The processes on this machine that these tests started, or a strategy."""
    found = set()
    for process in psutil.process_iter():
        try:
            if MARK.encode() in Path(f"/proc/{process.pid}/environ").read_bytes() or TRICK in process.cmdline():
                found.add(process.pid)
        except (OSError, psutil.Error):
            continue
    return found


def files_of_tricks() -> list[Path]:
    """Those that can be seen: where this user may not look, a strategy of his cannot write."""
    return [Path(place) / TRICK for place in PLACES if os.path.lexists(Path(place) / TRICK)]


def sockets_at_one_port() -> tuple[socket.socket, socket.socket]:
    """Returns sockets for TCP and UDP, bound to a number that is free for both."""
    while True:
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        tcp.bind(("127.0.0.1", 0))
        with suppress(OSError):
            udp.bind(tcp.getsockname())
            return tcp, udp
        tcp.close()
        udp.close()


class Listeners:
    """Sockets of this machine's that a strategy may not reach: all that came is remembered, and answered."""

    def __init__(self, home: Path) -> None:
        self.reached: list[str] = []
        self._path = home / "socket"
        self._selector = selectors.DefaultSelector()
        tcp, udp = sockets_at_one_port()
        self.port = tcp.getsockname()[1]
        listeners = {"tcp": tcp, "udp": udp}
        for name, address in (("abstract_socket", f"\0{TRICK}"), ("socket_with_a_path", str(self._path))):
            listeners[name] = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listeners[name].bind(address)
        for name, listener in listeners.items():
            if listener.type == socket.SOCK_STREAM:
                listener.listen()
            self._selector.register(listener, selectors.EVENT_READ, name)
        self._is_done = threading.Event()
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> "Listeners":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_done.set()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._path.unlink()

    def _listen(self) -> None:
        while not self._is_done.is_set():
            for key, _ in self._selector.select(0.05):
                listener: Any = key.fileobj
                self.reached.append(key.data)
                if key.data == "udp":
                    listener.sendto(*listener.recvfrom(100))
                else:
                    listener.accept()[0].close()


def assert_only_the_evaluators_own(said: str) -> None:
    """Checks standard error: where it is merged with standard output, no line of it can pass for a metric line."""
    lines = said.split("\n")
    assert lines.pop() == ""
    assert all(line.isprintable() and line.startswith(("vecparity: ", "  ")) for line in lines), said


@pytest.mark.parametrize(("name", "level"), list(cases()))
def test_trick(
    name: str,
    level: Level,
    home: Path,
    pools: Pools,
    honest: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    trick = TRICKS[name]
    if trick.filter and (problem := system_calls.why_not()):
        pytest.skip(f"the filter of system calls {problem}")
    monkeypatch.setattr(preparation, "Sandbox", Sandbox if trick.fresh else pools.sandbox)
    with Listeners(home) as listeners:
        path = home / trick.path.name
        path.write_bytes(source := PORT.sub(b"PORT = %d" % listeners.port, trick.path.read_bytes()))
        before = [(file.stat().st_mode, file.stat().st_mtime) for file in (path, PACKAGE)]
        arguments = f"{SETTINGS} {trick.flags} --containment {level} --strategy {path}"
        for _ in range(2 if trick.twice else 1):
            listeners.reached.clear()
            began = time.monotonic()
            status = main(arguments.split())
            printed, said = capfd.readouterr()
            assert time.monotonic() - began < 240  # of the 3,600 that a call may take
            assert_only_the_evaluators_own(said)
            if trick.expected[level] == "as honest":
                assert (status, said) == (0, "")
                assert printed.splitlines() == honest
            else:
                expected_status, words = trick.expected[level]
                assert (status, printed) == (expected_status, ""), said
                assert said.startswith("vecparity: error: ")
                assert words in said.splitlines()[0]
            is_reached = isinstance(trick.expected[level], tuple) and "reached" in words
            if is_reached:
                await_that(lambda: bool(listeners.reached))  # another thread sees to it
            assert set(listeners.reached) == ({name.removeprefix("network_")} if is_reached else set())
    await_that(lambda: marked_processes() <= pools.processes())  # what was killed takes a moment to be gone
    assert not list((home / "tmp").glob("vecparity-*")) or not trick.fresh
    assert files_of_tricks() == []
    assert path.read_bytes() == source
    assert [(file.stat().st_mode, file.stat().st_mtime) for file in (path, PACKAGE)] == before


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_a_pool_remembers_no_strategy(level: Level, home: Path) -> None:
    """In one long-lived pool, the honest strategy takes turns with every trick, and then the tricks come again."""
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    tricks = [
        name
        for name, trick in TRICKS.items()
        if trick.expected.get(level) == "as honest" and not trick.fresh and not trick.alone
        if not trick.filter or system_calls.why_not() is None
    ]
    settings = {"num_hidden_secrets": 2, "num_orderings": 1, "max_steps": 1, "hidden_width": 16, "test_set_size": 64}
    with pytest.MonkeyPatch.context() as patched, Evaluator(containment=level, audit="off") as evaluator:
        patched.setattr(preparation, "Sandbox", Sandbox)

        def answer(name: str) -> str:
            path = home / f"{name}.py"
            path.write_bytes((ADVERSARIAL / path.name).read_bytes())
            outcome = next(evaluator.map([Job(path, settings=settings)]))
            assert isinstance(outcome, Evaluation), (name, outcome)
            return repr((outcome.metrics, outcome.results))

        honest = answer("honest")
        for name in tricks:
            assert [answer(name), answer("honest")] == [honest] * 2, name
        for name in tricks:
            assert answer(name) == honest, f"{name}, again"


@pytest.mark.slow
@pytest.mark.parametrize("level", levels.HIDES_FILES)
def test_the_key_of_a_seal_is_nowhere_to_be_found(level: Level, home: Path) -> None:
    """Not beside the strategy's file, nor open, in the command line or in the environment of a process it can see."""
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    key = home / "leaderboard.key"
    write_key(key, bytes(range(32)))

    def evaluated(name: str) -> str:
        path = home / f"{name}.py"
        path.write_bytes((ADVERSARIAL / f"{name}.py").read_bytes())
        arguments = f"{SETTINGS} --containment {level} --seal-key {key} --draw {DRAW} --strategy {path}"
        done = subprocess.run(
            [sys.executable, "-m", "vecparity.eval", *arguments.split()],
            env=os.environ | {"VECPARITY_TESTS_KEY": str(key)},
            cwd=home,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    assert evaluated("reads_the_key") == evaluated("honest")


def test_a_key_that_can_be_read_is_found(home: Path) -> None:
    """The trick is worth something: it works where nothing is contained."""
    write_key(home / "leaderboard.key", bytes(range(32)))
    path = home / "reads_the_key.py"
    path.write_bytes((ADVERSARIAL / "reads_the_key.py").read_bytes())
    loaded = interface.load(source.load(str(path)))
    with pytest.raises(StrategyFailedError, match="found the key: "):
        loaded.initialise(CONFIG, [1])


@pytest.mark.slow
@pytest.mark.parametrize("level", levels.HIDES_FILES)
def test_tricks_that_the_filter_holds_work_without_it(level: Level, monkeypatch: pytest.MonkeyPatch) -> None:
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    without_filter = "from vecparity.sandbox import system_calls; system_calls.why_not = lambda: 'is left out'"
    monkeypatch.setattr(levels, "_START", f"{without_filter}; {levels._START}")
    monkeypatch.setattr(preparation, "Sandbox", Sandbox)
    settings = {"num_hidden_secrets": 2, "num_orderings": 2, "max_steps": 0, "hidden_width": 16, "test_set_size": 64}

    with Evaluator(containment=level, audit="off") as evaluator:

        def outcome(name: str) -> Evaluation | Failure:
            return next(evaluator.map([Job(ADVERSARIAL / f"{name}.py", settings=settings)]))

        honest, _, cheated = map(outcome, ("honest", "secret_in_kernel_objects", "secret_in_kernel_objects"))
        assert isinstance(honest, Evaluation) and isinstance(cheated, Evaluation)
        assert cheated.metrics.test_accuracy > honest.metrics.test_accuracy
        for name, words in (
            ("reaches_into_other_processes", "set its RLIMIT"),
            ("calls_beyond_the_filter", "call 425"),
        ):
            failure = outcome(name)
            assert isinstance(failure, Failure) and words in str(failure.error)


def test_every_trick_says_what_comes_of_it() -> None:
    levels_of_tricks = [set(trick.expected) for trick in TRICKS.values()]
    assert all(levels_of_tricks)
    assert all({"bwrap", "landlock"} <= found for found in levels_of_tricks)
    for trick in TRICKS.values():
        assert re.match(r'"""[A-Z][^"]+\."""\n\n# at ', trick.path.read_text()), trick.path
        assert set(trick.slow) <= set(trick.expected), trick.path
    audited = [name for name, trick in TRICKS.items() if "audited" in trick.expected.values()]
    seeds = ["seed_of_all_runs", "seed_of_the_run", "seed_of_the_test_set"]
    assert audited == ["near_the_test_set", "secrets_of_another_draw", *seeds]


@pytest.mark.parametrize(
    "header",
    [
        "# at bwrap: as  honest",
        "# at nowhere: as honest",
        "# at bwrap bwrap: as honest",
        "# at bwrap: status 4",
        "# slw: x",
    ],
)
def test_a_header_that_is_wrong_is_seen(tmp_path: Path, header: str) -> None:
    path = tmp_path / "trick.py"
    path.write_text(f'"""A trick."""\n\n{header}\n\nimport torch\n')
    with pytest.raises(AssertionError, match=r"trick\.py: # "):
        read_trick(path)


def naive_accuracies(paths: list[str]) -> list[float]:
    """Accuracies that networks have before any training, where one process calls a strategy and knows its secrets."""
    shapes = parameter_shapes(CONFIG.n_features, CONFIG.hidden_width)
    skeleton = build_skeleton(CONFIG.n_features, CONFIG.hidden_width)
    accuracies, seeds = [], PublicSeeds(42)
    for path in paths:
        loaded = interface.load(source.load(path))
        for i, secret in enumerate(seeds.secrets(CONFIG)):
            loaded.training_set(CONFIG, secret, seeds.dataset_seed(CONFIG, i))
            ((params, _),) = loaded.initialise(CONFIG, [seeds.run_seed(CONFIG, i, 0)])
            tests = make_test_set(CONFIG, secret, seeds.test_set_seed(CONFIG, i))
            x = unpack(tests.bits, CONFIG.n_features, torch.float32)
            p = torch.func.functional_call(skeleton, unflatten(params, shapes), (x,))
            accuracies.append(((p.flatten() >= 0.5) == (tests.labels == 1)).float().mean().item())
    return accuracies


@pytest.mark.slow
def test_tricks_against_the_score_work_where_nothing_is_contained(tmp_path: Path) -> None:
    places = ("global", "module", "file")
    names = [f"secret_in_a_{place}" for place in places] + ["secret_on_the_stack", "secret_on_the_heap", "honest"]
    paths = [str(ADVERSARIAL / f"{name}.py") for name in [*names, "seed_of_the_run"]]
    code = f"import sys; sys.path += {[str(Path(__file__).parent), str(ADVERSARIAL.parent)]}; "
    code += "import json, test_adversarial as tests; "
    code += "print(json.dumps(tests.naive_accuracies(sys.argv[1:])))"
    done = subprocess.run(
        [sys.executable, "-c", code, *paths],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    accuracies = json.loads(done.stdout)
    best = dict(zip([*names, "seed_of_the_run"], map(max, accuracies[::2], accuracies[1::2]), strict=True))
    assert best.pop("honest") < 0.8
    assert best == dict.fromkeys(best, 1.0)
