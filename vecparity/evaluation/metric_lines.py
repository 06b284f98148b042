"""Results as metric lines. Source: contract section 6."""

import json

from vecparity.errors import printable
from vecparity.evaluation.result import Evaluation
from vecparity.task.config import TaskConfig

_DIGEST_LINES = 5
# Characters of a strategy's title and of a problem in a line of JSON.
_MOST_NAME, _MOST_PROBLEM = 60, 80


def strategy_line(name: str, sha256: str, seed: int, config: TaskConfig, protocol: str) -> str:
    """Returns the line before an evaluation's own, where there are several evaluations; the original has none."""
    named = "".join("_" if character.isspace() else character for character in name)
    return f"STRATEGY name={named} sha256={sha256[:16]} seed={seed} config={config.label} protocol={protocol}"


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


def json_line(evaluation: Evaluation) -> str:
    """Returns an evaluation's final figures, or why there are none, as one line of JSON of under 400 characters."""
    provenance, problem = evaluation.provenance, evaluation.why_no_score
    figures: dict[str, object] = dict.fromkeys(("test_accuracy", "test_accuracy_std", "score", "mean_steps"))
    if problem is None:
        metrics = evaluation.metrics
        figures = {name: round(getattr(metrics, name), 6) for name in figures}
    content = {
        "strategy": printable(provenance.title, most=_MOST_NAME),
        "sha256": provenance.strategy_sha256[:16],
        "seed": provenance.seed,
        "config": evaluation.config.label,
        "protocol": provenance.protocol,
        **figures,
        "num_runs": len(evaluation.curves),
        "seconds": round(provenance.wall_seconds, 2),
        **({"problem": printable(str(problem), most=_MOST_PROBLEM)} if problem else {}),
    }
    return json.dumps(content, allow_nan=False, ensure_ascii=False)


def digest_lines(evaluation: Evaluation) -> list[str]:
    """Returns the lines an author reads: TASK_CONFIG, the last windows, the last runs and the final lines."""
    return [
        task_config_line(evaluation.config),
        *train_lines(evaluation)[-_DIGEST_LINES:],
        *run_lines(evaluation)[-_DIGEST_LINES:],
        *final_lines(evaluation),
    ]
