"""The sides of a comparison: recorded evaluations as they are, strategies evaluated, or taken from the history."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass

from vecparity.errors import UsageError
from vecparity.evaluation import Evaluation
from vecparity.evaluations import evaluations
from vecparity.follower import Follower
from vecparity.options import Options
from vecparity.spec import TaskConfig
from vecparity.strategy import Strategy
from vecparity.workbench.recording import Recorder
from vecparity.workbench.references import Reference

Follow = Callable[[Sequence[TaskConfig]], AbstractContextManager[Follower]]


@dataclass(frozen=True)
class Side:
    """What is compared with others: its evaluations of each configuration, one a seed, by the configuration's label."""

    name: str
    evaluations: dict[str, list[Evaluation]]


def sides(
    references: Sequence[Reference],
    configs: Sequence[TaskConfig],
    seeds: Sequence[int],
    protocol: str,
    options: Options,
    recorder: Recorder,
    follow: Follow,
) -> list[Side]:
    """Evaluates what has to be, all strategies in one ensemble.

    Args:
        references: What is compared.
        configs: The settings that strategies are evaluated under where nothing recorded is given: else they are that
            evaluation's.
        seeds: The top-level seeds, likewise.
        protocol: What provenance says of the settings.
        options: How strategies are evaluated.
        recorder: Records what is evaluated.
        follow: Makes what is told how the evaluations go, given their settings.

    Raises:
        UsageError: Strategies cannot be evaluated on the secrets of a sealed evaluation.
    """
    recorded = [given.given for given in references if isinstance(given.given, Evaluation)]
    strategies = [given.given for given in references if not isinstance(given.given, Evaluation)]
    if recorded and strategies:
        if any(evaluation.provenance.seal for evaluation in recorded):
            raise UsageError("a sealed evaluation is compared with recorded ones: got a strategy to be evaluated")
        configs = list(dict.fromkeys(evaluation.config for evaluation in recorded))
        seeds = sorted({evaluation.provenance.seed for evaluation in recorded})
        protocol = recorded[0].provenance.protocol
    jobs = [(chosen, seed) for chosen in strategies for seed in seeds]
    made = _evaluate(jobs, configs, protocol, options, recorder, follow) if jobs else []
    result, job = [], 0
    for reference in references:
        if isinstance(reference.given, Evaluation):
            result.append(Side(reference.name, {reference.given.config.label: [reference.given]}))
            continue
        own = slice(job, job + len(seeds))
        job += len(seeds)
        by_label = {config.label: evaluated[own] for config, evaluated in zip(configs, made, strict=True)}
        result.append(Side(reference.name, by_label))
    return result


def _evaluate(
    jobs: Sequence[tuple[Strategy, int]],
    configs: Sequence[TaskConfig],
    protocol: str,
    options: Options,
    recorder: Recorder,
    follow: Follow,
) -> list[list[Evaluation]]:
    made = []
    with follow(configs) as follower:
        going = evaluations(
            jobs, configs, protocol, options, follower.prepared, follower.window, recall=recorder.recall
        )
        with closing(going):
            for config in configs:
                follower.begin(config)
                made.append(next(going))
                follower.finish(made[-1])
                recorder.record(list(zip(made[-1], (chosen for chosen, _ in jobs), strict=True)))
    return made
