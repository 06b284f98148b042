"""Stages of a benchmark: a stage that fails, hangs or lacks something is reported, and the others still run."""

import json
import os
import signal
import sys
import time
from itertools import repeat
from pathlib import Path

import pytest
from processes import Child, await_end, await_that

from benchmarks.stages import SKIPPED, Outcome, Stage, run, run_all, table


def stage(name: str, program: str, seconds: float = 60) -> Stage:
    return Stage(name, ("-c", program), seconds)


def outcomes(stages: list[Stage], directory: Path) -> dict[str, Outcome]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # CI may set it
    return {each.name: each for each in run_all(stages, repeat(sys.executable), directory, environment, "stages")}


def writes(path: Path) -> str:
    return f"import json; json.dump({{'rate': 1}}, open({str(path)!r}, 'w'))"


def test_the_others_run_where_one_fails(tmp_path: Path) -> None:
    ended = outcomes(
        [
            stage("first", writes(tmp_path / "first.json")),
            stage("broken", "print('so far'); raise SystemExit('no such kernel')"),
            stage("lacking", f"print('ncu is not installed'); raise SystemExit({SKIPPED})"),
            stage("killed", "import os; os.kill(os.getpid(), 11)"),
            stage("last", writes(tmp_path / "last.json")),
        ],
        tmp_path,
    )
    assert [each.status for each in ended.values()] == ["passed", "failed", "skipped", "failed", "passed"]
    assert ended["broken"].reason == "exit status 1: no such kernel"
    assert ended["lacking"].reason == "ncu is not installed"
    assert ended["killed"].reason == "killed by SIGSEGV"
    assert {path.name for path in tmp_path.glob("*.json")} == {"first.json", "last.json", "stages.json"}
    assert (tmp_path / "logs" / "broken.log").read_text() == "so far\nno such kernel\n"
    assert [each["status"] for each in json.loads((tmp_path / "stages.json").read_text())["stages"]] == [
        each.status for each in ended.values()
    ]
    lines = table(list(ended.values())).splitlines()
    assert lines[1].startswith("broken   failed ")
    assert lines[1].endswith("no such kernel")
    assert lines[-1] == "2 passed, 2 failed, 1 skipped"


@pytest.mark.slow
def test_a_stage_that_hangs_is_ended_at_its_limit_with_all_its_processes(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    hangs = (
        "import os, pathlib, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if child := os.fork():\n"
        f"    pathlib.Path({str(note)!r}).write_text(str(child))\n"
        "time.sleep(1000)\n"
    )
    began = time.monotonic()
    ended = outcomes([stage("hangs", hangs, 5), stage("last", "")], tmp_path)
    assert ended["hangs"].status == "failed"
    assert ended["hangs"].reason == "did not end within 5 s"
    assert ended["last"].status == "passed"
    assert time.monotonic() - began < 500
    await_end([int(note.read_text())])


def test_a_python_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    ended = run(stage("first", ""), str(tmp_path / "python3"), tmp_path, os.environ)
    assert ended.status == "failed"
    assert "No such file" in ended.reason


def test_an_interruption_ends_the_stage_and_tells_what_there_is(tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from itertools import repeat\n"
        "from pathlib import Path\n"
        "from benchmarks.stages import *\n"
        f"where = Path({str(tmp_path)!r})\n"
        "sleep = f'from pathlib import Path; Path({str(where / \"begun\")!r}).touch(); import time; time.sleep(1000)'\n"
        "stages = [Stage('a', ('-c', ''), 60), Stage('b', ('-c', sleep), 900), Stage('c', ('-c', ''), 60)]\n"
        "with terminable():\n"
        "    print(table(run_all(stages, repeat(sys.executable), where, os.environ, 'stages')))\n"
    )
    output = tmp_path / "output"
    with output.open("w") as file, Child([sys.executable, "-c", program], stdout=file) as child:
        await_that((tmp_path / "begun").exists)
        child.send_signal(signal.SIGTERM)
        assert child.wait() == 0
    assert output.read_text().splitlines()[-1] == "1 passed, 1 failed, 1 skipped"
