"""The directory from which a command by workers goes on."""

import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SHORT

from vecparity import Evaluator, Job, LocalWorkers, TaskConfig
from vecparity.cluster.command_directory import CommandDirectory, require_seen
from vecparity.cluster.work import options_for_workers, to_work
from vecparity.cluster.worker import close, evaluate_work
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.job import Failure, Task, to_task
from vecparity.evaluation.options import Options
from vecparity.training.checkpoints.checkpoint import Checkpoints

CONFIG = TaskConfig(**SHORT)
KEY = bytes(range(32))


def tasks(options: Options, *seeds: int, **fields: Any) -> list[Task]:
    jobs = [Job("isolated_cube", replace(CONFIG, **fields), seed) for seed in seeds]
    return [to_task(index, job, options) for index, job in enumerate(jobs)]


def test_a_command_that_was_begun_goes_on_with_its_id_and_draws(tmp_path: Path) -> None:
    options = Options(checkpoint=tmp_path / "kept", seal_key=KEY)
    with CommandDirectory(tasks(options, 1, 2), options) as first:
        (first.place(first.tasks[0]) / "something").mkdir(parents=True)
    again = replace(options, resume=True)
    with CommandDirectory(tasks(again, 1, 2), again) as second:
        assert (second.path, second.command, second.is_resumed) == (first.path, first.command, True)
        assert [task.seeds.draw for task in second.tasks] == [task.seeds.draw for task in first.tasks]
        second.remove()
    assert not (tmp_path / "kept").exists()


def test_one_that_has_nothing_to_go_on_from_leaves_nothing(tmp_path: Path) -> None:
    options = Options(checkpoint=tmp_path / "kept")
    with CommandDirectory(tasks(options, 1), options) as directory:
        assert directory.path.exists()
        assert not directory.is_needed
    assert not (tmp_path / "kept").exists()
    with CommandDirectory(tasks(options, 1), options) as directory:
        directory.forget(directory.tasks)
    assert directory.path.exists(), "outcomes that are safe elsewhere are known by it"


def test_the_directory_of_another_beginning_is_left_alone(tmp_path: Path) -> None:
    options = Options(checkpoint=tmp_path)
    with CommandDirectory(tasks(options, 1), options) as first:
        first.remove()
        second = CommandDirectory(tasks(options, 1), options)
        assert second.path == first.path
    assert (second.path / "command.json").exists()
    with second:
        pass


def test_without_resume_it_is_replaced_with_a_word(tmp_path: Path) -> None:
    options = Options(checkpoint=tmp_path)
    with CommandDirectory(tasks(options, 1), options) as first:
        (first.place(first.tasks[0]) / "something").mkdir(parents=True)
    with pytest.warns(UserWarning, match=r"replace the checkpoints in .*command-\w{16}, from which resume=True"):
        second = CommandDirectory(tasks(options, 1), options)
    with second:
        assert second.command != first.command
        assert not second.place(second.tasks[0]).exists()


@pytest.mark.parametrize(
    ("seeds", "fields", "changed"),
    [
        ((2, 1), {}, {}),
        ((1, 2, 3), {}, {}),
        ((1, 2), {"max_steps": 40}, {}),
        ((1, 2), {}, {"audit": "report"}),
        ((1, 2), {}, {"engine": "vmap"}),
        ((1, 2), {}, {"dtype": "float64"}),
        ((1, 2), {}, {"seal_key": KEY}),
        ((1, 2), {}, {"seal_key": KEY, "draw": "ab" * 16}),
        ((1, 2), {}, {"containment": "limits"}),
    ],
)
def test_other_commands_have_other_directories(
    tmp_path: Path, seeds: tuple[int, ...], fields: dict[str, Any], changed: dict[str, Any]
) -> None:
    options, others = Options(checkpoint=tmp_path), Options(checkpoint=tmp_path, **changed)
    with CommandDirectory(tasks(options, 1, 2), options) as one:
        with CommandDirectory(tasks(others, *seeds, **fields), others) as other:
            assert other.path != one.path
        assert one.path.exists()


def test_the_same_command_twice_at_once_is_refused(tmp_path: Path) -> None:
    options = Options(checkpoint=tmp_path)
    with CommandDirectory(tasks(options, 1), options) as first:
        with pytest.raises(UsageError, match=r"command-\w{16}/lock is in use by another evaluation, pid \d+"):
            CommandDirectory(tasks(options, 1), replace(options, resume=True))
        assert first.path.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format": 2, "id": "ID", "draws": [null]}',
        '{"format": 1, "id": "ID", "draws": [null, null]}',
        '{"format": 1, "id": "id\\n", "draws": [null]}',
        '{"format": 1, "id": "ID", "draws": [1]}',
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, content: str) -> None:
    options = Options(checkpoint=tmp_path)
    with CommandDirectory(tasks(options, 1), options) as directory:
        directory.forget([])
    path = directory.path / "command.json"
    path.write_text(content.replace("ID", "ab" * 16))
    with pytest.raises(
        UsageError, match=rf"expected 1 draws in format 1 in {path}, got .*without resume=True"
    ) as found:
        CommandDirectory(tasks(options, 1), replace(options, resume=True))
    assert str(found.value).isprintable()
    assert not (directory.path / "lock").exists()


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = Options(checkpoint=tmp_path / "file")
    with pytest.raises(MachineError, match="checkpoint must be a directory that can be written"):
        CommandDirectory(tasks(options, 1), options)


def test_a_dead_workers_lock_does_not_block_the_next(tmp_path: Path) -> None:
    """As one of another machine may be held until a server of files finds out."""
    options = Options(checkpoint=tmp_path)
    with CommandDirectory(tasks(options, 1), options) as directory:
        (task,) = directory.tasks
        dead = Checkpoints(directory.place(task), "t", {})
        with pytest.raises(UsageError, match="is in use by another evaluation"):
            Checkpoints(directory.place(task), "t", {})
        directory.unlock(task)
        following = Checkpoints(directory.place(task), "t", {})
        assert following._lock.is_held()
        with pytest.raises(UsageError, match="is in use"):
            dead._lock.acquire()  # were it alive: before every checkpoint
        dead.close()
        assert following._lock.is_held()
    again = replace(options, resume=True)
    with CommandDirectory(tasks(again, 1), again) as directory:  # its driver was killed, and it is about to be
        third = Checkpoints(directory.place(directory.tasks[0]), "t", {})
        assert third._lock.is_held() and not following._lock.is_held()
        third.close()
        following.close()


def test_workers_of_an_earlier_beginning_write_elsewhere(tmp_path: Path) -> None:
    options = Options(checkpoint=tmp_path)
    with CommandDirectory(tasks(options, 1), options) as first:
        first.forget([])
    with pytest.warns(UserWarning, match="replace the checkpoints"):
        second = CommandDirectory(tasks(options, 1), options)
    with second:
        assert second.place(second.tasks[0]) != first.place(first.tasks[0])


def test_a_worker_that_does_not_see_the_directory_says_so(tmp_path: Path) -> None:
    options = Options(checkpoint=tmp_path)
    (task,) = tasks(options, 1)
    work = to_work([task], options_for_workers(options, 1), checkpoint=tmp_path / "command-0" / "000000")
    try:
        (outcome,) = evaluate_work(work).outcomes
    finally:
        close()
    assert isinstance(outcome, Failure)
    assert f"all workers see, but {platform.node()} has no {tmp_path}/command-0" in str(outcome.error)
    assert list(tmp_path.iterdir()) == []
    with CommandDirectory([task], options) as directory:
        require_seen(directory.place(task))


@pytest.mark.slow
def test_what_an_evaluator_says_of_resuming(tmp_path: Path) -> None:
    options: dict[str, Any] = {"audit": "off", "checkpoint": tmp_path / "kept", "resume": True}
    jobs = [Job("isolated_cube", replace(CONFIG, max_steps=1), seed) for seed in range(2)]
    with LocalWorkers(1) as workers, Evaluator(executor=workers, **options) as evaluator:
        list(evaluator.map(jobs))  # such as were done before an interruption are no news
        with pytest.warns(UserWarning, match=r"no command-\w{16} in .*kept: the evaluations start from the begin"):
            evaluator.together(jobs)
        next(evaluator.map(jobs))
        with pytest.warns(UserWarning, match="without a history, evaluations that were finished are made again"):
            list(evaluator.map(jobs))
    assert not (tmp_path / "kept").exists()
