"""Evaluators whose jobs other processes evaluate: the same outcomes, whatever happens to the processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import warnings
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SHORT, STRATEGIES
from outcomes import here, timeless, while_evaluating
from processes import Child, await_end, await_that, started_by, user_seconds

from vecparity import Evaluation, Evaluator, Failure, Follower, History, Job, Strategy, TaskConfig
from vecparity.cluster.local import LocalWorkers
from vecparity.errors import InterruptedTrainingError, InvalidStrategyError, MachineError, UsageError
from vecparity.evaluation.callbacks import AtWork, WorkersFollower
from vecparity.machine import draws

CONFIG = TaskConfig(**SHORT)
# A second of a processor's time, or more, for each.
LONG = replace(CONFIG, max_steps=12_000, hidden_width=256, early_stop_acc=2.0)
VARIED = STRATEGIES / "varied.py"
NOT_BUNDLED = Strategy.from_source(Path(STRATEGIES / "varied.py").read_bytes(), name="mine")


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalWorkers]:
    with LocalWorkers(2) as workers:
        yield workers


def varied(count: int, config: TaskConfig = CONFIG) -> list[Job]:
    return [Job(VARIED, config, params={"lr": 1e-3 * (1 + index)}, seed=index % 3) for index in range(count)]


@pytest.mark.slow
def test_outcomes_are_bitwise_those_of_this_process(workers: LocalWorkers) -> None:
    jobs = [
        *varied(7),
        Job("isolated_cube", CONFIG),
        Job("multi_epoch", replace(CONFIG, n_features=50), seed=3),
        Job(NOT_BUNDLED, "n64-k8", smoke=True, settings=SHORT),
        *varied(5, replace(CONFIG, hidden_width=48)),
    ]
    with Evaluator(audit="off", executor=workers) as evaluator:
        assert timeless(list(evaluator.map(jobs))) == here(jobs)
        completed = list(evaluator.as_completed(jobs))
        assert {id(job) for job, _ in completed} == {id(job) for job in jobs}
        assert timeless(evaluator.together(jobs)) == here(jobs)


@pytest.mark.slow
def test_audits_find_what_they_find_here(
    workers: LocalWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the workers are not
    Path("mine.py").write_bytes(VARIED.read_bytes())
    job = Job("mine.py", CONFIG, params={"lr": 2e-3})
    with Evaluator(executor=workers) as evaluator:
        (outcome,) = evaluator.map([job])
    (expected,) = here([job], audit=None)
    assert isinstance(outcome, Evaluation)
    with_keys = ("fresh-test", "foresight", "cross-pairing")
    assert [finding.name for finding in outcome.findings] == [finding.name for finding in expected.findings]
    for finding, own in zip(outcome.findings, expected.findings, strict=True):
        assert finding.name in with_keys or finding == own
    assert timeless([replace(outcome, findings=[])]) == [replace(expected, findings=[])]


@pytest.mark.slow
def test_a_failure_is_its_own_jobs(workers: LocalWorkers, tmp_path: Path) -> None:
    bad = Strategy.from_source(VARIED.read_text().replace("def make_dataset", "def other"), name="bad")
    jobs = [*varied(2), Job(bad, CONFIG), Job(tmp_path / "missing.py", CONFIG), *varied(2)]
    with Evaluator(audit="off", executor=workers) as evaluator:
        outcomes = list(evaluator.map(jobs))
        with pytest.raises(InvalidStrategyError) as raised:
            evaluator.together([jobs[0], jobs[2]])
    with Evaluator(audit="off") as own:
        expected = list(own.map(jobs))
    for job, outcome, other in zip(jobs, outcomes, expected, strict=True):
        assert type(outcome) is type(other)
        if isinstance(outcome, Failure) and isinstance(other, Failure):
            assert outcome.job is job
            assert (type(outcome.error), str(outcome.error)) == (type(other.error), str(other.error))
    assert isinstance(outcomes[2], Failure)
    assert str(raised.value) == str(outcomes[2].error)


@pytest.mark.slow
def test_only_this_process_writes_and_reads_the_history(workers: LocalWorkers, tmp_path: Path) -> None:
    jobs = varied(6)
    with History(tmp_path / "history.sqlite", create=True) as history:
        with Evaluator(audit="off", executor=workers, history=history, reuse=True) as evaluator:
            made = list(evaluator.map(jobs[:4]))
            again = list(evaluator.map(jobs))
            together = evaluator.together(jobs)
        assert len(history.evaluations()) == 6
    assert again[:4] == made
    assert list(together) == again
    with Evaluator(audit="off", history=tmp_path / "history.sqlite", reuse=True) as without:
        assert list(without.map(jobs)) == again, "known by the same fingerprint here"


@pytest.mark.slow
def test_recalled_evaluations_are_read_one_by_one(workers: LocalWorkers, tmp_path: Path) -> None:
    jobs = varied(8)
    with Evaluator(audit="off", executor=workers, history=tmp_path / "history.sqlite", reuse=True) as evaluator:
        made = evaluator.together(jobs)
        seen, most = list["weakref.ref[Any]"](), 0
        for job, outcome in evaluator.as_completed(jobs):
            assert outcome == made[jobs.index(job)]
            seen.append(weakref.ref(outcome))
            most = max(most, sum(each() is not None for each in seen))
    assert len(seen) == 8
    assert most <= 2, "a command that goes on may have more than memory holds"


class Watching(Follower):
    def __init__(self) -> None:
        self.told: list[tuple[str, TaskConfig]] = []

    def begin(self, config: TaskConfig) -> None:
        self.told.append(("begin", config))

    def finish(self, evaluations: Sequence[Evaluation]) -> None:
        self.told += [("evaluation", evaluation.config) for evaluation in evaluations]
        self.told.append(("finish", self.told[-1][1]))


@pytest.mark.slow
def test_followers_are_told_of_one_group_after_another(workers: LocalWorkers) -> None:
    jobs = [*varied(3), *varied(2, replace(CONFIG, hidden_width=48))]
    whole, watching = Watching(), Watching()
    with Evaluator(audit="off", executor=workers, followers=[whole]) as evaluator:
        evaluator.together(jobs)
    kinds = ["begin", *["evaluation"] * 3, "finish", "begin", *["evaluation"] * 2, "finish"]
    assert [kind for kind, _ in whole.told] == kinds
    with Evaluator(audit="off", executor=workers, followers=[watching]) as evaluator:
        list(evaluator.map(jobs))
    assert sum(kind == "evaluation" for kind, _ in watching.told) == 5
    assert [kind for kind, _ in watching.told if kind != "evaluation"] == ["begin", "finish"] * (
        sum(kind == "begin" for kind, _ in watching.told)
    )


class AtWorks(WorkersFollower):
    def __init__(self) -> None:
        self.seen: list[AtWork] = []

    def at_work(self, present: AtWork) -> None:
        self.seen.append(present)


@pytest.mark.slow
@pytest.mark.usefixtures("none_is_late")
def test_followers_are_told_what_workers_do(workers: LocalWorkers, tmp_path: Path) -> None:
    jobs = varied(5)
    for known in (0, 5):
        watching = AtWorks()
        with Evaluator(
            audit="off", executor=workers, followers=[watching], history=tmp_path / "history.sqlite", reuse=True
        ) as evaluator:
            outcomes = timeless(list(evaluator.map(jobs)))
        first, last = watching.seen[0], watching.seen[-1]
        assert {(present.workers, present.of, present.again) for present in watching.seen} == {(2, 5, 0)}
        done = [present.done for present in watching.seen]
        assert done == sorted(done)
        if known:
            assert (done, last.run_steps, last.run_steps_per_second) == ([1, 2, 3, 4, 5, 5], 0, None)
            continue
        assert (first.done, first.busy, first.run_steps) == (0, 2, 0)
        assert (last.done, last.busy) == (5, 0)
        assert last.run_steps == sum(result.steps for outcome in outcomes for result in outcome.results)
        assert 0 < last.seconds < 600


def busiest(pids: Sequence[int]) -> int:
    """Waits until processes have trained for a while, and returns the busiest one."""
    before = {pid: user_seconds(pid) for pid in pids}
    spent: dict[int, float] = {}

    def is_training() -> bool:
        spent.update({pid: user_seconds(pid) - before[pid] for pid in pids})
        return max(spent.values()) > 0.4

    await_that(is_training)
    return max(spent, key=lambda pid: spent[pid])


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_nothing_but_time(workers: LocalWorkers, tmp_path: Path) -> None:
    jobs = varied(4, LONG)
    watching = AtWorks()
    with Evaluator(
        audit="off", executor=workers, followers=[watching], history=tmp_path / "history.sqlite"
    ) as evaluator:
        list(evaluator.map(varied(4)))
        sandboxes = {pid for worker in workers.pids for pid in started_by(worker)}
        killed = list[int]()

        def kill() -> None:
            killed.append(busiest(workers.pids))
            os.kill(killed[0], signal.SIGKILL)

        outcomes = while_evaluating(evaluator, jobs, kill)
        assert killed[0] not in workers.pids
        await_that(lambda: len(workers.pids) == 2)  # one whose call was late may have been ended, too
        now = {pid for worker in workers.pids for pid in started_by(worker)}
        await_end(sandboxes - now)
    assert timeless(outcomes) == here(jobs)
    assert watching.seen[-1].again >= 1, "the dead worker's batch, and one that is late on a busy machine"
    with History(tmp_path / "history.sqlite") as history:
        assert len(history.evaluations()) == 8


@pytest.mark.slow
def test_a_worker_that_does_not_come_to_an_end_is_overtaken(workers: LocalWorkers) -> None:
    jobs = varied(4, LONG)
    with Evaluator(audit="off", executor=workers) as evaluator:
        list(evaluator.map(varied(2)))
        outcomes = while_evaluating(evaluator, jobs, lambda: os.kill(busiest(workers.pids), signal.SIGSTOP))
        assert timeless(outcomes) == here(jobs)
        assert len(list(evaluator.map(varied(4)))) == 4, "its place is taken"


class Deadly(Strategy):
    """Ends the process that reads it."""

    def __reduce__(self) -> Any:
        return os._exit, (7,)


DEADLY = Deadly("deadly", "deadly.py", VARIED.read_bytes())


@pytest.mark.slow
def test_a_job_that_kills_three_workers_is_a_failure(workers: LocalWorkers) -> None:
    jobs = varied(6)
    jobs.insert(3, Job(DEADLY, CONFIG))
    with Evaluator(audit="off", executor=workers) as evaluator:
        outcomes = list(evaluator.map(jobs))
    failure = outcomes.pop(3)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, MachineError)
    assert "deadly with seed 42: 3 workers died at it" in str(failure.error)
    assert "ended with status 7" in str(failure.error)
    assert failure.job is jobs.pop(3)
    assert timeless(outcomes) == here(jobs)


@pytest.mark.slow
def test_a_stop_ends_what_is_in_progress() -> None:
    with LocalWorkers(2) as workers, Evaluator(audit="off", executor=workers) as evaluator:
        list(evaluator.map(varied(2)))
        begun = workers.pids

        def stop() -> None:
            busiest(begun)
            evaluator.stop()

        endless = replace(LONG, max_steps=3_000_000)  # an hour, which no test has
        with pytest.raises(InterruptedTrainingError, match="workers had not finished are lost") as raised:
            while_evaluating(evaluator, varied(4, endless), stop)
        assert raised.value.exit_status == 130
        await_that(lambda: not set(begun) & set(workers.pids))
        assert len(list(evaluator.map(varied(2)))) == 2
        outcomes = evaluator.map([*varied(1), *varied(1, endless)])
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
        assert len(list(evaluator.map(varied(2)))) == 2


@pytest.mark.slow
def test_a_mixed_cluster_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    if draws().endswith("DEFAULT"):
        pytest.skip("needs a processor with other draws than the slowest")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")  # torch has read it here, and reads it in new processes
    with LocalWorkers(1) as slow, Evaluator(executor=slow) as evaluator, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        outcomes = list(evaluator.map([Job("isolated_cube", replace(CONFIG, max_steps=steps)) for steps in (1, 2, 3)]))
    assert all(isinstance(outcome, Evaluation) for outcome in outcomes)
    (words,) = [str(warning.message) for warning in caught]
    assert words.startswith("torch draws other initial weights on ")
    assert "DEFAULT" in words


@pytest.mark.slow
def test_a_pool_that_spawns(workers: LocalWorkers) -> None:
    jobs = varied(4)
    with (
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool,
        Evaluator(audit="off", executor=pool) as evaluator,
    ):
        assert timeless(list(evaluator.map(jobs))) == here(jobs)
        jobs.insert(0, Job(DEADLY, CONFIG))
        outcomes = list(evaluator.map(jobs))
    assert len(outcomes) == 5
    assert isinstance(outcomes[0], Failure), "such a pool ends with any of its processes"
    assert "the executor lost its processes and takes no more calls" in str(outcomes[0].error)


def test_executors_that_do_not_suit(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(UsageError, match=r"must have processes.*ThreadPoolExecutor"):
        Evaluator(executor=threads)
    forking = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork"))
    with forking, pytest.raises(UsageError, match="must spawn its processes"):
        Evaluator(executor=forking)
    with pytest.raises(UsageError, match=r"must be a concurrent.futures.Executor, got 2"):
        Evaluator(executor=2)  # type: ignore[arg-type]
    spawning = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with spawning, pytest.raises(UsageError, match="strategy_log is for evaluations of this process"):
        Evaluator(executor=spawning, strategy_log=tmp_path / "log")
    with Evaluator(executor=spawning) as evaluator, pytest.raises(UsageError, match="the executor must take calls"):
        list(evaluator.map(varied(1)))


DRIVER = """
import sys
from vecparity import Evaluator, Job
from vecparity.cluster import dispatch
from vecparity.cluster.local import LocalWorkers
dispatch._OVERDUE_SECONDS = float("inf")  # no worker is ended as late
with LocalWorkers(2) as workers, Evaluator(audit="off", executor=workers, containment=sys.argv[1]) as evaluator:
    list(evaluator.map(Job("isolated_cube", smoke=True, seed=seed, settings={"max_steps": 2}) for seed in range(4)))
    print(*workers.pids, flush=True)
    settings = {"early_stop_acc": 2.0, "max_steps": 100_000}
    list(evaluator.map(Job("isolated_cube", smoke=True, seed=seed, settings=settings) for seed in range(4)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("level", ["auto", "limits"])
def test_nothing_remains_of_a_driver_that_is_killed(level: str, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with Child(
        [sys.executable, "-c", DRIVER, level],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(temporary)},
    ) as driver:
        assert driver.stdout is not None
        pids = [int(pid) for pid in driver.stdout.readline().split()]
        busiest(pids)
        every = started_by(driver.pid)
        assert set(pids) < set(every)
        driver.kill()
    await_end(every)
    await_that(lambda: not list(temporary.iterdir()))
