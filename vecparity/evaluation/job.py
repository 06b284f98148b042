"""Jobs, and what becomes of them: an evaluation, or a failure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vecparity.audits.mode import AuditMode, audit_mode
from vecparity.errors import UsageError, VecparityError, brief
from vecparity.evaluation.options import Options
from vecparity.evaluation.result import Evaluation
from vecparity.strategy import parameters
from vecparity.strategy.parameters import Parameters, Value
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import CONFIGURATIONS, Protocol, TaskConfig, override, protocol_name, task_config
from vecparity.task.seeds import Seeds


@dataclass(frozen=True)
class Job:
    """One evaluation to make.

    Attributes:
        strategy: A bundled strategy's name, a file, or a loaded strategy.
        config: A label (``n32-k8``, ``n50-k8``, ``n64-k8``), or settings, used unchanged.
        seed: The top-level seed.
        params: Values for parameters of the strategy, by name: keyword-only arguments of its functions.
        protocol: ``full`` or ``published``; only with a label.
        smoke: The short settings on top of the protocol; only with a label.
        settings: Fields of `TaskConfig` to replace, by name.
    """

    strategy: str | Path | Strategy
    config: str | TaskConfig = "n32-k8"
    seed: int = 42
    params: Mapping[str, Value] = field(default_factory=dict)
    protocol: Protocol = "full"
    smoke: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A job without a score.

    Attributes:
        job: The job.
        error: The reason, as its own command would give it.
        evaluation: The evaluation, if it was made but has no score, because a run diverged or a strict audit failed.
    """

    job: Job
    error: VecparityError
    evaluation: Evaluation | None = None

    @property
    def exit_status(self) -> int:
        """The exit status of the job's own command."""
        return self.error.exit_status


Outcome = Evaluation | Failure


@dataclass(frozen=True)
class Task:
    """A job whose inputs are read and checked.

    Attributes:
        index: The job's position among the jobs given together.
        job: The job.
        strategy: The strategy.
        parameters: The values of its parameters.
        config: The settings.
        protocol: The protocol's name in the provenance.
        seeds: The source of random numbers.
        audit: The audit mode.
    """

    index: int
    job: Job
    strategy: Strategy
    parameters: Parameters
    config: TaskConfig
    protocol: str
    seeds: Seeds
    audit: AuditMode


def to_task(index: int, job: Job, options: Options) -> Task:
    """Reads a job's strategy, and builds its settings.

    Raises:
        UsageError: A field of the job is invalid, or its strategy cannot be read.
    """
    if not isinstance(job, Job):
        raise UsageError(f"expected a Job, got {brief(job)}")
    strategy = job.strategy if isinstance(job.strategy, Strategy) else load(job.strategy)
    config, protocol = settings_of(job)
    return Task(
        index=index,
        job=job,
        strategy=strategy,
        parameters=parameters.resolve(strategy, job.params),
        config=config,
        protocol=protocol,
        seeds=options.seeds(job.seed),
        audit=audit_mode(strategy, options.audit, is_sealed=options.seal_key is not None),
    )


def to_tasks(
    jobs: Sequence[tuple[Strategy, int]],
    configs: Sequence[TaskConfig],
    protocol: str,
    options: Options,
    params: Mapping[str, Value] = MappingProxyType({}),
) -> list[Task]:
    """Returns a command's tasks: all strategies with their seeds, under one configuration after another.

    Args:
        jobs: Strategies with the seeds to evaluate them under.
        configs: The settings of each configuration.
        protocol: The protocol's name in the provenance.
        options: The options.
        params: See `Job`.

    Raises:
        UsageError: See `to_task`.
    """
    listed = [Job(strategy, config, seed, params) for config in configs for strategy, seed in jobs]
    return [replace(to_task(index, job, options), protocol=protocol) for index, job in enumerate(listed)]


def evaluations(outcomes: Iterable[tuple[Task, Outcome]]) -> list[Evaluation]:
    """Returns the evaluations among outcomes, in order."""
    return [outcome for _, outcome in outcomes if isinstance(outcome, Evaluation)]


def settings_of(job: Job) -> tuple[TaskConfig, str]:
    """Returns a job's settings, and the protocol's name in the provenance.

    Raises:
        UsageError: The job's configuration, protocol or settings are invalid.
    """
    if not isinstance(job.smoke, bool):
        raise UsageError(f"smoke must be True or False, got {job.smoke!r}")
    if isinstance(job.config, TaskConfig):
        if job.protocol != "full" or job.smoke:
            raise UsageError("protocol and smoke need a label as config (n32-k8, n50-k8 or n64-k8), got a TaskConfig")
        return override(job.config, dict(job.settings)), "custom"
    if not isinstance(job.config, str):
        raise UsageError(f"config must be one of {', '.join(CONFIGURATIONS)}, or a TaskConfig, got {job.config!r}")
    config = task_config(job.config, protocol=job.protocol, smoke=job.smoke, **job.settings)
    return config, protocol_name(job.protocol, smoke=job.smoke)
