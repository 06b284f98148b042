"""The sides of a comparison: recorded evaluations, and strategies evaluated now or taken from the history."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass

from vecparity.analysis.contenders import require_same_settings
from vecparity.cli.messages import say, warn_of_failed_audits
from vecparity.cluster.choose import opened_workers
from vecparity.cluster.distribution import runner
from vecparity.errors import UsageError
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.job import evaluations, to_tasks
from vecparity.evaluation.options import Options
from vecparity.evaluation.pipeline import Pipeline
from vecparity.evaluation.result import Evaluation
from vecparity.history.recorder import Recorder
from vecparity.history.references import Reference
from vecparity.strategy.source import Strategy
from vecparity.task.config import TaskConfig

Follow = Callable[[Sequence[TaskConfig]], AbstractContextManager[Follower]]


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        name: The name given on the command line.
        short_name: The strategy's name if no other side has the same, else a distinct name.
        evaluations: Evaluations of each configuration, one for each seed, by the configuration's label.
    """

    name: str
    short_name: str
    evaluations: dict[str, list[Evaluation]]


def sides(
    references: Sequence[Reference],
    configs: Sequence[TaskConfig],
    seeds: Sequence[int],
    protocol: str,
    options: Options,
    recorder: Recorder,
    follow: Follow,
    workers: str | None = None,
) -> list[Side]:
    """Returns the sides; evaluates the strategies among them in one ensemble, each source once.

    Args:
        references: The strategies and recorded evaluations to compare.
        configs: Settings for evaluating strategies; if recorded evaluations are given, theirs are used instead.
        seeds: Top-level seeds for evaluating strategies; recorded evaluations' seeds are used instead if given.
        protocol: The protocol's name in the provenance; a recorded evaluation's is used instead if given.
        options: Options for evaluating strategies.
        recorder: Records the evaluations.
        follow: Makes the follower of the evaluations, given their settings.
        workers: The workers that evaluate, see `opened_workers`.

    Raises:
        UsageError: Strategies cannot be evaluated on the secrets of a sealed evaluation; recorded evaluations have no
            configuration in common with the first, or have one with other settings; a seed is given twice.
        DivergedError: A recorded evaluation has no score: a run diverged.
        AuditFailedError: A recorded evaluation has no score: a strict audit failed.
    """
    _require_comparable(references, seeds)
    subjects = [reference.subject for reference in references]
    recorded = [subject for subject in subjects if isinstance(subject, Evaluation)]
    strategies = {subject.sha256: subject for subject in subjects if not isinstance(subject, Evaluation)}
    if recorded and strategies:
        if any(evaluation.provenance.seal for evaluation in recorded):
            raise UsageError(
                "a sealed evaluation can be compared with recorded evaluations only, got a strategy to evaluate"
            )
        configs = list(dict.fromkeys(evaluation.config for evaluation in recorded))
        seeds = sorted({evaluation.provenance.seed for evaluation in recorded})
        protocol = recorded[0].provenance.protocol
    jobs = [(strategy, seed) for strategy in strategies.values() for seed in seeds]
    new_evaluations = []
    if jobs:
        new_evaluations = _evaluate(jobs, configs, protocol, options, recorder, follow, workers)
        recorder.note_reuse([reference.id for reference in references if reference.id is not None])
    place = {sha256: index * len(seeds) for index, sha256 in enumerate(strategies)}
    result = []
    for reference, short_name in zip(references, _short_names(references), strict=True):
        if isinstance(reference.subject, Evaluation):
            by_label = {reference.subject.config.label: [reference.subject]}
        else:
            first = place[reference.subject.sha256]
            own = slice(first, first + len(seeds))
            by_label = {
                config.label: evaluated[own] for config, evaluated in zip(configs, new_evaluations, strict=True)
            }
        result.append(Side(reference.name, short_name, by_label))
    return result


def _require_comparable(references: Sequence[Reference], seeds: Sequence[int]) -> None:
    """Checks, before anything is evaluated, that the recorded evaluations can be compared."""
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"expected each top-level seed once, got {', '.join(map(str, seeds))}")
    recorded = [
        (reference.name, subject) for reference in references if isinstance(subject := reference.subject, Evaluation)
    ]
    for name, evaluation in recorded:
        if problem := evaluation.why_no_score:
            raise problem
        require_same_settings([other for _, other in recorded if other.config.label == evaluation.config.label])
        first = references[0]
        if isinstance(first.subject, Evaluation) and first.subject.config.label != evaluation.config.label:
            raise UsageError(
                f"expected evaluations of the same configuration, got {first.subject.config.label} of {first.name} and "
                f"{evaluation.config.label} of {name}"
            )


def _short_names(references: Sequence[Reference]) -> list[str]:
    sources = [_source(reference) for reference in references]
    strategies = [strategy for strategy, _ in sources]
    names = [
        strategy if strategies.count(strategy) == 1 else reference.name
        for reference, strategy in zip(references, strategies, strict=True)
    ]
    # Files in different directories may have the same name.
    digests = {
        name: {sha256 for other, (_, sha256) in zip(names, sources, strict=True) if other == name} for name in names
    }
    return [
        name if len(digests[name]) == 1 else f"{name} ({sha256[:8]})"
        for name, (_, sha256) in zip(names, sources, strict=True)
    ]


def _source(reference: Reference) -> tuple[str, str]:
    """Returns the strategy's name, with its parameters, and the digest of its source."""
    if isinstance(reference.subject, Evaluation):
        return reference.subject.provenance.title, reference.subject.provenance.strategy_sha256
    return reference.subject.name, reference.subject.sha256


def _evaluate(
    jobs: Sequence[tuple[Strategy, int]],
    configs: Sequence[TaskConfig],
    protocol: str,
    options: Options,
    recorder: Recorder,
    follow: Follow,
    workers: str | None,
) -> list[list[Evaluation]]:
    tasks = to_tasks(jobs, configs, protocol, options)
    result = []
    with (
        follow(configs) as follower,
        Pipeline(options) as pipeline,
        opened_workers(workers, options.threads, options.engine, options.device, say) as executor,
        closing(
            runner(pipeline, options, executor).run(tasks, follower, fails_fast=True, recall=recorder.recall)
        ) as groups,
    ):
        for outcomes in groups:
            evaluated = evaluations(outcomes)
            result.append(evaluated)
            for evaluation in evaluated:
                warn_of_failed_audits(evaluation)
            for sentence in recorder.record(evaluated, jobs):
                say(sentence)
    return result
