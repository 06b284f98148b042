"""Checks the shapes and types of every annotated internal function while the tests run."""

import atexit
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Threads that share an operation sleep until there is another: on a machine with other work to do, spinning meanwhile
# takes several times as long as all that is tested. Read when torch is loaded, by the processes that tests start, too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import repeats
import torch
from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# `task.config`, `evaluation`, and the containment's levels and limits are the border: they check what they are given
# themselves, with errors of their own.
_BEHIND_THE_BORDER = [
    "training.adamw",
    "sandbox.conversation",
    "sandbox.log",
    "sandbox.memory",
    "sandbox.protocol",
    "sandbox.processes",
    "sandbox.fork_server",
    "sandbox.pool",
    "task.dataset_stats",
    "task.dataset",
    "training.engines.cuda",
    "training.engines.interface",
    "training.engines.native",
    "training.engines.steps",
    "training.engines.triton",
    "training.engines.vmap",
    "training.ensemble",
    "strategy.validation",
    "strategy.interface",
    "audits.finding",
    "audits.findings",
    "audits.cross_pairing",
    "audits.foresight",
    "training.checkpoints.checkpoint_file",
    "machine",
    "kernels.cpu.native",
    "task.network",
    "training.orderings",
    "training.curve",
    "training.progress",
    "training.reference",
    "task.rows",
    "training.runs",
    "training.schedule",
    "training.checkpoints.snapshot",
    "progress.table",
    "training.loop",
    "analysis.by_secret",
    "analysis.difference",
    "analysis.intervals",
    "analysis.verdict",
    "report.conclusions",
    "report.curves",
    "report.embedded",
    "report.feature_tables",
    "report.page",
    "history.reproduction",
    "report.series",
    "report.sources",
    "report.strategy_results",
    "report.words",
    "inspection.speed",
    "inspection.probe",
    "inspection.dataset_facts",
    "inspection.network_facts",
]
install_import_hook([f"vecparity.{module}" for module in _BEHIND_THE_BORDER], "beartype.beartype")

from vecparity import Evaluation, evaluate  # noqa: E402
from vecparity.cli.commands import evaluate as evaluate_command  # noqa: E402
from vecparity.cli.main import main  # noqa: E402
from vecparity.evaluation import pipeline, preparation  # noqa: E402
from vecparity.inspection import checking  # noqa: E402
from vecparity.kernels.cpu import native  # noqa: E402
from vecparity.sandbox import levels  # noqa: E402
from vecparity.sandbox.log import StrategyLog  # noqa: E402
from vecparity.sandbox.pool import Pool, Sandbox  # noqa: E402
from vecparity.strategy.parameters import Arguments  # noqa: E402
from vecparity.strategy.source import Strategy, bundled, load  # noqa: E402

# Triton decides when it is first imported whether kernels are compiled or interpreted.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

# What is first used in a test is imported in it, and the machine may be busy: time is no property to be tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# Tables are as wide, and as colourful, as where nothing is known of a terminal.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
    os.environ.pop(name, None)

# What evaluations record goes nowhere that a person looks.
for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
    os.environ[name] = tempfile.mkdtemp(prefix="vecparity-tests-")
    atexit.register(shutil.rmtree, os.environ[name], ignore_errors=True)

# Shells have what they start in the background ignore SIGINT, which tests send to this process and to those they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Files that take long come first, so that none is left for one process in the end.
_LONGEST = (
    *("test_golden", "test_adversarial", "test_containment", "test_guide", "test_bench_cuda", "test_resume"),
    *("test_cuda_kernel", "test_odd_surroundings", "test_interruption", "test_throughput", "test_standard_streams"),
    *("test_plan", "test_recorder", "test_fuzzing", "test_vmap", "test_cuda_features", "test_cross_pairing"),
)
# Ten times what the slowest takes on two cores; pyproject.toml has that of the others.
SLOW_SECONDS = 900
GOLDEN = Path(__file__).parent / "golden"
SHORT: dict[str, Any] = {
    "num_hidden_secrets": 2,
    "num_orderings": 2,
    "max_steps": 60,
    "log_interval": 20,
    "hidden_width": 32,
    "test_set_size": 100,
}
SHORT_FLAGS = (
    "--num-hidden-secrets 2 --num-orderings 2 --max-steps 40 --log-interval 20 --hidden-width 16 --test-set-size 64"
)
STRATEGIES = Path(__file__).parent / "strategies"
ADVERSARIAL = Path(__file__).parent / "adversarial"
CPU = torch.device("cpu")

RunEval = Callable[[str], tuple[int, list[str], str]]
RunCommand = Callable[..., tuple[int, str, str]]


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


@pytest.fixture
def run_eval(capsys: pytest.CaptureFixture[str]) -> RunEval:
    """Runs `vecparity eval` in this process; returns its status, lines on standard output, and standard error."""

    def run(arguments: str) -> tuple[int, list[str], str]:
        status = evaluate_command.main(arguments.split())
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err

    return run


@pytest.fixture
def run_command(capsys: pytest.CaptureFixture[str]) -> RunCommand:
    """Runs `vecparity` in this process; returns its status, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def without_native(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the package look as where its extension was not built."""
    monkeypatch.setattr(native, "_native", None)


class Servers:
    """Fork servers that outlive an evaluation and serve one strategy after the other, as they never run one themselves.

    Starting one takes seconds, as it loads torch.

    Attributes:
        serves_all: Whether strategies that are not bundled, and may do anything, get no server of their own.
    """

    def __init__(self) -> None:
        self.serves_all = False
        self._bundled = {load(name).sha256 for name in bundled()}
        self._log = StrategyLog()
        self._pools: dict[Any, Pool] = {}

    def sandbox(self, pool: Pool, strategy: Strategy, arguments: Arguments, *, again: bool = False) -> Sandbox:
        """Stands where a sandbox of an evaluation's own pool is made; what it prints goes to another log than that."""
        if self.serves_all or strategy.sha256 in self._bundled:
            level, limits, _, device, num_threads = pool._kind
            key = level, limits, device, num_threads
            pool = self._pools.setdefault(key, Pool(level, limits, self._log, device, num_threads))
        return Sandbox(pool, strategy, arguments, again=again)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._log.__exit__(None, None, None)


@pytest.fixture(scope="session", autouse=True)
def servers() -> Iterator[Servers]:
    """Lets evaluations in this process share the fork servers of bundled strategies."""
    servers = Servers()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(preparation, "Sandbox", servers.sandbox)
        patched.setattr(pipeline, "Sandbox", servers.sandbox)
        patched.setattr(checking, "Sandbox", servers.sandbox)
        yield servers
    servers.close()


@pytest.fixture
def served(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the test's own strategies share them, too: such as print nothing and reach no limit."""
    monkeypatch.setattr(servers, "serves_all", True)


@pytest.fixture(scope="session")
def can_seal() -> None:
    """Skips tests of sealed evaluations where a strategy could read the key."""
    problems = [levels.why_not(level) for level in levels.HIDES_FILES]
    if all(problems):
        pytest.skip(f"a sealed evaluation needs {' or '.join(levels.HIDES_FILES)}: {'; '.join(map(str, problems))}")


@pytest.fixture
def none_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has no second worker begin a job, and ask for its training sets again, because a busy machine makes one late."""
    monkeypatch.setattr("vecparity.cluster.dispatch._OVERDUE_SECONDS", float("inf"))


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """Four short runs of a bundled strategy."""
    made: Evaluation = evaluate("isolated_cube", **SHORT)
    return made


@pytest.fixture(scope="session")
def diverged(servers: Servers) -> Evaluation:
    """Four runs, of which one diverges."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(servers, "serves_all", True)
        return evaluate(STRATEGIES / "diverges.py", smoke=True, max_steps=30)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share all tests among processes, if pytest-xdist is there: starting those takes longer than a few files do."""
    if (
        "PYTEST_XDIST_WORKER" not in os.environ  # one of those processes, or started by one
        and config.pluginmanager.has_plugin("xdist")
        and config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and config.option.numprocesses is None
        and not (config.option.collectonly or config.option.usepdb or config.option.keyword)
        and not torch.cuda.is_available()  # of which there is one
    ):
        config.option.numprocesses = min(4, os.cpu_count() or 1)
        config.option.dist = "loadfile"  # tests of a file share fixtures
        config.option.loadscopereorder = False  # in the order of `_LONGEST`


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.register(repeats)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else len(_LONGEST))
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
        if item.get_closest_marker("slow") and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))
