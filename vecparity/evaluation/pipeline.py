"""The pipeline of evaluations, one configuration after another: recall, resume, prepare, train, gather."""

import platform
import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vecparity import _version
from vecparity.audits.finding import AuditFinding
from vecparity.audits.findings import file_unchanged
from vecparity.audits.mode import audit_mode
from vecparity.errors import UsageError
from vecparity.evaluation.callbacks import Follower
from vecparity.evaluation.options import Options
from vecparity.evaluation.preparation import Preparation, Prepared, Source
from vecparity.evaluation.result import (
    ByFeature,
    DatasetSummary,
    DivergedRun,
    Evaluation,
    FirstLayer,
    Provenance,
    RunCurve,
    RunResult,
)
from vecparity.evaluation.resumption import keep, notes_of, warn_of_nothing_kept
from vecparity.sandbox import levels
from vecparity.sandbox.levels import Level
from vecparity.strategy.source import Strategy
from vecparity.task.config import Secret, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.task.dataset_stats import density, pattern_counts
from vecparity.task.seeds import key_digest
from vecparity.training import random_streams, reference
from vecparity.training.checkpoints.checkpoint import Checkpoints
from vecparity.training.engines.names import EngineName
from vecparity.training.engines.select import choose_devices, choose_engine, device_name, make_engine
from vecparity.training.loop import Trained, WindowClosed, train
from vecparity.training.runs import Run

OnWindow = Callable[[WindowClosed], None]
Recall = Callable[[TaskConfig, Provenance], Evaluation | None]


def evaluations(
    jobs: Sequence[tuple[Strategy, int]],
    configs: Sequence[TaskConfig],
    protocol_name: str,
    options: Options,
    follower: Follower,
    stop_requested: Callable[[], bool] = lambda: False,
    recall: Recall = lambda config, provenance: None,
) -> Generator[list[Evaluation], None, None]:
    """Evaluates all jobs under one configuration after another; prepares the next configuration while one trains.

    Args:
        jobs: Strategies with the seeds to evaluate them under.
        configs: The settings of each configuration.
        protocol_name: The protocol's name in the provenance.
        options: The options.
        follower: Receives the progress; `prepared` is not called for a configuration that needs no training.
        stop_requested: Polled at intervals; returns whether to keep a checkpoint and stop.
        recall: Called with the settings and the provenance, without its wall time, of every evaluation; returns the
            evaluation if it is already known, else None.

    Yields:
        For each configuration one evaluation for each job, in order. After saving the last ones, the caller must
        advance the generator once more, which removes all checkpoints. Closing it earlier keeps them for a resumption.

    Raises:
        InterruptedTrainingError: A stop was requested.
    """
    if not jobs:
        raise UsageError("jobs must be at least one strategy with a seed, got none")
    devices = choose_devices("cpu" if options.engine == "native" and options.device == "auto" else options.device)
    init_device = choose_devices(options.init_device)[0]
    needs_cuda = init_device.type == "cuda"
    level = levels.choose(options.containment, options.require_containment, needs_cuda=needs_cuda)
    is_sealed = options.seal_key is not None
    sources = [
        Source(index, chosen, options.seeds(seed), audit_mode(chosen, options.audit, is_sealed=is_sealed))
        for index, (chosen, seed) in enumerate(jobs)
    ]
    with ExitStack() as stack:
        plan = [_plan(config, sources, protocol_name, options, devices, level, recall, stack) for config in configs]
        first = next((planned for planned in plan if planned.asked), None)  # later configurations may not have begun
        if options.resume and first and first.checkpoints is not None and first.kept is None:
            warn_of_nothing_kept(first.checkpoints)

        if first:
            random_streams.warn_of_others()
        began = time.perf_counter()
        missing = [(planned.config, planned.asked) for planned in plan if planned.asked and planned.kept is None]
        preparation = stack.enter_context(
            Preparation(missing, level, options.limits, init_device, options.strategy_log)
        )
        preparing = iter(preparation)
        for planned in plan:
            follower.begin(planned.config)
            made = dict(planned.known)
            if planned.asked:
                prepared = planned.kept or next(preparing)
                if planned.checkpoints is not None and planned.kept is None:
                    planned.checkpoints.begin(prepared.runs, notes_of(prepared))
                num_own = len(planned.asked) * planned.config.num_runs
                follower.prepared(prepared.runs[:num_own], planned.engine)
                tell = _without_audits(follower.window, num_own)
                trained = _train(planned, prepared, options, devices, tell, stop_requested)
                seconds = time.perf_counter() - began
                made |= {source.index: _gather(planned, source, prepared, trained, seconds) for source in planned.asked}
            evaluated = [made[index] for index in range(len(jobs))]
            follower.finish(evaluated)
            yield evaluated
            began = time.perf_counter()
        for planned in plan:
            if planned.checkpoints is not None:
                planned.checkpoints.end()


@dataclass(frozen=True)
class _Planned:
    """One configuration's part of the work.

    Attributes:
        config: The settings.
        engine: The engine that trains.
        stamps: Every job's provenance, without the wall time.
        known: Evaluations that are already known, by job.
        asked: The jobs that need an evaluation.
        checkpoints: The checkpoints of the training, if any.
        kept: The runs and audits restored from a checkpoint, if the training resumes.
    """

    config: TaskConfig
    engine: EngineName
    stamps: list[Provenance]
    known: dict[int, Evaluation]
    asked: list[Source]
    checkpoints: Checkpoints | None
    kept: Prepared | None


def _plan(
    config: TaskConfig,
    sources: Sequence[Source],
    protocol_name: str,
    options: Options,
    devices: Sequence[torch.device],
    level: Level,
    recall: Recall,
    stack: ExitStack,
) -> _Planned:
    engine = choose_engine(options.engine, devices, options.dtype, config)
    stamps = [
        Provenance(
            vecparity=_version.__version__,
            torch=torch.__version__,
            python=platform.python_version(),
            engine=engine,
            device=device_name(devices),
            device_type=devices[0].type,
            dtype=str(options.dtype).removeprefix("torch."),
            strategy=source.strategy.name,
            strategy_sha256=source.strategy.sha256,
            seed=source.seeds.seed,
            protocol=protocol_name,
            init_device=options.init_device,
            containment=level,
            audit=source.audit,
            seal=None if options.seal_key is None else key_digest(options.seal_key),
            wall_seconds=0.0,
        )
        for source in sources
    ]
    recalled = {source.index: recall(config, stamp) for source, stamp in zip(sources, stamps, strict=True)}
    known = {index: evaluation for index, evaluation in recalled.items() if evaluation is not None}
    asked = [source for source in sources if source.index not in known]
    checkpoints, kept = None, None
    if asked or options.resume:  # an interrupted command may have recorded everything but not removed its checkpoint
        checkpoints, kept = keep(options, config, asked or sources, engine, devices, stack)
    return _Planned(config, engine, stamps, known, asked, checkpoints, kept)


def _train(
    planned: _Planned,
    prepared: Prepared,
    options: Options,
    devices: Sequence[torch.device],
    on_window: OnWindow,
    stop_requested: Callable[[], bool],
) -> list[Trained]:
    if planned.engine == "reference":
        return reference.train(prepared.runs, planned.config, devices[0], options.dtype, on_window)
    engine = make_engine(planned.engine, options.chunk_runs)
    return train(
        prepared.runs, planned.config, engine, devices, options.dtype, on_window, planned.checkpoints, stop_requested
    )


def _gather(
    planned: _Planned, source: Source, prepared: Prepared, trained: Sequence[Trained], seconds: float
) -> Evaluation:
    ended = [(run, end) for run, end in zip(prepared.runs, trained, strict=True) if run.evaluation == source.index]
    audit = prepared.audits[planned.asked.index(source)]
    findings = audit.findings(trained) if audit else []
    if audit:
        findings.append(file_unchanged(source.strategy.sha256, Path(source.strategy.path)))
    stamp = replace(planned.stamps[source.index], wall_seconds=seconds)
    return gather(planned.config, source.seeds.secrets(planned.config), ended, findings, stamp)


def _without_audits(on_window: OnWindow, num_own: int) -> OnWindow:
    """Wraps a window callback so that it does not see the audits' runs, which follow the evaluations' own."""

    def tell(closed: WindowClosed) -> None:
        own = sum(run < num_own for run in closed.runs)
        if own:
            runs, loss, accuracy = closed.runs[:own], closed.loss[:own], closed.accuracy[:own]
            live = [run for run in closed.live if run < num_own]
            on_window(replace(closed, runs=runs, loss=loss, accuracy=accuracy, live=live))

    return tell


def gather(
    config: TaskConfig,
    secrets: Sequence[Secret],
    ended: Sequence[tuple[Run, Trained]],
    findings: list[AuditFinding],
    provenance: Provenance,
) -> Evaluation:
    """Gathers one evaluation.

    Args:
        config: The settings.
        secrets: All of the evaluation's secrets. A sealed evaluation contains nothing that would reveal one.
        ended: Runs with their results, ordered by (secret, ordering).
        findings: The findings of audits.
        provenance: The evaluation's provenance.
    """
    is_sealed = provenance.seal is not None
    datasets = {run.secret_index: run.dataset for run, _ in ended}
    return Evaluation(
        config=config,
        datasets=[_summarise(i, data, secrets[i], is_sealed) for i, data in datasets.items()],
        results=[
            RunResult(run.secret_index, run.order_index, end.steps, end.test_accuracy)
            for run, end in ended
            if end.test_accuracy is not None
        ],
        diverged=[
            DivergedRun(run.secret_index, run.order_index, end.steps) for run, end in ended if end.test_accuracy is None
        ],
        curves=[RunCurve(run.secret_index, run.order_index, end.curve) for run, end in ended],
        first_layers=[
            FirstLayer(
                run.secret_index, run.order_index, by_feature(end.first_layer, secrets[run.secret_index], is_sealed)
            )
            for run, end in ended
            if end.first_layer is not None
        ],
        findings=findings,
        provenance=provenance,
    )


def by_feature(values: Sequence[float], secret: Secret, is_sealed: bool) -> ByFeature:
    """Averages one value per feature over the secret's features and over the other features."""
    others = [value for feature, value in enumerate(values) if feature not in secret]
    return ByFeature(
        secret=statistics.fmean(values[feature] for feature in secret),
        others=statistics.fmean(others) if others else None,
        each=None if is_sealed else list(values),
    )


def _summarise(i: int, data: Dataset, secret: Secret, is_sealed: bool) -> DatasetSummary:
    return DatasetSummary(
        secret_index=i,
        num_examples=data.num_examples,
        positive_rate=data.positive_rate,
        secret=None if is_sealed else list(secret),
        patterns_covered=len(pattern_counts(data, secret)),
        density=by_feature(density(data).tolist(), secret, is_sealed),
    )
