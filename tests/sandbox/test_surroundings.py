"""Calls repeated in other surroundings: only answers that depend on the surroundings differ."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tasks import make_task, prepare

from vecparity.audits.finding import AuditFinding
from vecparity.sandbox import levels
from vecparity.strategy.source import Strategy, bundled, load
from vecparity.task.config import TaskConfig

# Numbers that a strategy may be seeded by, and that are others in the next evaluation.
KINDS = {
    "a string's hash": "hash('parity')",
    "the order of a set": "zlib.crc32(''.join(set('abcdefghijklmnopqrstuvwxyz')).encode())",
    "an address": "id(object())",
    "the worker's number": "os.getpid()",
    "numpy's global generator": "np.random.randint(2**31)",
    "Python's, before it is seeded": "DRAWN",
    "seconds": "int(time.time())",
    "minutes": "int(time.time()) // 60",
    "minutes in nanoseconds": "time.time_ns() // (60 * 10**9)",
    "minutes of uptime": "int(time.monotonic()) // 60",
    "minutes by another clock": "int(time.perf_counter()) // 60",
    "minutes by a numbered clock": "int(time.clock_gettime(time.CLOCK_MONOTONIC)) // 60",
    "minutes in nanoseconds by a numbered clock": "time.clock_gettime_ns(time.CLOCK_REALTIME) // (60 * 10**9)",
    "the minute": "datetime.datetime.now().minute",
    "the hour": "datetime.datetime.now(datetime.UTC).hour",
    "the hour today": "datetime.datetime.today().hour",
    "the hour elsewhere": "datetime.datetime.utcnow().hour",
    "the day": "datetime.date.today().day",
    "the day of the week": "time.localtime().tm_wday",
    "the year": "time.gmtime().tm_year",
    "the month": "int(time.strftime('%m'))",
    "the date in words": "zlib.crc32(time.ctime()[:10].encode())",
    "the date in words, by another way": "zlib.crc32(time.asctime()[:10].encode())",
}
STRATEGY = """
import datetime, os, pathlib, random, time, warnings, zlib
import numpy as np

warnings.simplefilter("ignore")
DRAWN = random.getrandbits(30)

NUMBERS = [{numbers}]

def draw(config, *shape):
    generator = torch.Generator().manual_seed(NUMBERS[config.n_features - {fewest}]() % 2**32)
    return torch.randint(0, 2, shape, generator=generator).float()

def init_model(model, config):
    model[0].weight.data = draw(config, config.hidden_width, config.n_features)

def make_dataset(secret, config, seed):
    x = draw(config, 64, config.n_features)
    return x, parity_labels(x, secret)

def get_optimizer_config(config):
    return dict(lr=1e-3, wd=0, beta1=0.9, beta2=0.9)
"""
HONEST = """
import datetime, time

def init_model(model, config):
    began, day = time.monotonic(), datetime.datetime.now()
    a = torch.randn(700, 700)
    for _ in range(3):  # sums by several threads
        a = a @ a / a.norm()
    model[0].weight.data.normal_().mul_(a.std() + a.sum().abs())
    assert 0 <= time.monotonic() - began < 3600 and isinstance(day, datetime.datetime)
    print(day, time.strftime("%c"))

def make_dataset(secret, config, seed):
    x = (torch.randn(20_000, config.n_features).sort(dim=0).values.cumsum(0) > 0).float().roll(seed, 0)
    return x, parity_labels(x, secret)

def get_optimizer_config(config):
    return dict(lr=1e-3 * torch.rand(()).item() + 1e-6, wd=0, beta1=0.9, beta2=0.9)
"""
FEWEST = 10


def config_of(n_features: int) -> TaskConfig:
    return TaskConfig(
        n_features=n_features,
        secret_size=2,
        hidden_width=16,
        num_hidden_secrets=2,
        num_orderings=1,
        test_set_size=8,
        max_train_examples=20_000,
    )


def findings(chosen: Sequence[Strategy], configs: Sequence[TaskConfig]) -> list[list[AuditFinding]]:
    """Audits the repeatability of strategies; for each configuration one finding a strategy."""
    groups = [(config, [make_task(each, config, "report") for each in chosen]) for config in configs]
    audits = [prepared.audits for prepared in prepare(groups, levels.choose("auto"))]
    return [[audit.settled[0] for audit in each if audit] for each in audits]


def strategy_of_all_kinds(directory: Path) -> Strategy:
    path = directory / "kinds.py"
    numbers = ", ".join(f"lambda: {number}" for number in KINDS.values())
    path.write_text(STRATEGY.format(numbers=numbers, fewest=FEWEST))
    return load(path)


@pytest.fixture(scope="module")
def repeatability(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AuditFinding]:
    """Returns the findings for a strategy seeded by each kind of number, one configuration a kind, with two servers."""
    configs = [config_of(FEWEST + index) for index in range(len(KINDS))]
    found = findings([strategy_of_all_kinds(tmp_path_factory.mktemp("kinds"))], configs)
    return {kind: finding for kind, (finding,) in zip(KINDS, found, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_differs_in_the_next_evaluation_is_found(kind: str, repeatability: dict[str, AuditFinding]) -> None:
    aslr = Path("/proc/sys/kernel/randomize_va_space")
    if kind == "an address" and aslr.exists() and aslr.read_text().strip() == "0":
        pytest.skip("this machine gives all processes the same addresses")
    finding = repeatability[kind]
    assert finding.passed is False
    assert finding.figures["differing"] == 4, f"two networks and two datasets, got {finding.summary}"


@pytest.mark.slow
def test_each_servers_first_worker_has_another_number(tmp_path: Path) -> None:
    """In a namespace of processes it is a small one, and the same in every evaluation: but not in one without."""
    ((finding,),) = findings(
        [strategy_of_all_kinds(tmp_path)], [config_of(FEWEST + list(KINDS).index("the worker's number"))]
    )
    assert finding.figures["differing"] == 4, finding.summary


@pytest.mark.slow
def test_honest_strategies_find_the_surroundings_the_same(tmp_path: Path) -> None:
    path = tmp_path / "honest.py"
    path.write_text(HONEST)
    chosen = [load(path), *map(load, bundled())]
    (found,) = findings(chosen, [config_of(16)])
    assert {each.name: finding.summary for each, finding in zip(chosen, found, strict=True) if not finding.passed} == {}


def test_shifted_clocks_go_on() -> None:
    code = """
import datetime, pickle, time
from vecparity.sandbox import surroundings
taken = time.time, datetime.datetime
before, ns, now = time.time(), time.monotonic_ns(), datetime.datetime.now()
surroundings.shift_clocks()
shift = datetime.timedelta(days=400, hours=5, minutes=7, seconds=13)
for seconds in (time.time() - before, (time.monotonic_ns() - ns) / 1e9, time.time() - taken[0]()):
    assert abs(seconds - shift.total_seconds()) < 600, seconds
for later in (datetime.datetime.now(), datetime.datetime.today(), datetime.datetime.fromtimestamp(time.time())):
    assert datetime.timedelta() <= later - now - shift < datetime.timedelta(minutes=10), later
    assert isinstance(later, datetime.datetime) and isinstance(later, taken[1])
assert isinstance(now, datetime.datetime) and not isinstance(now.date(), datetime.datetime)
assert pickle.loads(pickle.dumps(later)) == later and repr(later).startswith("datetime.datetime(")
assert datetime.datetime.now(datetime.UTC).tzinfo is datetime.UTC
assert abs(datetime.datetime.now(datetime.UTC).timestamp() - time.time()) < 600
# What is given a time is not shifted.
assert time.gmtime(0).tm_year == time.gmtime(0.0).tm_year == 1970
assert time.strftime("%Y", time.gmtime(0)) == "1970" and time.asctime(time.gmtime(0)).endswith("1970")
assert datetime.datetime(1970, 1, 1) == datetime.datetime.strptime("1970", "%Y") == taken[1](1970, 1, 1)
began = time.process_time()
assert time.clock_gettime(time.CLOCK_PROCESS_CPUTIME_ID) - began < 600
"""
    # Of the package nothing is imported that would load torch: its modules have taken clocks from there, too.
    subprocess.run([sys.executable, "-c", code], check=True)
