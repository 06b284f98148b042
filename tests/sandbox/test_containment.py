import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from own_sandbox import OwnSandbox
from processes import Child, await_end, await_that, started_by

from vecparity import Choice, Evaluator, Range
from vecparity.errors import InvalidStrategyError, MachineError, StrategyFailedError, UsageError
from vecparity.sandbox import levels, limits, privileges, protocol, start
from vecparity.sandbox.conversation import Conversation, EndedError
from vecparity.sandbox.levels import LEVELS, Level
from vecparity.sandbox.limits import LimitReachedError, Limits, Usage
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.processes import descendants
from vecparity.sandbox.protocol import ENDED, HEADER, ForgedError, Request
from vecparity.sandbox.start import Ahead
from vecparity.strategy import interface
from vecparity.strategy.source import Strategy, bundled, load
from vecparity.strategy.space import Space
from vecparity.task import dataset as data
from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.task.network import parameter_shapes

CPU = torch.device("cpu")
CONFIG = TaskConfig(n_features=20, secret_size=3, hidden_width=4, max_train_examples=1000)
BUNDLED = load("isolated_cube")
HYPERPARAMETERS = OptimizerConfig(1e-3, 0.0, 0.9, 0.99)
GOOD = "def init_model(m, c): pass\ndef get_optimizer_config(c): return dict(lr=1, wd=0, beta1=.5, beta2=.5)\n"


def written(body: str) -> Strategy:
    return Strategy("mine", "mine.py", body.encode())


def request(config: TaskConfig = CONFIG, **what: Any) -> Request:
    return Request(BUNDLED, config, Limits(), 1, **(what or {"secret": (1, 2, 3), "dataset_seed": 5}))


def random_dataset(rows: int, n_features: int) -> Dataset:
    x = torch.randint(0, 2, (rows, n_features), dtype=torch.uint8)
    return Dataset(data.pack(x), torch.randint(0, 2, (rows,), dtype=torch.uint8), n_features)


def random_networks(config: TaskConfig, runs: int) -> list[tuple[torch.Tensor, OptimizerConfig]]:
    size = sum(shape.numel() for shape in parameter_shapes(config.n_features, config.hidden_width).values())
    return [(torch.randn(size), replace(HYPERPARAMETERS, lr=0.1 + run / 3)) for run in range(runs)]


# --- messages ---


@pytest.mark.parametrize("n_features", [1, 20, 63, 64, 65, 130, 256])
@pytest.mark.parametrize("rows", [1, 7, 8, 9, 1000])
def test_datasets_make_the_trip_unchanged(n_features: int, rows: int) -> None:
    dataset = random_dataset(rows, n_features)
    asked = request(replace(CONFIG, n_features=n_features, secret_size=1, num_hidden_secrets=1))
    payload = bytearray(b"".join(protocol.encode_dataset(dataset)))
    assert len(payload) <= asked.most_reply_bytes
    made = protocol.decode_dataset(payload, asked)
    assert torch.equal(made.bits, dataset.bits)
    assert torch.equal(made.labels, dataset.labels)
    assert made.n_features == n_features


@pytest.mark.parametrize("n_features", [1, 20, 64, 65, 130, 256])
@pytest.mark.parametrize("runs", [1, 3])
def test_networks_make_the_trip_unchanged(n_features: int, runs: int) -> None:
    config = replace(CONFIG, n_features=n_features, secret_size=1, num_hidden_secrets=1)
    initial = random_networks(config, runs)
    initial[0][0][:2] = torch.tensor([-0.0, 1e-45])
    params, optimizers = [own for own, _ in initial], [optimizer for _, optimizer in initial]
    variants = [optimizers, [replace(optimizer, wd=0.5) for optimizer in optimizers]]
    payload = bytearray(b"".join(protocol.encode_parameters(params, variants)))
    decoded = protocol.decode_parameters(payload, request(config, run_seeds=range(runs), variants=[{}, {"wd": 0.5}]))
    for of_runs, expected in zip(decoded, variants, strict=True):
        assert [own.numpy().tobytes() for own, _ in of_runs] == [own.numpy().tobytes() for own in params]
        assert [optimizer for _, optimizer in of_runs] == expected


def test_requests_make_the_trip_unchanged() -> None:
    for sent in (request(), request(run_seeds=[1, 2**63], device="cuda")):
        stream = memoryview(sent.encode())

        def receive(length: int) -> bytes:
            nonlocal stream
            part, stream = stream[:length], stream[length:]
            return bytes(part)

        got = protocol.read_request(receive)
        assert (got.strategy, got.config, got.limits) == (sent.strategy, sent.config, sent.limits)
        assert (list(got.run_seeds), got.secret, got.dataset_seed) == (
            list(sent.run_seeds),
            sent.secret,
            sent.dataset_seed,
        )
        assert got.device == sent.device
        assert len(stream) == 0


def test_a_secret_is_in_no_request_for_networks() -> None:
    assert b'"secret": []' in request(run_seeds=[1]).encode()


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "1 to 1000 rows, got 0 bytes for 0"),
        (struct.pack("<Q", 0), "got 8 bytes for 0"),
        (struct.pack("<Q", 1001) + bytes(8 * 1001 + 126), "got 8142 bytes for 1001"),
        (struct.pack("<Q", 2**64 - 1), "got 8 bytes for 18446744073709551615"),
        (struct.pack("<QQ", 1, 0), "got 16 bytes for 1"),
        (struct.pack("<QQBB", 1, 0, 0, 0), "got 18 bytes for 1"),
        (struct.pack("<QQB", 1, 1 << 20, 0), "rows of 20 bits, got more"),
        (struct.pack("<QQB", 1, 1 << 63, 0), "rows of 20 bits, got more"),
    ],
)
def test_what_is_no_dataset_is_refused(payload: bytes, said: str) -> None:
    with pytest.raises(ForgedError, match=said):
        protocol.decode_dataset(bytearray(payload), request())


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (0, np.nan, "finite parameters, got others"),
        (5, np.inf, "finite parameters, got others"),
        ("lr", 0.0, "lr finite and above 0, got 0.0"),
        ("lr", np.inf, "lr finite and above 0, got inf"),
        ("wd", -1e-9, "wd finite and at least 0, got -1e-09"),
        ("beta1", 1.0, "beta1 between 0 and 1, both excluded, got 1.0"),
        ("beta2", np.nan, "beta2 between 0 and 1, both excluded, got nan"),
    ],
)
def test_numbers_that_cannot_be_are_refused(place: Any, value: float, said: str) -> None:
    params, _ = random_networks(CONFIG, 1)[0]
    numbers: dict[str, float] = vars(HYPERPARAMETERS)
    if isinstance(place, int):
        params[place] = value
    else:
        numbers = numbers | {place: value}
    payload = bytearray(params.numpy().tobytes() + np.array(list(numbers.values())).tobytes())
    with pytest.raises(ForgedError, match=said):
        protocol.decode_parameters(payload, request(run_seeds=[1]))


@pytest.mark.parametrize("change", [-1, 1])
def test_networks_of_another_length_are_refused(change: int) -> None:
    ((params, optimizer),) = random_networks(CONFIG, 1)
    payload = bytearray(b"".join(protocol.encode_parameters([params], [[optimizer]])) + bytes(1))[: change - 1 or None]
    with pytest.raises(ForgedError, match=f"{len(payload) - change} bytes, got {len(payload)}"):
        protocol.decode_parameters(payload, request(run_seeds=[1]))


def test_ranges_make_the_trip_unchanged() -> None:
    space: Space = {"lr": Range(1e-3, 0.1, log=True), "rows": Range(1, 2**62), "é": Choice(True, 0.5, "a", -3)}
    (payload,) = protocol.encode_space(space)
    asked = Request(BUNDLED, CONFIG, Limits(), 1)
    assert (asked.reply_kind, len(payload) <= asked.most_reply_bytes) == (b"S", True)
    made = protocol.decode_space(bytearray(payload), asked)
    assert made == space
    assert repr(made) == repr(space)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"a": 1}',
        b'{"a": {"type": "code", "low": 0}}',
        b'{"a": {"type": "range", "low": 1, "high": 0, "log": false}}',
        b'{"a": {"type": "range", "low": 0, "high": 1e999, "log": false}}',
        b'{"a": {"type": "range", "low": 0, "high": 1, "log": 1}}',
        b'{"a": {"type": "choice", "values": [1]}}',
        b'{"a": {"type": "choice", "values": [1, null]}}',
        b'{"a": {"type": "choice", "values": ["a\\n", "b"]}}',
        b"\xff" * 10,
        b"[" * 100_000,
    ],
)
def test_what_are_no_ranges_is_refused(payload: bytes) -> None:
    with pytest.raises(ForgedError, match="ranges of parameters, got others: "):
        protocol.decode_space(bytearray(payload), Request(BUNDLED, CONFIG, Limits(), 1))


def test_more_ranges_than_anybody_needs_are_refused() -> None:
    space = {f"a{index}": Choice(*(f"{index}{'x' * 190}" for index in range(1000))) for index in range(6)}
    with pytest.raises(InvalidStrategyError, match="expected ranges of at most 1048576 bytes, got"):
        protocol.encode_space(space)


def test_words_move_no_cursor() -> None:
    assert protocol.printable(b"a\x1b[2J\r\x07b\n\xff \xe2\x80\xae") == "a\ufffd[2J\ufffd\ufffdb\n\ufffd \ufffd"


# --- a conversation with a worker that says what it likes ---


def converse(sent: bytes, asked: Request, ended: bytes = ENDED.pack(0, 0.0)) -> bytearray:
    ours, workers = socket.socketpair()
    control, servers = socket.socketpair()
    with ours, workers, control, servers:
        workers.sendall(sent)
        servers.sendall(ended)
        workers.close()
        return Conversation(ours, control, Usage(os.getpid(), asked.limits, watches_all=False)).reply(asked)


ROW = struct.pack("<QQB", 1, 0, 0)


def test_a_reply_is_read() -> None:
    assert converse(HEADER.pack(b"D", len(ROW)) + ROW, request()) == ROW


@pytest.mark.parametrize(
    ("sent", "error", "said"),
    [
        (HEADER.pack(b"P", 17) + ROW, ForgedError, "took over its worker: a reply must be of kind b'D', got b'P'"),
        (HEADER.pack(b"D", 2**64 - 1), ForgedError, "at most 8133 bytes, got 18446744073709551615"),
        (HEADER.pack(b"D", 17) + ROW + b"x", ForgedError, "17 bytes, the length in its header, got more"),
        (HEADER.pack(b"D", 18) + ROW, EndedError, r"ended its process \(exit status 0\) instead of returning"),
        (b"D", EndedError, "instead of returning"),
        (b"", EndedError, "instead of returning"),
        (HEADER.pack(b"I", 3) + b"bad", InvalidStrategyError, "^bad$"),
        (HEADER.pack(b"F", 4) + b"a\nb\x1b", StrategyFailedError, "^a b\ufffd$"),
        (HEADER.pack(b"F", 2**60) + b"x" * 5000, StrategyFailedError, "^x{4096}$"),
    ],
)
def test_what_is_no_reply_is_refused(sent: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        converse(sent, request())


def test_how_a_worker_ended_is_told() -> None:
    with pytest.raises(EndedError, match="by SIGSEGV"):
        converse(b"", request(), ENDED.pack(signal.SIGSEGV, 0.0))
    with pytest.raises(EndedError, match="by signal 63"):
        converse(b"", request(), ENDED.pack(63, 0.0))
    said = r"^used 60 s of CPU time, over the limit of 60 s \(raise it with --strategy-cpu-seconds\)$"
    asked = replace(request(), limits=Limits(strategy_cpu_seconds=60))
    with pytest.raises(LimitReachedError, match=said):
        converse(b"", asked, ENDED.pack(signal.SIGKILL, 60.0))
    with pytest.raises(EndedError, match=r"exit status 3"):
        converse(b"", request(), ENDED.pack(3 << 8, 0.0))


def test_nothing_is_allocated_for_a_length_that_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    receive = Conversation._receive
    monkeypatch.setattr(Conversation, "_receive", lambda *them: asked.append(them[1]) or receive(*them))  # type: ignore[func-returns-value]
    with pytest.raises(ForgedError):
        converse(HEADER.pack(b"D", 2**50), request())
    assert asked == [HEADER.size]


def test_a_worker_that_says_nothing_has_its_time() -> None:
    ours, workers = socket.socketpair()
    control, servers = socket.socketpair()
    asked = replace(request(), limits=Limits(strategy_seconds=0.1))
    with ours, workers, control, servers:
        conversation = Conversation(ours, control, Usage(os.getpid(), asked.limits, watches_all=False))
        said = r"^did not finish within 0\.1 s \(raise it with --strategy-seconds\)$"
        with pytest.raises(LimitReachedError, match=said):
            conversation.reply(asked)
        with pytest.raises(LimitReachedError):
            conversation.send(bytes(1 << 24))  # it reads nothing, either


# --- limits ---


@pytest.mark.parametrize("name", list(vars(Limits())))
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_limits_are_above_0(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=f"{name} must be above 0, got {value}"):
        Limits(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("strategy_memory", float("inf"), "at most 1048576, got inf"),
        ("strategy_seconds", 1e10, "at most 1000000000, got 10000000000.0"),
        ("strategy_processes", 10**9, "at most 4194304, got 1000000000"),
        ("strategy_file_size", 10**30, "at most 1073741824, got 1" + "0" * 30),
        ("strategy_cpu_seconds", 1.5, "a whole number, got 1.5"),
        ("strategy_cpu_seconds", True, "a whole number, got True"),
        ("strategy_memory", "2", "a number, got '2'"),
    ],
)
def test_limits_that_no_kernel_takes_are_refused(name: str, value: Any, said: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} must be {said}$"):
        Limits(**{name: value})


def test_limits_are_numbers_of_any_kind() -> None:
    made = Limits(strategy_cpu_seconds=np.int64(3), strategy_seconds=np.float32(2), strategy_memory=1)  # type: ignore[arg-type]
    assert [type(made.strategy_cpu_seconds), type(made.strategy_seconds), type(made.strategy_memory)] == [
        int,
        float,
        float,
    ]


def test_a_limit_that_is_reached_is_named_by_its_flag() -> None:
    assert Limits(strategy_file_size=3).reached("strategy_file_size", "wrote over {most} MiB") == (
        "wrote over 3 MiB (raise it with --strategy-file-size)"
    )


@pytest.fixture
def sleepers() -> Iterator[int]:
    """A process with three below it, of which two are nested."""
    command = "sleep 1000 & (sleep 1000; true) & wait"
    with Child(["sh", "-c", command], start_new_session=True) as process:
        try:
            await_that(lambda: len(list(descendants(process.pid))) == 3)
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_descendants_come_parents_first(sleepers: int) -> None:
    found = [pid for pid, _ in descendants(sleepers)]
    assert sorted(found) == sorted(child.pid for child in psutil.Process(sleepers).children(recursive=True))
    assert all(threads == 1 for _, threads in descendants(sleepers))
    assert psutil.Process(found[-1]).ppid() in found


def test_descendants_are_found_on_old_kernels_too(sleepers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sorted(descendants(sleepers))

    def no_such_file(path: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", no_such_file)
    assert sorted(descendants(sleepers)) == expected


def test_processes_are_counted_from_outside(sleepers: int) -> None:
    def usage(**changed: Any) -> Usage:
        made = Usage(sleepers, Limits(**changed), watches_all=True)
        made._most_processes -= len(list(descendants(sleepers)))  # as if they had come since
        return made

    usage(strategy_processes=3).check()
    with pytest.raises(
        LimitReachedError, match=r"^ran 3 processes at a time, over the limit of 2 .*--strategy-processes"
    ):
        usage(strategy_processes=2).check()


MIB = 1 << 20
# Memory that a process below may take: 64 MiB each, then it says so and waits.
HOLDINGS = {
    "its own": "kept = bytearray(os.urandom(1)) * (64 << 20)",
    "mapped": "kept = mmap.mmap(-1, 64 << 20); kept.write(bytes(64 << 20))",
    "mapped by two": "kept = mmap.mmap(-1, 64 << 20); kept.write(bytes(64 << 20)); os.fork() or time.sleep(1000)",
    "a file without a name": "kept = os.memfd_create('x'); os.write(kept, bytes(64 << 20))",
    "a mapped file without a name": (
        "file = os.memfd_create('x'); os.write(file, bytes(64 << 20))\n"
        "kept = mmap.mmap(file, 64 << 20); sum(kept[::4096])"
    ),
    "a file that was removed": (
        "file = tempfile.TemporaryFile(dir='/dev/shm', buffering=0); file.write(bytes(64 << 20))"
    ),
    "a segment": (
        "c = ctypes.CDLL(None); c.shmat.restype = ctypes.c_void_p; number = c.shmget(0, 64 << 20, 0o600)\n"
        "place = c.shmat(number, None, 0); ctypes.memset(place, 1, 64 << 20); c.shmdt(ctypes.c_void_p(place))\n"
        "sys.stdin.close = lambda: c.shmctl(number, 0, None)"
    ),
}


@pytest.fixture
def holder() -> Iterator[Any]:
    """Makes processes, each of which has another below it that takes memory when it is told to."""
    holders: list[subprocess.Popen[str]] = []

    def hold(what: str) -> subprocess.Popen[str]:
        code = f"import ctypes, mmap, os, sys, tempfile, time\ninput()\n{HOLDINGS[what]}\n"
        code += "print('taken', flush=True); sys.stdin.read(); sys.stdin.close()"
        shell = ["sh", "-c", 'exec 3<&0; "$@" <&3 & wait', "sh", sys.executable, "-c", code]
        holders.append(subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        while not list(descendants(holders[-1].pid)):
            time.sleep(0.01)
        return holders[-1]

    def take(holder: subprocess.Popen[str]) -> None:
        assert holder.stdin and holder.stdout
        print(file=holder.stdin, flush=True)
        assert holder.stdout.readline() == "taken\n"

    yield SimpleNamespace(hold=hold, take=take)
    for holder in holders:
        for pid, _ in list(descendants(holder.pid))[1:]:
            os.kill(pid, signal.SIGKILL)
        holder.communicate()


@pytest.mark.parametrize("what", HOLDINGS)
def test_memory_is_counted_once_and_its_holder_is_charged(holder: Any, what: str) -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux")
    ours, neighbours = holder.hold(what), holder.hold(what)
    usages = {limit: Usage(ours.pid, Limits(strategy_memory=limit / 1024), watches_all=True) for limit in (62, 120)}
    holder.take(neighbours)
    usages[62].check()
    holder.take(ours)
    usages[120].check()
    usages[62]._next_look = 0
    with pytest.raises(LimitReachedError, match=r"^used 0\.\d+ GiB, over the limit of 0\.0605469 GiB"):
        usages[62].check()


def test_memory_that_a_neighbour_frees_hides_nothing(holder: Any) -> None:
    taken = os.memfd_create("neighbour")
    os.write(taken, bytes(256 * MIB))
    ours = holder.hold("a file without a name")
    usage = Usage(ours.pid, Limits(strategy_memory=0.06), watches_all=True)
    os.close(taken)
    holder.take(ours)
    with pytest.raises(LimitReachedError, match=r"over the limit of 0\.06 GiB \(raise it with --strategy-memory\)"):
        usage.check()


def test_what_the_server_tells_of_its_namespaces_is_counted() -> None:
    ours, workers = socket.socketpair()
    control, servers = socket.socketpair()
    usage = Usage(os.getpid(), Limits(strategy_memory=64.0), watches_all=True, has_namespaces=True)
    with ours, workers, control, servers:
        conversation = Conversation(ours, control, usage)
        servers.sendall(ENDED.pack(protocol.IN_USE, 65 << 30))
        conversation._wait()
        assert conversation.ended is None
        usage._next_look = 0
        with pytest.raises(LimitReachedError, match=r"^used 6\d(\.\d)? GiB, over the limit of 64 GiB"):
            usage.check()


def test_threads_are_counted(sleepers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = Usage(sleepers, Limits(strategy_processes=1), watches_all=True)
    usage.check()
    monkeypatch.setattr(limits, "descendants", lambda pid: [(1, usage._most_threads + 1)])
    usage._next_look = 0
    most = usage._limits.threads
    with pytest.raises(
        LimitReachedError, match=rf"^ran {most + 1} threads at a time, over the limit of {most} .*--strategy-processes"
    ):
        usage.check()


# --- levels ---


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes some levels the only ones that this machine has."""

    def have(*names: str) -> None:
        monkeypatch.setattr(levels, "why_not", lambda level: None if level in names else f"needs {level}ing")

    return have


def test_the_strongest_level_is_chosen(only: Any) -> None:
    for i, level in enumerate(LEVELS):
        only(*LEVELS[i:])
        assert levels.choose("auto") == level
    only(*LEVELS)
    for level in LEVELS:
        assert levels.choose(level) == level
        assert levels.choose(level, "none") == level


@pytest.mark.parametrize(
    ("containment", "require", "said"),
    [
        ("bwrap", None, "containment bwrap needs bwraping"),
        ("auto", "bwrap", r"at least bwrap, got limits \(bwrap needs bwraping; landlock needs landlocking\)"),
        ("none", "limits", "containment must be at least limits, got none"),
        ("bubble", None, "containment must be one of auto, bwrap, landlock, limits, none, got 'bubble'"),
        ("auto", "auto", "require-containment must be one of bwrap, landlock, limits, none, got 'auto'"),
    ],
)
def test_a_level_that_cannot_be_is_refused(only: Any, containment: Any, require: Any, said: str) -> None:
    only("limits", "none")
    with pytest.raises(UsageError, match=said):
        levels.choose(containment, require)


def test_a_sealed_evaluation_hides_its_key(only: Any) -> None:
    only(*LEVELS)
    assert levels.choose("auto", is_sealed=True) == "bwrap"
    assert levels.choose("landlock", is_sealed=True) == "landlock"
    words = "a sealed evaluation needs containment bwrap or landlock, as elsewhere a strategy can read the user's files"
    for weak in ("limits", "none"):
        with pytest.raises(UsageError, match=rf"^{words} and so the key: got {weak}$"):
            levels.choose(weak, "none", is_sealed=True)
    only("limits", "none")
    lacking = r"\(bwrap needs bwraping; landlock needs landlocking\)"
    with pytest.raises(UsageError, match=rf"^{words} and so the key: got limits {lacking}$"):
        levels.choose("auto", is_sealed=True)


@pytest.mark.parametrize("seal", ["--sealed", "--seal-key {key}"])
def test_a_seal_that_would_not_hold_is_refused(run_eval: Any, tmp_path: Path, seal: str) -> None:
    key = tmp_path / "leaderboard.key"
    key.write_text("0" * 64)
    key.chmod(0o600)
    status, lines, err = run_eval(f"--containment limits {seal.format(key=key)} --output-dir {tmp_path}/results")
    assert (status, lines) == (2, [])
    assert err.startswith("vecparity: error: a sealed evaluation needs containment bwrap or landlock")
    assert os.listdir(tmp_path) == ["leaderboard.key"]
    with pytest.raises(UsageError, match="a sealed evaluation needs containment bwrap or landlock"):
        Evaluator(seal_key=bytes(32), containment="none")


def test_landlock_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "why_not", lambda level: "is missing" if level == "bwrap" else None)
    assert levels.choose("auto") == "landlock"
    assert levels.choose("auto", needs_cuda=True) == "limits"
    with pytest.raises(UsageError, match="containment landlock hides the GPU: expected --init-device cpu, got cuda"):
        levels.choose("landlock", needs_cuda=True)


@pytest.mark.parametrize(
    ("level", "lacks", "said"),
    [
        ("bwrap", "bwrap", "needs bubblewrap, which is not installed"),
        ("landlock", "setpriv", "needs unshare, setpriv, mount and chroot, which are not installed"),
        ("landlock", "landlockpy", "needs landlockpy, which is not installed"),
    ],
)
def test_what_a_level_lacks_is_said(monkeypatch: pytest.MonkeyPatch, level: Level, lacks: str, said: str) -> None:
    monkeypatch.setattr(levels, "shutil", SimpleNamespace(which=lambda name: name != lacks))
    monkeypatch.setattr(levels, "find_spec", lambda name: name != lacks)
    monkeypatch.setattr("vecparity.sandbox.landlock.is_supported", lambda: True)
    assert said in str(levels.why_not.__wrapped__(level))


def test_namespaces_that_cannot_be_made_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "shutil", SimpleNamespace(which=lambda name: name))
    monkeypatch.setattr(levels, "_BWRAP", ("sh", "-c", "(echo not; echo permitted) >&2; false"))
    assert levels.why_not.__wrapped__("bwrap") == "cannot create namespaces: not permitted"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert levels.why_not.__wrapped__("limits") == "needs Linux, got darwin"
    assert levels.why_not.__wrapped__("none") is None


def test_a_level_that_cannot_be_tried_in_time_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "_TRY_SECONDS", 0.1)
    monkeypatch.setattr(levels, "_BWRAP", ("sh", "-c", "sleep 100"))
    monkeypatch.setattr(levels, "shutil", SimpleNamespace(which=lambda name: name))
    assert levels.why_not.__wrapped__("bwrap") == "cannot create namespaces: sh did not finish within 0.1 s"
    monkeypatch.setattr(levels, "_BWRAP", ("/nowhere/bwrap",))
    assert "No such file" in str(levels.why_not.__wrapped__("bwrap"))


def test_little_of_the_environment_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "hidden")
    assert "API_TOKEN" not in levels.environment(None, needs_cuda=False)


@pytest.mark.parametrize(("needs_cuda", "seen"), [(False, ""), (True, "0")])
def test_a_sandbox_sees_a_gpu_only_to_draw_on_it(monkeypatch: pytest.MonkeyPatch, needs_cuda: bool, seen: str) -> None:
    environments: list[dict[str, str]] = []
    popen = lambda command, *, env, **how: environments.append(env)  # noqa: E731
    monkeypatch.setattr(start, "subprocess", SimpleNamespace(Popen=popen, DEVNULL=subprocess.DEVNULL))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    start.start("none", Limits(), sys.stderr.fileno(), needs_cuda=needs_cuda).control.close()
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == [seen]


def test_nobody_is_blamed_for_threads_that_the_environment_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1000")
    monkeypatch.setenv("MKL_NUM_THREADS", "1,2")
    made = levels.environment(None, needs_cuda=False)
    assert made["OMP_NUM_THREADS"] == str(os.cpu_count())
    assert made["MKL_NUM_THREADS"] == "1,2"


def test_a_new_root_hides_nothing_that_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, free, linked = tmp_path / "taken", tmp_path / "free", tmp_path / "linked"
    (taken / "venv").mkdir(parents=True)
    free.mkdir()
    linked.symlink_to(taken)
    monkeypatch.setattr(levels, "directories", lambda: (str(taken / "venv"),))
    monkeypatch.setattr(levels, "_UNNEEDED", (str(tmp_path / "missing"), str(linked), str(taken), str(free)))
    assert levels._mount_point() == str(free)
    free.rmdir()
    assert levels._mount_point() is None


# --- the log ---


def test_what_has_left_the_pipe_is_among_the_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    read, has_left = os.read, threading.Event()

    def slowly(end: int, most: int) -> bytes:
        part = read(end, most)
        has_left.set()
        time.sleep(0.2)
        return part

    with StrategyLog() as log:
        monkeypatch.setattr("vecparity.sandbox.log.os.read", slowly)
        os.write(log.write_end, b"last\n")
        has_left.wait()
        words = log.last_words()
        monkeypatch.undo()
    assert words == "last"


def test_the_log_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecparity.sandbox.log._MOST_BYTES", 1 << 18)
    path = tmp_path / "log"
    with StrategyLog(path) as log:
        for i in range(100):
            os.write(log.write_end, f"{i}\x1b[2J\n".encode() * 2000)
        words = log.last_words()
    assert words.splitlines() == ["99\ufffd[2J"] * 20
    assert 1 << 18 <= path.stat().st_size < (1 << 18) + (1 << 16)


def test_a_log_closes_beside_a_writer_without_end() -> None:
    with ExitStack() as beyond:
        with StrategyLog() as log:
            writer = beyond.enter_context(Child(["yes"], stdout=log.write_end))
            beyond.callback(writer.kill)
            # Another reader, of the same bytes.
            reader = os.open(f"/proc/{writer.pid}/fd/1", os.O_RDONLY | os.O_NONBLOCK)
            beyond.callback(os.close, reader)
            time.sleep(0.1)
            with suppress(BlockingIOError):  # it has just been emptied
                os.read(reader, 1 << 16)
        assert writer.poll() is None or writer.returncode == -signal.SIGPIPE


def test_a_log_that_is_withheld_still_goes_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with StrategyLog(path) as log:
        os.write(log.write_end, b"before\n")
        assert log.last_words() == "before"
        log.withhold()
        os.write(log.write_end, b"secret 1 2 3\n")
        assert log.last_words() == ""
        with pytest.raises(StrategyFailedError) as raised, log.noted("mine"):
            raise StrategyFailedError("failed")
        assert not hasattr(raised.value, "__notes__")
    assert path.read_text() == "before\nsecret 1 2 3\n"


def test_a_log_has_notes_of_the_evaluators_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vecparity.sandbox.log._MOST_BYTES", 10)
    path = tmp_path / "log"
    with StrategyLog(path) as log:
        log.note("begins")
        os.write(log.write_end, b"in the middle of a line")
        await_that(lambda: log.last_words() != "" and path.stat().st_size > len("vecparity: begins\n"))
        log.note("a\x1b[2J\nb")  # beyond the file's limit, too
        assert log.last_words() == "in the middle of a line"
        log.note("ends")
    assert path.read_text() == "vecparity: begins\nin the mid\nvecparity: a\\x1b[2J\\nb\nvecparity: ends\n"
    with StrategyLog() as log:
        log.note("nowhere")
        assert log.last_words() == ""


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="strategy-log must be a file that can be written"):
        StrategyLog(tmp_path)


# --- sandboxes ---


@pytest.fixture(scope="module")
def sandboxes() -> Iterator[Any]:
    """A sandbox for each level, whose strategy can be another for each call."""
    made: dict[Level, OwnSandbox] = {}
    with StrategyLog() as log:

        def sandbox(level: Level, strategy: Strategy) -> OwnSandbox:
            if problem := levels.why_not(level):
                pytest.skip(f"{level} {problem}")
            if level not in made:
                made[level] = OwnSandbox(strategy, level, Limits(), log, CPU)
            made[level].strategy = strategy
            return made[level]

        yield sandbox
        for opened in made.values():
            opened.__exit__(None, None, None)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", bundled())
def test_contained_strategies_answer_as_in_process(sandboxes: Any, level: Level, name: str) -> None:
    config = TaskConfig(n_features=65, hidden_width=7, max_train_examples=20_001)
    chosen = load(name)
    sandbox, loaded = sandboxes(level, chosen), interface.load(chosen)
    ours, theirs = sandbox.initialise(config, [1, 2]), loaded.initialise(config, [1, 2])
    for (params, optimizer), (expected_params, expected_optimizer) in zip(ours, theirs, strict=True):
        assert params.numpy().tobytes() == expected_params.numpy().tobytes()
        assert optimizer == expected_optimizer
    secret = (0, 3, 5, 8, 31, 40, 63, 64)
    made, expected = sandbox.training_set(config, secret, 9), loaded.training_set(config, secret, 9)
    assert torch.equal(made.bits, expected.bits)
    assert torch.equal(made.labels, expected.labels)


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (
            "def make_dataset(s, c, d): return 3",
            InvalidStrategyError,
            r"mine.py:3: make_dataset: must return .* got int",
        ),
        (
            "def make_dataset(s, c, d): return 1 / 0",
            StrategyFailedError,
            "mine.py:3: make_dataset raised ZeroDivisionError",
        ),
        ("", InvalidStrategyError, "got no make_dataset"),
        ("make_dataset = (", InvalidStrategyError, "mine.py:3: does not load: SyntaxError"),
        ("\0", InvalidStrategyError, "does not load: "),
        ("import os\ndef make_dataset(s, c, d): os._exit(7)", StrategyFailedError, r"exit status 7\) instead"),
        (
            "def make_dataset(s, c, d): raise MemoryError",
            StrategyFailedError,
            r"memory over the limit of .* GiB \(raise it with --strategy-memory\)",
        ),
        (
            "def make_dataset(s, c, d): raise OSError(28, '')",
            StrategyFailedError,
            r"files over the limit of .* MiB \(raise it with --strategy-file-size\)",
        ),
        (
            "def make_dataset(s, c, d): raise BlockingIOError(11, '')",
            StrategyFailedError,
            r"over the limit of 64 processes \(raise it with --strategy-processes\)",
        ),
    ],
)
def test_what_is_refused_in_a_worker_is_an_error_here(
    sandboxes: Any, body: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        sandboxes("none", written(GOOD + body)).training_set(CONFIG, (1, 2, 3), 1)
    assert len(sandboxes("none", BUNDLED).initialise(CONFIG, [1, 2])) == 2


WEAKEST: Level = "limits"


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "_START", "raise SystemExit('no server today')")
    said = r"did not start \(perhaps --containment limits does\): no server today"
    with (
        StrategyLog() as log,
        OwnSandbox(BUNDLED, WEAKEST, Limits(), log, CPU) as sandbox,
        pytest.raises(MachineError, match=said),
    ):
        sandbox.training_set(CONFIG, (1, 2, 3), 1)
    assert sandbox._started.directories() == []


@pytest.mark.slow
def test_servers_started_ahead_are_taken_by_who_wants_such_ones_and_else_ended() -> None:
    with Ahead(WEAKEST, Limits(), 2, needs_cuda=False) as ahead:
        left, taken = list(ahead._servers)
        with StrategyLog() as log, OwnSandbox(BUNDLED, WEAKEST, Limits(), log, CPU) as sandbox:
            assert sandbox._started is taken
            assert len(sandbox.initialise(CONFIG, [1])) == 1
        others = Limits(strategy_processes=3)
        with StrategyLog() as log, OwnSandbox(BUNDLED, WEAKEST, others, log, CPU) as sandbox:
            assert sandbox._started is not left
    for server in (left, taken):
        assert server.process.returncode is not None
        assert server.directories() == []
    with StrategyLog() as log, OwnSandbox(BUNDLED, WEAKEST, Limits(), log, CPU) as sandbox:
        assert sandbox._started not in (left, taken)


def test_what_is_printed_in_a_server_started_ahead_is_logged() -> None:
    talks = written("print('a word')\n" + GOOD + "def make_dataset(s, c, d): pass\n")
    with (
        Ahead(WEAKEST, Limits(), 1, needs_cuda=False),
        StrategyLog() as log,
        OwnSandbox(talks, WEAKEST, Limits(), log, CPU) as sandbox,
    ):
        sandbox.initialise(CONFIG, [1])
        assert log.last_words() == "a word"


def test_torch_is_not_loaded_before_servers_are_started() -> None:
    code = "import sys, vecparity.eval; assert 'torch' not in sys.modules; import vecparity; vecparity.evaluate"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' in sys.modules"], check=True)


def test_a_command_that_cannot_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "command", lambda *arguments, **options: ["/nowhere/python"])
    with StrategyLog() as log, pytest.raises(MachineError, match=r"limits containment could not be started: .*nowhere"):
        OwnSandbox(BUNDLED, WEAKEST, Limits(), log, CPU)


def test_a_server_that_is_killed_while_it_waits() -> None:
    with StrategyLog() as log, OwnSandbox(BUNDLED, WEAKEST, Limits(), log, CPU) as sandbox:
        sandbox.initialise(CONFIG, [1])
        os.kill(sandbox._process.pid, signal.SIGKILL)
        with pytest.raises(StrategyFailedError, match="the sandbox server died while it ran this strategy"):
            sandbox.training_set(CONFIG, (1, 2, 3), 1)


@pytest.mark.parametrize("has_ended", [False, True])
def test_a_server_sees_that_its_evaluator_ended_while_it_started(has_ended: bool) -> None:
    ours, theirs = socket.socketpair()
    code = "from vecparity.sandbox.privileges import end_with_parent; import sys; end_with_parent(int(sys.argv[1]))"
    command = [sys.executable, "-c", f"{code}; print('goes on')", str(theirs.fileno())]
    with ours, theirs:
        if has_ended:
            ours.close()
        done = subprocess.run(command, pass_fds=[theirs.fileno()], capture_output=True, text=True, check=True)
    assert done.stdout == ("" if has_ended else "goes on\n")


ENDLESS = written(
    f"{GOOD}import time, os\n"
    "def make_dataset(s, c, d):\n    os.fork()\n    print('asleep', flush=True)\n    time.sleep(1000)\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("kills_server", [False, True])
def test_a_sandbox_that_is_killed_during_a_call(kills_server: bool) -> None:
    with StrategyLog() as log, OwnSandbox(ENDLESS, WEAKEST, Limits(), log, CPU) as sandbox:
        started: list[int] = []

        def kill() -> None:
            def is_asleep() -> bool:
                started[:] = started_by(sandbox._process.pid)
                return len(started) == 2

            await_that(is_asleep)
            if kills_server:
                os.kill(sandbox._process.pid, signal.SIGKILL)
            else:
                sandbox.kill()

        killer = threading.Thread(target=kill)
        killer.start()
        with pytest.raises(StrategyFailedError):
            sandbox.training_set(CONFIG, (1, 2, 3), 1)
        killer.join()
        if kills_server:  # what it can no longer end is still in its worker's group
            os.killpg(started[0], signal.SIGKILL)
        assert not kills_server or len(sandbox._started.directories()) == 1
    await_end(started)
    assert sandbox._started.directories() == []


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0.0, 0.05, 0.5, 2.0, "asked"])
@pytest.mark.parametrize("level", LEVELS)
def test_an_evaluator_that_is_killed_leaves_nothing(tmp_path: Path, level: Level, moment: float | str) -> None:
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    said, temporary = tmp_path / "said", tmp_path / "tmp"
    temporary.mkdir()
    code = (
        "import sys, tempfile, torch; sys.path.append('..'); from test_containment import *\n"
        "tempfile.gettempdir()  # looks whether it can write there, and an end in between leaves its file\n"
        f"log = StrategyLog(Path({str(said)!r})); print('begun', flush=True)\n"
        f"sandbox = OwnSandbox(ENDLESS, {level!r}, Limits(), log, CPU)\n"
        "sandbox.training_set(CONFIG, (1, 2, 3), 1)\n"
    )
    with Child(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parent,
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": str(temporary)},
    ) as evaluator:
        assert evaluator.stdout
        assert evaluator.stdout.readline() == b"begun\n"
        if isinstance(moment, float):
            time.sleep(moment)
        else:
            await_that(lambda: said.read_text().count("asleep") == 2)
        left = started_by(evaluator.pid)
        evaluator.kill()
    await_end(left)  # a server that is still loading torch notices then
    await_that(lambda: os.listdir(temporary) == [])  # one may have started between the list and the kill


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere orphans go to the machine's first process")
@pytest.mark.parametrize("level", LEVELS)
def test_a_process_that_was_left_and_has_ended_does_not_count(level: Level) -> None:
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    body = (
        "import os, time\n"
        "def leave():\n"
        "    told, tells = os.pipe()\n"
        "    if (child := os.fork()) == 0:\n"
        "        if os.fork() == 0:\n"
        "            os.write(tells, b'%d' % os.getpid())\n"
        "        os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "    return int(os.read(told, 9))\n"
        "def is_there(pid):\n"
        "    try:\n"
        "        os.kill(pid, 0)\n"
        "    except ProcessLookupError:\n"
        "        return False\n"
        "    return True\n"
        "def make_dataset(s, c, d):\n"
        "    for _ in range(20):\n"
        "        left = leave()\n"
        "        while is_there(left):\n"
        "            time.sleep(0.001)\n"
        "    return torch.ones(1, c.n_features), torch.ones(1)\n"
    )
    limits = Limits(strategy_processes=6, strategy_seconds=60)
    with StrategyLog() as log, OwnSandbox(written(GOOD + body), level, limits, log, CPU) as sandbox:
        assert sandbox.training_set(CONFIG, (1, 2, 3), 1).num_examples == 1


@pytest.mark.parametrize("level", LEVELS)
def test_a_call_leaves_no_file_for_the_next(sandboxes: Any, level: Level) -> None:
    body = (
        "import os, shutil, tempfile, torch\nfrom pathlib import Path\n"
        "def make_dataset(s, c, d):\n"
        "    home = Path(os.environ['HOME'])\n"
        "    assert home == Path.cwd() == Path(tempfile.gettempdir()) == Path(os.environ['TMPDIR'])\n"
        "    assert os.listdir(home) == ['strategy'], os.listdir(home)\n"
        "    (home / 'kept').write_text('x')\n"
        "    (home.parent / 'vecparity-kept').write_text('x') if home.parent == Path('/scratch') else None\n"
        "    assert home.parent != Path('/scratch') or len(os.listdir(home.parent)) == 2\n"
        "    return torch.ones(2, c.n_features), torch.ones(2)\n"
    )
    for _ in range(2):
        made = sandboxes(level, written(GOOD + body)).training_set(CONFIG, (1, 2, 3), 1)
        assert made.num_examples == 2
    assert sandboxes(level, BUNDLED)._started.directories() == []


OWN_SOURCE = """
import inspect
import io
import os
import traceback
import warnings
from pathlib import Path

import torch


@torch.jit.script
def parity(x: torch.Tensor) -> torch.Tensor:
    return x.sum(dim=1) % 2


class Widget:
    pass


def fails():
    raise ValueError("é")


def init_model(model, config): pass
def get_optimizer_config(config): return dict(lr=1, wd=0, beta1=.5, beta2=.5)


def make_dataset(secret, config, seed):
    assert Path(__file__).is_absolute()
    assert Path(__file__).read_bytes() == SOURCE.encode()
    assert Path(__file__).name == NAME
    assert os.listdir(Path(__file__).parent) == [NAME]
    assert inspect.getsource(fails).startswith("def fails")
    assert inspect.getsource(Widget).startswith("class Widget")
    assert inspect.getsourcefile(fails) == PATH
    try:
        fails()
    except ValueError:
        assert 'raise ValueError("é")' in traceback.format_exc()
        assert PATH in traceback.format_exc()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.warn("careful")
    assert caught[0].filename == PATH
    Path(__file__).write_text("something else")
    x = torch.ones(4, config.n_features)
    return x, parity(x[:, list(secret)])


SOURCE = Path(__file__).read_text()
"""


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("where", ["absolute", "relative", "elsewhere"])
def test_a_strategy_has_its_own_source(sandboxes: Any, level: Level, where: str, tmp_path: Path) -> None:
    path = {"absolute": f"{tmp_path}/mine é.py", "relative": "mine é.py", "elsewhere": "/usr/lib/mine é.py"}[where]
    own = written(OWN_SOURCE + f"NAME = 'mine é.py'\nPATH = {path!r}\n")
    if where == "absolute":
        Path(path).write_bytes(b"changed since it was read")
        (tmp_path / "beside.txt").write_text("not part of it")
    for _ in range(2):
        made = sandboxes(level, replace(own, path=path)).training_set(CONFIG, (1, 2, 3), 1)
        assert made.labels.tolist() == [1] * 4
    if where == "absolute":
        assert Path(path).read_bytes() == b"changed since it was read"
    broken = replace(written(GOOD + "def make_dataset(s, c, d): 1 / 0"), path=path)
    with pytest.raises(StrategyFailedError, match=f"^{path}:3: make_dataset raised ZeroDivisionError"):
        sandboxes(level, broken).training_set(CONFIG, (1, 2, 3), 1)


@pytest.mark.parametrize("level", LEVELS)
def test_a_worker_has_as_many_threads_as_there_are_cpus_at_most(
    sandboxes: Any, level: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 100_000)
    body = "import torch\ndef make_dataset(s, c, d):\n    n = torch.get_num_threads()\n"
    body += "    return torch.ones(n, c.n_features), torch.ones(n)\n"
    sandbox = sandboxes(level, written(GOOD + body))
    with StrategyLog() as log, pytest.MonkeyPatch.context() as patched:
        patched.setattr("vecparity.sandbox.fork_server.take_or_start", lambda *them, **more: sandbox._started)
        monkeypatch.setattr(sandbox, "_num_threads", OwnSandbox(BUNDLED, level, Limits(), log, CPU)._num_threads)
    assert sandbox.training_set(CONFIG, (1, 2, 3), 1).num_examples == os.cpu_count()


@pytest.mark.slow
@pytest.mark.parametrize("level", ["bwrap", "landlock"])
@pytest.mark.parametrize("place", [".", "/dev/shm"])
def test_files_in_memory_are_memory(level: Level, place: str) -> None:
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    body = "import time\ndef make_dataset(s, c, d):\n    for i in range(36):\n"
    body += f"        open(f'{place}/{{i}}', 'wb').write(bytes(64 << 20))\n    time.sleep(1000)\n"
    limits = Limits(strategy_memory=2, strategy_file_size=4096)
    said = r"used 2(\.\d+)? GiB, over the limit of 2 GiB \(raise it with --strategy-memory\)"
    with (
        StrategyLog() as log,
        OwnSandbox(written(GOOD + body), level, limits, log, CPU) as sandbox,
        pytest.raises(StrategyFailedError, match=said),
    ):
        sandbox.training_set(CONFIG, (1, 2, 3), 1)


@pytest.mark.parametrize("level", ["limits", "none"])
def test_a_worker_that_cannot_be_started_is_no_strategys_fault(
    level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    (tmp_path / "gone").mkdir()
    with StrategyLog() as log, OwnSandbox(BUNDLED, level, Limits(), log, CPU) as sandbox:
        sandbox.initialise(CONFIG, [1])
        (tmp_path / "gone").rmdir()
        with pytest.raises(MachineError, match="the sandbox cannot start a worker: a scratch directory cannot be made"):
            sandbox.training_set(CONFIG, (1, 2, 3), 1)


def test_capabilities_are_given_up_and_others_cannot_be_signalled() -> None:
    code = (
        "import os; from vecparity.sandbox import privileges\n"
        "privileges.renounce(); enclosed = privileges.enclose()\n"
        "print(enclosed, privileges.cannot_signal(os.getppid()), privileges.cannot_signal(os.getpid()))\n"
        "print(open('/proc/self/status').read())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    enclosed, *others = printed.splitlines()[0].split()
    if enclosed == "False":
        pytest.skip("needs a kernel with Landlock's ABI 6")
    assert others == ["True", "False"]
    assert "CapEff:\t0000000000000000" in printed
    assert "NoNewPrivs:\t1" in printed
    assert privileges.cannot_signal(os.getpid()) is False
