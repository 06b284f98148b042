"""A notebook of a real Jupyter kernel: its cells define strategies, evaluate them contained, and are interrupted."""

import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from processes import await_that

FIRST = """
import math
import torch
from vecparity import Evaluator, Job, Strategy

SCALE = math.sqrt(4)

def patterns(secret, config):
    rows = (torch.arange(2 ** len(secret))[:, None] >> torch.arange(len(secret))) & 1
    x = torch.zeros(len(rows), config.n_features)
    x[:, list(secret)] = rows.float()
    return x.repeat_interleave(4, dim=0)
"""
SECOND = """
from vecparity import parity_labels
raised = "this statement is not part of the strategy"

def init_model(model, config):
    with torch.no_grad():
        model[0].weight.mul_(SCALE)

def make_dataset(secret, config, seed):
    x = patterns(secret, config)
    return x, parity_labels(x, secret)

def get_optimizer_config(config, *, lr=1e-2):
    return {"lr": lr, "wd": 0.3, "beta1": 0.9, "beta2": 0.95}

mine = Strategy.from_functions(
    init_model=init_model, make_dataset=make_dataset, get_optimizer_config=get_optimizer_config, name="mine"
)
settings = dict(max_steps=60, log_interval=20, hidden_width=32, test_set_size=100)
evaluator = Evaluator()
rates = (1e-2, 1e-3)
outcomes = list(evaluator.map(Job(mine, smoke=True, params={"lr": lr}, settings=settings) for lr in rates))
print(*(outcome.provenance.params["lr"] for outcome in outcomes), outcomes[0].provenance.origin)
print(outcomes[0].provenance.containment, b"this statement" in mine.source)
"""
ENDLESS = """
print("begun", flush=True)
longer = settings | dict(max_steps=10_000_000, early_stop_acc=2.0)
next(evaluator.map([Job(mine, smoke=True, settings=longer)]))
"""
AGAIN = """
(outcome,) = evaluator.map([Job(mine, smoke=True, params={"lr": 1e-3}, settings=settings)])
print(outcome.results == outcomes[1].results)
"""
HANGS = """
def make_dataset(secret, config, seed):
    import time
    time.sleep(1000)

print("begun", flush=True)
hangs = Strategy.from_functions(
    init_model=init_model, make_dataset=make_dataset, get_optimizer_config=get_optimizer_config, name="hangs"
)
next(evaluator.map([Job(hangs, smoke=True, settings=settings)]))
"""
CLOSE = "evaluator.close()"
PROGRESS = """
import vecparity
settings = dict(max_steps=20_000, log_interval=20, hidden_width=32, test_set_size=100, early_stop_acc=2.0)
vecparity.evaluate("isolated_cube", "all", smoke=True, **settings)
"""
QUIET = """
vecparity.evaluate("isolated_cube", progress=False, smoke=True, **settings | {"max_steps": 40})
"""
SWEEP = """
swept = vecparity.sweep("random_rows", {"hidden_width": [8, 16], "lr": [-1, 0.01]}, smoke=True, **settings)
swept
"""


class _Client(NotebookClient):
    """A client that counts the updates of what is displayed.

    Attributes:
        num_updates: Their number since the kernel started.
    """

    num_updates = 0

    def process_message(self, message: Any, cell: Any, index: int) -> Any:
        self.num_updates += message["msg_type"] == "update_display_data"
        return super().process_message(message, cell, index)


class Notebook:
    """Cells executed by one kernel."""

    def __init__(self) -> None:
        self._notebook = nbformat.v4.new_notebook()
        self._client = _Client(
            self._notebook, timeout=300, iopub_timeout=300, startup_timeout=300, kernel_name="python3"
        )
        self._kernel = self._client.setup_kernel()
        self._kernel.__enter__()

    def close(self) -> None:
        self._kernel.__exit__(None, None, None)

    def run(self, source: str, *, is_interrupted: bool = False) -> str:
        """Executes one more cell, and returns what it prints.

        Args:
            source: The cell's source.
            is_interrupted: Whether to do what the button does, a second after the cell has printed something.
        """
        cell = nbformat.v4.new_code_cell(source)
        self._notebook.cells.append(cell)
        if is_interrupted:
            threading.Thread(target=self._interrupt, args=[cell]).start()
        self._client.execute_cell(cell, len(self._notebook.cells) - 1)
        return "".join(output.get("text", "") for output in cell.outputs)

    @property
    def num_updates(self) -> int:
        """The number of times that something displayed was replaced."""
        return self._client.num_updates

    @property
    def outputs(self) -> list[Any]:
        """The outputs below the newest cell."""
        outputs: list[Any] = self._notebook.cells[-1].outputs
        return outputs

    def _interrupt(self, cell: Any) -> None:
        await_that(lambda: bool(cell.outputs))
        time.sleep(1.0)
        self._process.send_signal(signal.SIGINT)

    @property
    def _process(self) -> Any:
        manager: Any = self._client.km
        return manager.provisioner.process

    def processes(self) -> list[psutil.Process]:
        """Returns the processes that the kernel has started."""
        return psutil.Process(self._process.pid).children(recursive=True)


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    notebook = Notebook()
    yield notebook
    notebook.close()


@pytest.mark.slow
def test_cells_define_evaluate_and_are_interrupted(notebook: Notebook) -> None:
    notebook.run(FIRST)
    rates, contained = notebook.run(SECOND).splitlines()
    assert rates == "0.01 0.001 functions"
    assert contained.split()[1] == "False", "only what the functions use is the strategy's"
    for endless in (ENDLESS, HANGS):
        with pytest.raises(CellExecutionError, match="KeyboardInterrupt"):
            notebook.run(endless, is_interrupted=True)
        assert notebook.run(AGAIN) == "True\n", "the kernel, the evaluator and its answers are as before"
    notebook.run(CLOSE)
    await_that(lambda: notebook.processes() == [])


@pytest.mark.slow
def test_progress_is_one_display_that_is_updated(notebook: Notebook) -> None:
    began = time.monotonic()
    notebook.run(PROGRESS)
    seconds = time.monotonic() - began
    progress, shown = notebook.outputs
    assert (progress.output_type, shown.output_type) == ("display_data", "execute_result")
    for label in ("n32-k8", "n50-k8", "n64-k8"):  # the display began with the first being prepared
        assert re.search(rf"{label}.*done 0:\d\d.* 20,000/20,000 ", re.sub("<[^>]*>", "", progress.data["text/html"]))
    assert shown.data["text/html"].count("<table") == 1
    assert shown.data["text/plain"].startswith("<3 evaluations:")
    assert 3 * 3 <= notebook.num_updates + 1 <= 3 * 3 + 4 * seconds, "at the turns, and four a second between them"
    notebook.run(f"settings.pop('hidden_width')\n{SWEEP}")
    progress, shown = notebook.outputs
    assert progress.data["text/plain"].startswith("4 of 4 cells done; ")
    assert shown.data["text/plain"] == "<Sweep of random_rows over 2 hidden_width x 2 lr: 4 cells, 2 without a score>"
    assert shown.data["text/html"].count("got -1") == 2
    notebook.run(QUIET)
    assert [output.output_type for output in notebook.outputs] == ["execute_result"]
    assert "<Evaluation of isolated_cube" in notebook.outputs[0].data["text/plain"]
