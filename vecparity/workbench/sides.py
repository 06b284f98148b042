"""The sides of a comparison: recorded evaluations as they are, strategies evaluated, or taken from the history."""

from collections.abc import Sequence
from dataclasses import dataclass

from vecparity.errors import UsageError
from vecparity.evaluation import Evaluation
from vecparity.evaluations import OnPrepared, OnWindow, evaluations
from vecparity.options import Options
from vecparity.spec import TaskConfig
from vecparity.workbench.recording import Recorder
from vecparity.workbench.references import Reference


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
    on_prepared: OnPrepared = lambda runs, engine: None,
    on_window: OnWindow = lambda closed: None,
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
        on_prepared: See `evaluations`.
        on_window: See `evaluations`.

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
    made: list[list[Evaluation]] = []
    if jobs:
        with_history = evaluations(jobs, configs, protocol, options, on_prepared, on_window, recall=recorder.recall)
        for evaluated in with_history:
            recorder.record(list(zip(evaluated, (chosen for chosen, _ in jobs), strict=True)))
            made.append(evaluated)
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
