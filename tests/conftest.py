"""Shapes and types of every annotated function behind the border are checked while the tests run."""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from jaxtyping import install_import_hook

# `spec`, `evaluation`, and the containment's levels and limits are the border: they check what they are given
# themselves, with errors of their own.
_BEHIND_THE_BORDER = [
    "adamw",
    "containment.conversation",
    "containment.log",
    "containment.memory",
    "containment.messages",
    "containment.processes",
    "containment.sandbox",
    "composition",
    "data",
    "engines",
    "ensemble",
    "acceptance",
    "interface",
    "audit",
    "crossing",
    "foresight",
    "checkpoint_file",
    "machine",
    "native",
    "network",
    "orderings",
    "progress",
    "reference",
    "rows",
    "runs",
    "schedule",
    "snapshot",
    "headway",
    "train",
    "workbench.by_secret",
    "workbench.difference",
    "workbench.intervals",
    "workbench.verdict",
    "workbench.report.curves",
    "workbench.report.embedded",
    "workbench.report.feature_tables",
    "workbench.report.page",
    "workbench.reproduction",
    "workbench.report.series",
    "workbench.report.words",
    "workbench.speed",
    "workbench.asking",
    "workbench.dataset_facts",
    "workbench.network_facts",
]
install_import_hook([f"vecparity.{module}" for module in _BEHIND_THE_BORDER], "beartype.beartype")

from vecparity import Evaluation, evaluate, preparation  # noqa: E402
from vecparity.containment.log import StrategyLog  # noqa: E402
from vecparity.containment.sandbox import Sandbox  # noqa: E402
from vecparity.strategy import Strategy, bundled, load  # noqa: E402
from vecparity.workbench import checking  # noqa: E402

# Triton decides when it is first imported whether kernels are compiled or interpreted.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

# What is first used in a test is imported in it, and the machine may be busy: time is no property to be tested.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# What evaluations record goes nowhere that a person looks.
os.environ["XDG_DATA_HOME"] = tempfile.mkdtemp(prefix="vecparity-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_DATA_HOME"], ignore_errors=True)

GOLDEN = Path(__file__).parent / "golden"
SHORT: dict[str, Any] = {
    "num_hidden_secrets": 2,
    "num_orderings": 2,
    "max_steps": 60,
    "log_interval": 20,
    "hidden_width": 32,
    "test_set_size": 100,
}
CPU = torch.device("cpu")


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


class SharedSandbox(Sandbox):
    """A sandbox that outlives an evaluation: bundled strategies leave nothing behind, and starting one takes long."""

    def __exit__(self, *error: object) -> None:
        pass

    def kill(self) -> None:
        pass

    def close(self) -> None:
        super().kill()
        super().__exit__(None, None, None)


@pytest.fixture(scope="session", autouse=True)
def shared_sandboxes() -> Iterator[None]:
    """Lets evaluations in this process share the sandboxes of bundled strategies."""
    ours = {load(name).sha256 for name in bundled()}
    made: dict[Any, SharedSandbox] = {}
    with StrategyLog() as log:

        def shared(strategy: Strategy, level: Any, limits: Any, its_log: StrategyLog, device: torch.device) -> Sandbox:
            if strategy.sha256 not in ours:
                return Sandbox(strategy, level, limits, its_log, device)
            key = strategy.sha256, level, limits, device, torch.get_num_threads()
            if key not in made:
                made[key] = SharedSandbox(strategy, level, limits, log, device)
            return made[key]

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(preparation, "Sandbox", shared)
            patched.setattr(checking, "Sandbox", shared)
            yield
        for sandbox in made.values():
            sandbox.close()


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """Four short runs of a bundled strategy."""
    return evaluate("isolated_cube", **SHORT)


@pytest.fixture(scope="session")
def diverged() -> Evaluation:
    """Four runs, of which one diverges."""
    return evaluate(Path(__file__).parent / "strategies" / "diverges.py", smoke=True, max_steps=30)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
