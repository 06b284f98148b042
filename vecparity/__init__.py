"""The optimization-parity benchmark, all of its training runs in one batched tensor."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from vecparity._version import __version__

if TYPE_CHECKING:
    from vecparity.analysis.comparing import compare
    from vecparity.analysis.comparison import Comparison, Comparisons
    from vecparity.analysis.leaderboard import Leaderboard
    from vecparity.analysis.ranking import leaderboard
    from vecparity.api import Evaluator, evaluate, evaluate_many, search, sweep
    from vecparity.cluster.local import LocalWorkers
    from vecparity.evaluation.callbacks import Follower
    from vecparity.evaluation.evaluations import Evaluations
    from vecparity.evaluation.job import Failure, Job
    from vecparity.evaluation.options import Options
    from vecparity.evaluation.result import Evaluation
    from vecparity.history.store import History
    from vecparity.inspection.checking import Check, check
    from vecparity.inspection.doctor import diagnose
    from vecparity.report import write_report
    from vecparity.strategy.source import Strategy
    from vecparity.strategy.space import Choice, Range
    from vecparity.task.config import OptimizerConfig, TaskConfig, task_config
    from vecparity.task.dataset import parity_labels
    from vecparity.tuning.results import Search, Sweep

__all__ = [
    "Check",
    "Choice",
    "Comparison",
    "Comparisons",
    "Evaluation",
    "Evaluations",
    "Evaluator",
    "Failure",
    "Follower",
    "History",
    "Job",
    "Leaderboard",
    "LocalWorkers",
    "OptimizerConfig",
    "Options",
    "Range",
    "Search",
    "Strategy",
    "Sweep",
    "TaskConfig",
    "__version__",
    "check",
    "compare",
    "diagnose",
    "evaluate",
    "evaluate_many",
    "leaderboard",
    "parity_labels",
    "search",
    "sweep",
    "task_config",
    "write_report",
]

# Loaded on first access: importing torch takes a second, in which the command already starts its workers' server.
_WHERE = {
    "Check": "inspection.checking",
    "Choice": "strategy.space",
    "Comparison": "api",
    "Comparisons": "api",
    "Evaluation": "api",
    "Evaluations": "api",
    "Evaluator": "api",
    "Failure": "evaluation.job",
    "Follower": "evaluation.callbacks",
    "History": "api",
    "Job": "evaluation.job",
    "Leaderboard": "api",
    "LocalWorkers": "cluster.local",
    "OptimizerConfig": "task.config",
    "Options": "evaluation.options",
    "Range": "strategy.space",
    "Search": "api",
    "Strategy": "strategy.source",
    "Sweep": "api",
    "TaskConfig": "task.config",
    "compare": "api",
    "diagnose": "inspection.doctor",
    "check": "inspection.checking",
    "evaluate": "api",
    "evaluate_many": "api",
    "leaderboard": "api",
    "parity_labels": "task.dataset",
    "search": "api",
    "sweep": "api",
    "task_config": "task.config",
    "write_report": "report",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
