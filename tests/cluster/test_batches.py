"""Tasks divided into batches."""

from dataclasses import replace

import pytest
from conftest import SHORT

from vecparity import Job, Strategy, TaskConfig
from vecparity.cluster.batches import MOST_RUNS, Batches
from vecparity.evaluation.job import Task, to_task
from vecparity.evaluation.options import Options
from vecparity.strategy.source import load

CONFIG = TaskConfig(**SHORT)
LONG = replace(CONFIG, max_steps=600)
CUBE = load("isolated_cube")


def tasks(*jobs: tuple[TaskConfig, int], strategy: Strategy = CUBE) -> list[Task]:
    listed = [Job(strategy, config, seed) for config, seed in jobs]
    return [to_task(index, job, Options()) for index, job in enumerate(listed)]


def all_of(batches: Batches) -> list[list[Task]]:
    return list(iter(batches.next, []))


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_every_task_is_in_one_batch_with_others_of_its_settings(num_workers: int) -> None:
    given = tasks(*((config, seed) for seed in range(23) for config in (CONFIG, LONG)))
    batches = all_of(Batches(given, num_workers))
    assert sorted(task.index for batch in batches for task in batch) == list(range(46))
    assert all(len({task.config for task in batch}) == 1 for batch in batches)


def test_batches_grow_smaller_and_the_costly_come_first() -> None:
    batches = all_of(Batches(tasks(*((config, seed) for config in (CONFIG, LONG) for seed in range(40))), 2))
    assert batches[0][0].config == LONG
    sizes = [len(batch) for batch in batches if batch[0].config == LONG]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == sizes[1], "workers end together"
    assert len(batches[-1]) == 1


def test_no_batch_has_more_runs_than_an_ensemble_takes() -> None:
    given = tasks(*((CONFIG, seed) for seed in range(1000)))
    assert max(len(batch) for batch in all_of(Batches(given, 1))) == MOST_RUNS // CONFIG.num_runs
    huge = replace(CONFIG, num_hidden_secrets=50, num_orderings=20)
    assert [len(batch) for batch in all_of(Batches(tasks((huge, 1), (huge, 2)), 1))] == [1, 1]


def test_jobs_that_share_calls_are_neighbours() -> None:
    jobs = [Job("isolated_cube", CONFIG, seed) for seed in (1, 2, 1, 2, 1, 2)]
    batches = Batches([to_task(index, job, Options()) for index, job in enumerate(jobs)], 1)
    assert [task.index for batch in all_of(batches) for task in batch] == [0, 2, 4, 1, 3, 5]


def test_measured_seconds_correct_the_estimate() -> None:
    given = tasks(*((config, seed) for config in (CONFIG, LONG) for seed in range(40)))
    batches = Batches(given, 2)
    first = batches.next()
    assert batches.expected_seconds(first) is None
    batches.measure(first, 0.001 * len(first))  # those of many steps are quick
    assert batches.expected_seconds(first) == pytest.approx(0.001 * len(first))
    batches.measure(given[:1], 10.0)  # and those of few are slow
    assert batches.next()[0].config == CONFIG
    assert batches.expected_seconds(given[:3]) == pytest.approx(30.0)


def test_quick_jobs_are_not_sent_one_by_one() -> None:
    batches = Batches(tasks(*((CONFIG, seed) for seed in range(41))), 2)
    first = batches.next()
    assert len(first) == 11, "half of what each worker will have"
    batches.measure(first, 1e-3)
    assert [len(batch) for batch in all_of(batches)] == [15, 15], "a fair share of what is left"
    batches = Batches(tasks(*((CONFIG, seed) for seed in range(41))), 2)
    batches.measure(batches.next(), 110.0)
    assert [len(batch) for batch in all_of(batches)] == [8, 8, 4, 4, 2, 2, 1, 1]
