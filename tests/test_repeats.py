"""The options with which a second run skips the tests that passed in a first run (`repeats.py`)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import os, subprocess
import pytest
from vecparity.sandbox import levels

def test_plain(): pass
def test_starts_a_process(): subprocess.run(["true"], check=True)
def test_chooses_a_level(): levels.choose("auto")
def test_fails(): assert os.environ["RUN"] == "second"
def test_is_skipped(): pytest.skip("the first time") if os.environ["RUN"] == "first" else None

@pytest.fixture
def broken():
    yield
    assert os.environ["RUN"] == "second"

def test_ends_badly(broken): pass
"""


def outcomes(directory: Path, run: str, *options: str) -> dict[str, str]:
    """Each test that was run, and its first outcome but a pass, if there is one."""
    environment = os.environ | {"RUN": run, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "repeats", "-v", *options, "test_some.py"],
        cwd=directory,
        env=environment | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return dict(re.findall(r"^test_some\.py::test_(\w+) (\w+)", done.stdout, re.MULTILINE))


@pytest.mark.slow
def test_what_passed_without_a_process_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    all_tests = {"plain", "starts_a_process", "chooses_a_level", "fails", "is_skipped", "ends_badly"}
    assert set(outcomes(tmp_path, "second", "--without-passed=record")) == all_tests, "without a record all are run"
    first = outcomes(tmp_path, "first", "--record-passed=record")
    assert set(first) == all_tests
    assert (tmp_path / "record").read_text() == "test_some.py::test_plain\n"
    again = outcomes(tmp_path, "second", "--without-passed=record")
    assert again == dict.fromkeys(all_tests - {"plain"}, "PASSED")
