"""Evaluates jobs by Ray's workers with checkpoints: one worker is killed, then the evaluator is stopped; prints JSON.

on_ray_with_checkpoints.py DIRECTORY
"""

import json
import os
import signal
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from kept import in_training, kept_steps, worker_of
from meeting import met
from on_ray import JOBS, LONG
from outcomes import timeless, while_evaluating
from processes import await_some, await_that

from vecparity import Evaluator
from vecparity.cluster import dispatch
from vecparity.cluster.ray_workers import RayWorkers
from vecparity.errors import InterruptedTrainingError

JOBS = JOBS[:2]


def kill_and_see(directory: Path, found: dict[str, Any]) -> None:
    """Kills the worker of a job in its training, and sees the next one go on: it does not write the runs anew."""
    job = await_some(lambda: in_training(directory, {}, LONG.max_steps // 2))[0]
    (runs,) = job.glob("*.runs.json")
    os.kill(worker_of(job), signal.SIGKILL)
    before, file = kept_steps(job)[job], runs.stat().st_ino
    await_that(lambda: kept_steps(job).get(job, 0) > before)
    found["is_resumed"] = runs.stat().st_ino == file


def main() -> None:
    """Prints what came of it."""
    killed, stopped = Path(sys.argv[1], "killed"), Path(sys.argv[1], "stopped")
    dispatch._HAND_BACK_SECONDS = 120.0  # as a busy machine may need them
    found: dict[str, Any] = {}
    made = []
    with RayWorkers() as workers:
        with Evaluator(
            audit="off", device="cpu", executor=workers, checkpoint=killed, checkpoint_seconds=0
        ) as evaluator:
            made.append(timeless(while_evaluating(evaluator, JOBS, lambda: kill_and_see(killed, found))))
        with TemporaryDirectory() as meeting:  # so that the worker in the dead one's place has loaded all, too
            for future in [workers.submit(met, meeting, 2) for _ in range(2)]:
                future.result()
        with Evaluator(
            audit="off", device="cpu", executor=workers, checkpoint=stopped, checkpoint_seconds=1000
        ) as evaluator:

            def stop() -> None:
                await_that(lambda: len(list(stopped.rglob("*.runs.json"))) == 2)
                evaluator.stop()

            try:
                while_evaluating(evaluator, JOBS, stop)
            except InterruptedTrainingError as error:
                found["status"] = error.exit_status
        found["handed_back_at"] = list(kept_steps(stopped).values())
        with Evaluator(audit="off", device="cpu", executor=workers, checkpoint=stopped, resume=True) as evaluator:
            made.append(timeless(list(evaluator.map(JOBS))))
    with Evaluator(audit="off", device="cpu") as evaluator:
        here = timeless(list(evaluator.map(JOBS)))
    found["are_same"] = [outcomes == here for outcomes in made]
    found["left"] = [path.name for path in Path(sys.argv[1]).iterdir()]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
