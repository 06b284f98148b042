"""Results as metric lines. Source: contract section 6."""

from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig

_DIGEST_LINES = 5


def task_config_line(config: TaskConfig) -> str:
    return (
        f"TASK_CONFIG N={config.n_features} K={config.secret_size} W={config.hidden_width} "
        f"num_hidden_secrets={config.num_hidden_secrets} num_orderings={config.num_orderings} "
        f"test_set_size={config.test_set_size} batch_size={config.batch_size} max_steps={config.max_steps}"
    )


def dataset_line(secret_index: int, num_examples: int, positive_rate: float) -> str:
    return f"DATASET_METRICS secret={secret_index} num_examples={num_examples} positive_rate={positive_rate:.6f}"


def train_line(secret_index: int, order_index: int, step: int, loss: float, accuracy: float) -> str:
    return f"TRAIN_METRICS secret={secret_index} order={order_index} step={step} loss={loss:.6f} acc={accuracy:.6f}"


def run_lines(evaluation: Evaluation) -> list[str]:
    return [
        f"RUN_METRICS secret={run.secret_index} order={run.order_index} steps={run.steps} "
        f"test_accuracy={run.test_accuracy:.6f}"
        for run in evaluation.results
    ]


def train_lines(evaluation: Evaluation) -> list[str]:
    """Returns the lines of all windows in the order of training: by step, secret and ordering."""
    windows = sorted(
        (step, run.secret_index, run.order_index, loss, accuracy)
        for run in evaluation.curves
        for step, loss, accuracy in zip(run.curve.step, run.curve.loss, run.curve.accuracy, strict=True)
    )
    return [train_line(i, j, step, loss, accuracy) for step, i, j, loss, accuracy in windows]


def full_lines(evaluation: Evaluation) -> list[str]:
    """Returns every line."""
    return [
        task_config_line(evaluation.config),
        *(dataset_line(data.secret_index, data.num_examples, data.positive_rate) for data in evaluation.datasets),
        *train_lines(evaluation),
        *run_lines(evaluation),
        *final_lines(evaluation),
    ]


def final_lines(evaluation: Evaluation) -> list[str]:
    """Returns FINAL_METRICS and TEST_METRICS, or no lines if there is no score."""
    if evaluation.why_no_score:
        return []
    metrics = evaluation.metrics
    return [
        f"FINAL_METRICS test_accuracy={metrics.test_accuracy:.6f} score={metrics.score:.6f} "
        f"test_accuracy_std={metrics.test_accuracy_std:.6f} mean_steps={metrics.mean_steps:.6f} "
        f"num_runs={metrics.num_runs}",
        f"TEST_METRICS test_accuracy={metrics.test_accuracy:.6f} score={metrics.score:.6f}",
    ]


def digest_lines(evaluation: Evaluation) -> list[str]:
    """Returns the lines an author reads: TASK_CONFIG, the last windows, the last runs and the final lines."""
    return [
        task_config_line(evaluation.config),
        *train_lines(evaluation)[-_DIGEST_LINES:],
        *run_lines(evaluation)[-_DIGEST_LINES:],
        *final_lines(evaluation),
    ]
