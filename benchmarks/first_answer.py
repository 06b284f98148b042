"""The time until an answer: whole commands of this version and of an earlier one, in turn.

python -m benchmarks.first_answer --old COMMIT
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from itertools import product
from pathlib import Path
from typing import Any

from cyclopts import App

from benchmarks import machine

app = App(help=__doc__)
_ROOT = Path(__file__).parents[1]
_COMMANDS = {"all configurations": ["--all-configs"], "smoke": ["--smoke"]}
_TORCH = "import torch, os; os._exit(0)"


def install(commit: str | None, directory: Path) -> Path:
    """Installs a commit, or the working tree, in an environment of its own, and returns the environment's Python.

    All other packages are this environment's.
    """
    source, target = directory / "source", directory / "environment"
    source.mkdir(parents=True)
    if commit is None:
        files = subprocess.run(["git", "ls-files", "-z"], cwd=_ROOT, check=True, capture_output=True).stdout
        archive = subprocess.run(
            ["tar", "-c", "--null", "-T", "-"], cwd=_ROOT, input=files, check=True, capture_output=True
        )
    else:
        archive = subprocess.run(["git", "archive", commit], cwd=_ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x"], cwd=source, input=archive.stdout, check=True)
    venv.create(target, symlinks=True)
    python = target / "bin" / "python"
    (own,) = target.glob("lib/python*/site-packages")
    (own / "packages.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(source)]
    subprocess.run(pip, check=True)
    return python


def timed(python: Path, flags: list[str]) -> dict[str, float]:
    """Runs one evaluation: seconds to the first window's line, to the last line and to the exit, and CPU seconds."""
    command = [str(python), "-P", "-m", "vecparity.eval", "--no-history", *flags]
    before, began = os.times(), time.perf_counter()
    first = last = 0.0
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=python.parent,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            last = time.perf_counter() - began
            first = first or (last if line.startswith(b"TRAIN_METRICS") else 0.0)
        process.wait()
    wall, after = time.perf_counter() - began, os.times()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
    # Workers are children of fork servers, which are killed: this is the evaluator's own time.
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"wall": wall, "cpu": cpu, "first window": first, "last line to exit": wall - last}


def import_torch() -> float:
    """Returns the seconds of a process that imports torch and nothing else."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", _TORCH], check=True)
    return time.perf_counter() - began


@app.default
def main(*, old: str, repeats: int = 5, output: str = "first_answer") -> Path:
    """Measures, prints and writes JSON into ``benchmarks/own/``; every figure is the least of its kind.

    Args:
        old: The commit to compare with.
        repeats: Evaluations of each kind, in turn.
        output: Name of the JSON file.
    """
    commit = subprocess.run(["git", "rev-parse", old], cwd=_ROOT, check=True, capture_output=True, text=True).stdout
    with tempfile.TemporaryDirectory(prefix="vecparity-") as directory:
        versions = {
            version: install(commit_of, Path(directory, version))
            for version, commit_of in (("old", commit.strip()), ("new", None))
        }
        measured: dict[tuple[str, str], list[dict[str, float]]] = {kind: [] for kind in product(_COMMANDS, versions)}
        torchs = []
        for _ in range(repeats):
            torchs.append(import_torch())
            for (command, version), runs in measured.items():
                runs.append(timed(versions[version], _COMMANDS[command]))
    least = {kind: {name: min(run[name] for run in runs) for name in runs[0]} for kind, runs in measured.items()}
    results = []
    for command in _COMMANDS:
        before, after = least[command, "old"], least[command, "new"]
        result: dict[str, Any] = {"command": command, "old": before, "new": after}
        result["new_by_old"] = {name: after[name] / before[name] for name in ("wall", "cpu")}
        result["first_window_by_import_torch"] = after["first window"] / min(torchs)
        print(
            f"{command:<20} wall {after['wall']:.2f} s, {result['new_by_old']['wall']:.2f} of the old; "
            f"CPU {result['new_by_old']['cpu']:.2f} of the old; first window "
            f"{result['first_window_by_import_torch']:.2f} times import torch; "
            f"last line to exit {after['last line to exit']:.3f} s"
        )
        results.append(result)
    content = {"machine": machine.describe(), "old": commit.strip(), "import_torch": min(torchs), "measured": results}
    return machine.save(output, content)


if __name__ == "__main__":
    app(result_action="return_value")
