"""Runs commands in sequence, each with a time limit, a log and a JSON file; a failure does not stop the rest.

Needs only Python, because it also runs the stage that installs the packages that the other stages need.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

SKIPPED = 77  # the exit status of a stage that this machine lacks something for; its last line says what
_GRACE_SECONDS = 2.0
_LOG_TAIL_BYTES = 4096

Status = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True)
class Stage:
    """A command.

    Attributes:
        name: Name of the log, and of the JSON file that the command may write.
        command: Arguments for Python, without Python.
        seconds: Time limit in seconds.
    """

    name: str
    command: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """The end of a stage.

    Attributes:
        name: The stage's name.
        status: Passed, failed or skipped.
        seconds: Time taken in seconds.
        limit: The stage's time limit in seconds.
        reason: The reason why it did not pass.
    """

    name: str
    status: Status
    seconds: float
    limit: float
    reason: str


def run(stage: Stage, python: str, directory: Path, environment: Mapping[str, str]) -> Outcome:
    """Runs a stage and waits until it ends or reaches its time limit.

    All processes of the stage's process group end with it. The output goes to ``<directory>/logs/<name>.log``.
    """
    log = directory / "logs" / f"{stage.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def ended(status: Status, reason: str = "") -> Outcome:
        return Outcome(stage.name, status, round(time.monotonic() - began, 1), stage.seconds, reason)

    with log.open("wb") as file:
        try:
            process = subprocess.Popen(
                [python, *stage.command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**environment, "PYTHONUNBUFFERED": "1"},  # the last line is what was said last, whatever ends it
                start_new_session=True,
            )
        except OSError as error:
            return ended("failed", str(error))
        try:
            code = process.wait(stage.seconds)
        except subprocess.TimeoutExpired:
            _end(process)
            return ended("failed", f"did not end within {stage.seconds:g} s")
        except BaseException:
            _end(process)
            raise
        _signal_group(process, signal.SIGKILL)  # what it left behind
    if code == 0:
        return ended("passed")
    reason = last_line(log)
    if code == SKIPPED:
        return ended("skipped", reason)
    status = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
    return ended("failed", f"{status}: {reason}" if reason else status)


def run_all(
    stages: Sequence[Stage], pythons: Iterator[str], directory: Path, environment: Mapping[str, str], summary: str
) -> list[Outcome]:
    """Runs stages in order and reports each as it ends; an interruption skips the remaining stages.

    Args:
        stages: The stages.
        pythons: Yields the Python that runs the next stage: a stage may install another for later stages.
        directory: The output directory.
        environment: Environment variables of the stages.
        summary: Name of the JSON file with the outcomes of the stages that have ended.
    """
    outcomes: list[Outcome] = []
    interrupted = False
    for stage in stages:
        if interrupted:
            outcomes.append(Outcome(stage.name, "skipped", 0.0, stage.seconds, "interrupted"))
            continue
        _say(f"{stage.name} (at most {stage.seconds:g} s)")
        began = time.monotonic()
        try:
            outcome = run(stage, next(pythons), directory, environment)
        except KeyboardInterrupt:
            interrupted = True
            seconds = round(time.monotonic() - began, 1)
            outcome = Outcome(stage.name, "failed", seconds, stage.seconds, "interrupted")
        outcomes.append(outcome)
        _say(f"  {outcome.status} after {outcome.seconds:g} s{': ' * bool(outcome.reason)}{outcome.reason}")
        save(summary, {"stages": [asdict(each) for each in outcomes]}, directory)
    return outcomes


def table(outcomes: Sequence[Outcome]) -> str:
    """Lists all stages, and the numbers that passed, failed and were skipped."""
    width = max(len(outcome.name) for outcome in outcomes)
    lines = [
        f"{each.name:<{width}}  {each.status:<7}  {each.seconds:6.1f} of {each.limit:4g} s  {each.reason}".rstrip()
        for each in outcomes
    ]
    counts = [(status, sum(each.status == status for each in outcomes)) for status in ("passed", "failed", "skipped")]
    return "\n".join([*lines, ", ".join(f"{count} {status}" for status, count in counts)])


@contextmanager
def terminable() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP interrupt, so that the running stage is ended and the table is printed."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def save(name: str, content: Mapping[str, object], directory: Path) -> None:
    """Writes ``<directory>/<name>.json``, whole or not at all."""
    temporary = directory / f"{name}.json.tmp"
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    temporary.replace(directory / f"{name}.json")


def last_line(log: Path) -> str:
    """Returns the last line that contains a word, without unprintable characters."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    text = next((line.strip(" │\r") for line in reversed(lines) if any(map(str.isalnum, line))), "")
    return "".join(character for character in text if character.isprintable())


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a stage's process group; gives up on a process that survives SIGKILL, as inside a driver."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(process, number)
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        _signal_group(process, signal.SIGKILL)
        return


def _signal_group(process: subprocess.Popen[bytes], number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return
    except PermissionError:  # on some systems, when only zombies are left
        return


def _say(line: str) -> None:
    print(line, flush=True)
