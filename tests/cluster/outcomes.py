"""Outcomes and files without their times, for comparisons, and evaluations during which something happens."""

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vecparity import Evaluation, Evaluator, Job
from vecparity.evaluation.job import Outcome


def timeless(outcomes: Sequence[Outcome]) -> list[Evaluation]:
    evaluations = [outcome for outcome in outcomes if isinstance(outcome, Evaluation)]
    assert len(evaluations) == len(outcomes), outcomes
    return [replace(made, provenance=replace(made.provenance, wall_seconds=0.0)) for made in evaluations]


def here(jobs: Sequence[Job], **options: Any) -> list[Evaluation]:
    with Evaluator(**{"audit": "off"} | options) as evaluator:
        return timeless(list(evaluator.map(jobs)))


def while_evaluating(evaluator: Evaluator, jobs: Sequence[Job], act: Callable[[], None]) -> list[Outcome]:
    """Evaluates jobs, and does something meanwhile."""
    acting = threading.Thread(target=act)
    acting.start()
    outcomes = list(evaluator.map(jobs))
    acting.join()
    return outcomes


def contents(directory: Path) -> dict[str, Any]:
    """Returns the JSON files of a directory without times."""
    found = {path.name: json.loads(path.read_text()) for path in directory.glob("*.json")}
    for content in found.values():
        del content["provenance"]["wall_seconds"]
    return found
