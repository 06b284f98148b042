"""Makes sure that what is to vary is a parameter: AdamW's numbers can vary in every strategy."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from vecparity.evaluation.job import Job
from vecparity.strategy.optimizer_parameters import missing_parameters, with_optimizer_parameters
from vecparity.strategy.source import Strategy
from vecparity.task.config import OptimizerConfig


def tunable(job: Job, names: Iterable[str], ask: Callable[[Job], OptimizerConfig]) -> Strategy:
    """Returns a job's strategy, with all of AdamW's numbers among names as parameters.

    Args:
        job: The job, with a loaded strategy.
        names: Names of parameters that are to have other values; others than AdamW's may be among them.
        ask: Returns a job's own numbers, which become the defaults (`Evaluator.optimizer_config`).

    Raises:
        UsageError: The strategy's ``get_optimizer_config`` has other parameters, but not these.
        InvalidStrategyError: The strategy does not load, or returned something that is refused.
        StrategyFailedError: A function of the strategy raised, hit a limit, or ended its process.
    """
    assert isinstance(job.strategy, Strategy)
    if not (missing := missing_parameters(job.strategy, list(names))):
        return job.strategy
    return with_optimizer_parameters(job.strategy, missing, ask(replace(job, params={})))
