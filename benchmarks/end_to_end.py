"""Wall time of the whole command, per protocol and engine, start-up included.

python -m benchmarks.end_to_end
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table

from benchmarks import machine

app = App(help=__doc__)
Several = Parameter(consume_multiple=True)


def evaluate(protocol: str, engine: str, strategy: str, device: str, settings: Sequence[str] = ()) -> dict[str, Any]:
    """Runs ``python -m vecparity.eval --all-configs`` and collects its output, its files, and their times."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "vecparity.eval", "--all-configs", "--strategy", strategy]
        command += ["--protocol", protocol, "--engine", engine, "--device", device, "--output-dir", directory]
        # The runs of a benchmark must not enter the user's history.
        command += ["--no-history", *(word for each in settings for word in f"--{each}".split("=", 1))]
        threads = faster_threads() if engine == "reference" and device == "cpu" else None
        command += [] if threads is None else ["--threads", str(threads)]
        began = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            marks: list[list[float]] = [[]]
            for line in process.stdout:
                if "TRAIN_METRICS" in line:
                    now = time.perf_counter() - began
                    marks[-1] = [(marks[-1] or [now])[0], now]
                elif "FINAL_METRICS" in line:
                    marks.append([])
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
        files = [json.loads(path.read_text()) for path in sorted(Path(directory).iterdir())]
    return {
        "protocol": protocol,
        "engine": files[0]["provenance"]["engine"],
        "strategy": strategy,
        "threads": threads,
        "seconds": seconds,
        "seconds_to_first_window": marks[0][0],
        "training_seconds": [last - first for first, last in marks[:-1]],
        "settings": list(settings),
        "peak_memory_bytes": used.ru_maxrss * 1024,
        "configurations": [
            {
                "n_features": content["config"]["n_features"],
                "seconds": content["provenance"]["wall_seconds"],
                **content["metrics"],
            }
            for content in files
        ],
    }


def faster_threads() -> int:
    """Returns the number of threads, one or all, with which the reference is faster: its operations are small."""
    seconds = {}
    for threads in (1, machine.cores()):
        command = [sys.executable, "-m", "vecparity.eval", "--engine", "reference", "--threads", str(threads)]
        command += ["--num-hidden-secrets", "1", "--num-orderings", "3"]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds[threads] = time.perf_counter() - began
    return min(seconds, key=seconds.__getitem__)


@app.default
def main(
    *,
    device: Literal["cpu", "cuda"] = "cpu",
    protocol: Literal["full", "published"] = "full",
    engine: Annotated[tuple[str, ...] | None, Several] = None,
    strategy: str = "isolated_cube",
    setting: Annotated[tuple[str, ...], Several] = (),
    output: str | None = None,
    output_dir: Path = machine.OWN,
) -> Path:
    """Measures, prints a table and writes ``<output-dir>/<output>.json``, again after each engine.

    Args:
        device: The device that trains.
        protocol: The protocol, which sets the number of runs and their length.
        engine: The engines to run, one after another; by default native and reference, on CUDA auto
            and vmap.
        strategy: The strategy to evaluate.
        setting: Further flags of the command, as in ``num-orderings=100`` or ``smoke``.
        output: Name of the JSON file; by default end_to_end_<protocol>, with _cuda there.
        output_dir: Directory of the JSON file.
    """
    table = Table("protocol", "engine", "configuration", title=f"--all-configs --strategy {strategy}")
    for column in ("test accuracy", "mean steps", "runs", "seconds"):
        table.add_column(column, justify="right")
    console = Console()
    measured: list[dict[str, Any]] = []
    content = {"machine": machine.describe(), "measured": measured}
    output = output or f"end_to_end_{protocol}{'' if device == 'cpu' else '_cuda'}"
    for asked in engine or (("native", "reference") if device == "cpu" else ("auto", "vmap")):
        result = evaluate(protocol, asked, strategy, device, setting)
        each = result["engine"]
        measured.append(result)
        path = machine.save(output, content, output_dir)
        for made in result["configurations"]:
            figures = (f"{made['test_accuracy']:.6f}", f"{made['mean_steps']:,.0f}", str(made["num_runs"]))
            table.add_row(protocol, each, f"N={made['n_features']}", *figures, f"{made['seconds']:.1f}")
        table.add_row(protocol, each, "all", "", "", "", f"{result['seconds']:.1f}", end_section=True)
        memory, start = result["peak_memory_bytes"] / 1e6, result["seconds_to_first_window"]
        training = sum(result["training_seconds"])
        console.print(
            f"{each}: {start:.1f} s to the first window, {training:.1f} s of training, {memory:,.0f} MB at most"
        )
    console.print(table)
    console.print(f"written to {path}")
    return path


if __name__ == "__main__":
    app(result_action="return_value")
