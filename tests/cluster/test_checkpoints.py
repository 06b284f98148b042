"""Workers with checkpoints: whatever is killed goes on where it was, bitwise, and nothing is left or counted twice."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import SHORT, STRATEGIES, RunEval
from kept import await_steps, in_training, kept_steps, worker_of
from outcomes import contents, here, timeless, while_evaluating
from processes import Child, await_end, await_some, await_that, started_by

from vecparity import Evaluation, Evaluator, History, Job, LocalWorkers, TaskConfig

# Some seconds of training.
LONG = replace(TaskConfig(**SHORT), max_steps=3000, log_interval=500, hidden_width=256, early_stop_acc=2.0)
KEY = bytes(range(50, 82))
KEPT: dict[str, Any] = {"checkpoint_seconds": 0, "audit": "off"}


def end_one(workers: LocalWorkers, pid: int, number: signal.Signals) -> None:
    """Sends one of the processes a signal, and waits for its end."""
    os.kill(pid, number)
    await_that(lambda: pid not in workers.pids and len(workers.pids) == workers.num_workers)


@pytest.mark.slow
@pytest.mark.usefixtures("none_is_late")
@pytest.mark.parametrize(
    ("workers", "numbers"), [(2, [signal.SIGKILL, signal.SIGSTOP]), (1, [signal.SIGTERM] * 3)], ids=["two", "one"]
)
def test_the_job_of_a_worker_that_ends_goes_on_elsewhere(
    tmp_path: Path, workers: int, numbers: Sequence[signal.Signals]
) -> None:
    """A worker that is stopped is ended; three that are preempted are not three that died."""
    calls, directory = tmp_path / "calls", tmp_path / "kept"
    config = replace(LONG, max_steps=3000 * len(numbers))
    jobs = [Job(STRATEGIES / "counting.py", config, seed, {"calls": str(calls)}) for seed in range(workers)]
    kept = list[dict[Path, int]]()
    options: dict[str, Any] = {"containment": "limits", "checkpoint": directory, **KEPT}
    with LocalWorkers(workers) as executor, Evaluator(executor=executor, **options) as evaluator:

        def end_some() -> None:
            for number in numbers:
                since, most = kept[-1] if kept else {}, config.max_steps * 3 // 4
                job = await_some(partial(in_training, directory, since, most))[0]
                end_one(executor, worker_of(job), number)
                kept.append(kept_steps(directory))

        outcomes = while_evaluating(evaluator, jobs, end_some)
    assert len(kept) == len(numbers)
    assert len(calls.read_text().splitlines()) == LONG.num_hidden_secrets * workers, "no training set was made again"
    assert not directory.exists()
    assert timeless(outcomes) == here(jobs, containment="limits")


def asked_in(calls: Path) -> Counter[int]:
    """Returns how many training sets were made for each seed of an evaluation."""
    return Counter(int(line) // 10_000 for line in calls.read_text().splitlines())


STEPS = 12_000
FLAGS = (
    f"--num-hidden-secrets 2 --num-orderings 2 --max-steps {STEPS} --log-interval 500 --hidden-width 256 "
    "--test-set-size 100 --early-stop-acc 2 --audit off --log final --threads 1 --containment limits"
)


def history_of(file: Path) -> list[Evaluation]:
    """Returns the evaluations of the one command in a history, by their seeds."""
    with History(file) as history:
        assert len({entry.command for entry in history.entries()}) <= 1
        recorded = timeless([record.evaluation for record in history.evaluations()])
    return sorted(recorded, key=lambda evaluation: evaluation.provenance.seed)


def ended(command: Sequence[str], number: signal.Signals, wait: Callable[[Child], object]) -> tuple[int, str]:
    """Sends a driver a signal; returns its exit status and standard error once none of its processes is left."""
    with Child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        wait(process)
        every = started_by(process.pid)
        process.send_signal(number)
        _, said = process.communicate()
    assert every
    await_end(every)
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.usefixtures("none_is_late")
def test_a_command_that_ends_goes_on(run_eval: RunEval, tmp_path: Path) -> None:
    calls, kept, history = (tmp_path / name for name in ("calls", "kept", "history.sqlite"))
    strategy = f"{STRATEGIES / 'counting.py'} --param calls={calls} --seed 1 2 3 4 {FLAGS}"
    words = f"{strategy} --workers 2 --checkpoint {kept} --checkpoint-seconds 0 --output-dir {tmp_path}"
    words += f" --history {history}"
    command = [sys.executable, "-m", "vecparity", "eval", *words.split()]
    status, said = ended(command, signal.SIGINT, lambda process: await_steps(kept, 1, 2))
    assert status == 75
    assert re.search(rf"interrupted: resume with --checkpoint {kept} --resume$", said, re.MULTILINE)
    at_first = kept_steps(kept)
    ended(
        [*command, "--resume"],
        signal.SIGKILL,
        lambda process: await_some(lambda: in_training(kept, at_first, STEPS // 2)),
    )
    before, asked = kept_steps(kept), asked_in(calls)
    assert at_first.keys() <= before.keys()
    assert min(before.values()) < STEPS

    status, lines, _ = run_eval(f"{words} --resume")
    assert status == 0
    assert not kept.exists()
    assert [evaluation.provenance.seed for evaluation in history_of(history)] == [1, 2, 3, 4]
    seeds = {int(place.name[-6:]) + 1 for place in before}
    assert not seeds & (asked_in(calls) - asked).keys(), "those with checkpoints ask for nothing again"
    whole = tmp_path / "whole"
    assert run_eval(f"{strategy} --output-dir {whole} --no-history")[:2] == (0, lines)
    assert contents(tmp_path) == contents(whole)


DRIVERS_STEPS = 6000
DRIVER = f"""
import sys
from dataclasses import replace
from vecparity import Evaluator, Job, LocalWorkers, TaskConfig
config = replace(TaskConfig(), num_hidden_secrets=2, num_orderings=2, max_steps={DRIVERS_STEPS}, log_interval=500,
    hidden_width=256, test_set_size=100, early_stop_acc=2.0)
directory, resume = sys.argv[1:]
key = bytes(range(50, 82))
jobs = [Job("default_4096", config, seed) for seed in range(4)]
with LocalWorkers(2) as workers, Evaluator(executor=workers, seal_key=key, audit="off", history=directory + "/history",
        checkpoint=directory + "/kept", checkpoint_seconds=0, resume=resume == "resume") as evaluator:
    # Afresh in whatever order: others may be done before the first.
    completed = (outcome for _, outcome in evaluator.as_completed(jobs))
    for outcome in evaluator.map(jobs) if resume == "resume" else completed:
        print(outcome.provenance.seed, flush=True)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("can_seal")
def test_sealed_jobs_go_on_under_their_draws_and_those_in_the_history_are_done(tmp_path: Path) -> None:
    command, history, kept = [sys.executable, "-c", DRIVER, str(tmp_path)], tmp_path / "history", tmp_path / "kept"

    def wait(process: Child) -> None:
        assert process.stdout is not None
        assert process.stdout.readline()
        await_some(lambda: in_training(kept, {}, DRIVERS_STEPS // 2))  # and not at its end before it is killed

    ended([*command, "afresh"], signal.SIGKILL, wait)
    before = history_of(history)
    assert before
    assert in_training(kept, {}, DRIVERS_STEPS - 1)
    (content,) = kept.rglob("command.json")
    draws = json.loads(content.read_text())["draws"]
    for path in (path for path in kept.rglob("*") if path.is_file()):
        assert not any(shape in path.read_bytes() for shape in (KEY, KEY.hex().encode()))

    done = subprocess.run([*command, "resume"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1", "2", "3"]
    assert not kept.exists()
    made = history_of(history)
    assert [evaluation for evaluation in made if evaluation in before] == before
    assert [evaluation.provenance.draw for evaluation in made] == draws
    assert len(set(draws)) == 4
    for evaluation in made:
        job = Job("default_4096", evaluation.config, evaluation.provenance.seed)
        assert [evaluation] == here([job], seal_key=KEY, draw=evaluation.provenance.draw)
