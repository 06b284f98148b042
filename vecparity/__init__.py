"""The optimization-parity benchmark, all of its training runs in one batched tensor."""

__version__ = "0.1.0"

from vecparity.data import parity_labels
from vecparity.evaluation import Evaluation
from vecparity.evaluator import evaluate, evaluate_many
from vecparity.spec import OptimizerConfig, TaskConfig, task_config

__all__ = [
    "Evaluation",
    "OptimizerConfig",
    "TaskConfig",
    "__version__",
    "evaluate",
    "evaluate_many",
    "parity_labels",
    "task_config",
]
