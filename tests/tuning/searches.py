"""Searches built from made-up figures."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from made import audited, changed, made

from vecparity.errors import VecparityError
from vecparity.evaluation.result import Evaluation
from vecparity.strategy.parameters import Value
from vecparity.strategy.rewriting import with_defaults
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Choice, Range, Space
from vecparity.task.config import task_config
from vecparity.tuning.results import Search, Trial, Winner

STRATEGY = Strategy.from_source(
    "def make_dataset(secret, config, seed, *, rows=4096): ...\n"
    "def get_optimizer_config(config, *, lr=1e-2, wd=0.3, schedule='flat'): ...\n",
    name="mine",
)
SPACE: Space = {
    "lr": Range(1e-3, 1e-1, log=True),
    "rows": Range(100, 10_000, log=True),
    "schedule": Choice("flat", "cosine", "a schedule of quite a long name"),
    "wd": Range(0.0, 1.0),
}


def trials(number: int, space: Space = SPACE) -> list[Trial]:
    """Trials as a search may make them: most good ones tie, some are dropped, and every 25th fails."""
    random_ = random.Random(0)
    return [_trial(index, space, random_) for index in range(number)]


def _trial(index: int, space: Space, random_: random.Random) -> Trial:
    params: dict[str, Value] = {name: _value(each, random_) for name, each in space.items()}
    if index % 25 == 24:
        return Trial(
            index, params, "failed", None, None, 0, "mine.py: get_optimizer_config raised ValueError: <b>no</b>"
        )
    lr = float(params.get("lr", 0.01))
    badness = max(0.0, abs(math.log10(lr / 0.02)) - random_.uniform(0.2, 0.8))
    accuracy = 1.0 if badness == 0 else max(0.5, 1.0 - 0.7 * badness)
    steps = min(100_000.0, 1_500 * (1 + random_.random() + (0.02 / lr if lr < 0.02 else 1) + 50 * badness))
    is_dropped = accuracy < 0.7 and index > 10
    return Trial(index, params, "dropped" if is_dropped else "complete", accuracy, steps, 12 if is_dropped else 100)


def _value(space: Range | Choice, random_: random.Random) -> Value:
    if isinstance(space, Choice):
        return random_.choice(space.values)
    ends = (math.log(space.low), math.log(space.high)) if space.log else (space.low, space.high)
    drawn = random_.uniform(*ends)
    value = min(max(math.exp(drawn) if space.log else drawn, space.low), space.high)
    return round(value) if space.is_whole else value


def ends_of(accuracies: Sequence[float], steps: int = 2_000) -> list[list[tuple[int, float]]]:
    """Two orderings of each secret."""
    return [[(steps, accuracy), (steps + 250, accuracy)] for accuracy in accuracies]


def winner(trial: Trial, errors: Mapping[str, VecparityError] | None = None) -> Winner:
    """A winner whose accuracy on fresh secrets is 0.98 on the search's configuration."""
    by_label = {"n32-k8": [0.97, 0.98, 0.99], "n50-k8": [0.8, 0.9, 0.7]}
    evaluations = [
        sealed(audited(changed(made("mine", ends_of(accuracies), label), params=dict(trial.params))))
        for label, accuracies in by_label.items()
    ]
    return Winner(trial, with_defaults(STRATEGY, trial.params), evaluations, errors or {})


def sealed(evaluation: Evaluation) -> Evaluation:
    return changed(evaluation, seal="ab" * 32)


def search(number: int = 40, *, num_winners: int = 2, space: Space = SPACE, **fields: Any) -> Search:
    """A search of so many trials, the best of which were evaluated anew."""
    every = trials(number, space)
    best = sorted(
        (trial for trial in every if trial.state == "complete"),
        key=lambda trial: (-(trial.accuracy or 0), trial.mean_steps or 0),
    )
    made_search = Search(
        strategy=STRATEGY,
        config=task_config("n32-k8"),
        protocol="full",
        seed=42,
        space=space,
        sampler="tpe",
        trials=every,
        winners=[winner(trial) for trial in best[:num_winners]],
        importances={"lr": 0.7, "wd": 0.2, "rows": 0.07, "schedule": 0.03},
        seconds=12.3,
    )
    return replace(made_search, **fields)
