"""The command imports nothing that a strategy could have put in its way."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ADVERSARIAL

from vecparity.cli import search_path
from vecparity.kernels.cpu import native
from vecparity.sandbox import levels

SHORT = (
    "--num-orderings 2 --max-steps 40 --log-interval 20 --hidden-width 16 --test-set-size 64 --log final --threads 1"
)
# Enough secrets for every audit to come to a decision.
AUDITED = f"{SHORT} --num-hidden-secrets 10 --audit report --strategy {ADVERSARIAL}/honest.py"
# Runs the command, and prints the modules that are imported or looked for once a worker is asked for.
WATCHED = """
import json, socket, sys
late, send, has_begun = [], socket.send_fds, []
sys.addaudithook(lambda event, arguments: has_begun and event == "import" and late.append(arguments[0]))
def begin(*them):
    has_begun.append(True)
    return send(*them)
socket.send_fds = begin
from vecparity.eval import main
status = main(sys.argv[1:])
assert has_begun
del has_begun[:]
print("LATE", json.dumps([status, late]))
"""


def late(arguments: str, where: Path) -> list[str]:
    command = [sys.executable, "-P", "-c", WATCHED, *arguments.split()]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=True)
    status, names = json.loads(done.stdout.rpartition("LATE ")[2])
    assert status == 0, done.stderr
    return list(names)


@pytest.mark.parametrize(
    "flags",
    [
        "--no-history --progress",
        pytest.param(
            "--history history.sqlite --tensorboard curves --output-dir results --strategy-log words",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_nothing_is_imported_after_the_first_worker_has_started(tmp_path: Path, flags: str) -> None:
    if "tensorboard" in flags:
        pytest.importorskip("tensorboard")
    if not native.is_available():
        pytest.skip(native.PROBLEM)
    assert late(f"{AUDITED} --engine native {flags}", tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["vmap", "reference"])
def test_an_engine_is_imported_before_the_first_worker_has_started(tmp_path: Path, engine: str) -> None:
    """But for modules of torch's own, which are looked for where torch is."""
    flags = f"{SHORT} --no-history --num-hidden-secrets 2 --engine {engine} --strategy isolated_cube"
    assert {name.partition(".")[0] for name in late(flags, tmp_path)} <= {"torch"}


@pytest.mark.slow
@pytest.mark.parametrize("level", ["limits", "none"])
def test_modules_that_a_strategy_plants_are_not_imported(tmp_path: Path, level: levels.Level) -> None:
    if problem := levels.why_not(level):
        pytest.skip(f"{level} {problem}")
    trick = tmp_path / "plants_modules.py"
    trick.write_bytes((ADVERSARIAL / trick.name).read_bytes())
    settings = f"{SHORT} --no-history --num-hidden-secrets 10 --audit report --containment {level}"

    def run(strategy: Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "vecparity.eval", *settings.split(), "--strategy", str(strategy)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)

    honest = run(ADVERSARIAL / "honest.py").stdout
    assert run(trick).stdout == honest
    assert (tmp_path / "scipy.py").exists() and (tmp_path / "json.py").exists()


@pytest.mark.parametrize("module", ["vecparity", "vecparity.eval"])
def test_a_command_imports_nothing_from_the_current_directory(tmp_path: Path, module: str) -> None:
    for name in ("scipy", "rich", "cyclopts", "torch", "json", "sqlite3"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('planted')")
    words = ["--list-strategies"] if module == "vecparity.eval" else ["eval", "--list-strategies"]
    done = subprocess.run([sys.executable, "-m", module, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "isolated_cube" in done.stdout.splitlines()


def test_the_current_directory_is_left_unless_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a-module-that-only-this-directory-has.py").touch()
    monkeypatch.chdir(tmp_path)
    given: list[Any] = ["", ".", str(tmp_path), *sys.path]
    monkeypatch.setattr(sys, "path", given.copy())
    search_path.leave_current_directory()
    assert sys.path == given[3:]
    monkeypatch.setattr(sys, "path", given.copy())
    monkeypatch.setattr(search_path, "_NEEDED", ("a-module-that-only-this-directory-has",))
    search_path.leave_current_directory()
    assert sys.path == given


def test_a_current_directory_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    os.rmdir(tmp_path / "gone")
    before = sys.path[:]
    search_path.leave_current_directory()
    assert sys.path == before
