"""Pytest options with which a second run in the same environment skips the tests that passed in a first run.

The second run may have more on its PATH, as in `.ci/run`. Only tests that start a process, or ask how strongly
strategies can be contained, can notice the difference: they run again.
"""

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

_STARTS = frozenset(("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec", "os.system"))
_passed_phases = pytest.StashKey[int]()
_started: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("repeats")
    group.addoption("--record-passed", metavar="FILE", help="append the tests that passed and used no PATH")
    group.addoption("--without-passed", metavar="FILE", help="leave out the tests in FILE, if there is one")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.record_passed:
        sys.addaudithook(lambda event, arguments: _started.append(event) if event in _STARTS else None)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    path = config.option.without_passed
    if path and Path(path).exists():
        passed = set(Path(path).read_text().splitlines())
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in passed])
        items[:] = [item for item in items if item.nodeid not in passed]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    item.stash[_passed_phases] = item.stash.get(_passed_phases, 0) + report.passed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    before = _uses_of_the_path()
    result = yield
    path = item.config.option.record_passed
    # Setup, call and teardown.
    if path and item.stash.get(_passed_phases, 0) == 3 and _uses_of_the_path() == before:
        with open(path, "a") as file:  # in one write, as several processes append
            file.write(f"{item.nodeid}\n")
    return result


def _uses_of_the_path() -> int:
    """A number that grows with each process that is started, and each level of containment that is asked for."""
    from vecparity.sandbox.levels import why_not

    asked = why_not.cache_info()
    return len(_started) + asked.hits + asked.misses
