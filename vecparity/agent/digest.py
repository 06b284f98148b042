"""The answer to a test: what the benchmark's harness shows of it, or a line for each configuration; both bounded."""

import math
from collections.abc import Mapping, Sequence

from vecparity.agent.results import Scored, Submission
from vecparity.agent.settings import DigestForm
from vecparity.errors import VecparityError, in_number, printable
from vecparity.evaluation.metric_lines import final_lines, run_lines, train_lines
from vecparity.evaluation.result import Evaluation

# A digest is shorter than this: each of three configurations has a third, and the heading the rest.
MOST_CHARACTERS: dict[DigestForm, int] = {"harness": 4_000, "compact": 1_200}
_MOST_OF_EACH: dict[DigestForm, int] = {"harness": 1_250, "compact": 350}
_LINES = 5
_MOST_LINE, _MOST_FINAL = 100, 180
_CUT = "... (cut)"

DIGEST_FORMAT = """\
Test #1 (2 tests remaining; submit(n=1) submits this result)

Then, in the harness's form, for each configuration:
[n32-k8]
TRAIN_METRICS secret=4 order=2 step=1750 loss=0.010092 acc=1.000000   the last five windows of training
RUN_METRICS secret=4 order=2 steps=1750 test_accuracy=1.000000        the last five networks
FINAL_METRICS test_accuracy=1.000000 score=1.000000 test_accuracy_std=0.000000 mean_steps=1750.000000 num_runs=15

In the compact form, one line for each configuration:
[n32-k8] accuracy 1.000000, 1,750 steps; worst secrets 0: 1.0000, 1: 1.0000; +0.000317 and +0 steps against test 1, \
the best so far

Without a score, an error takes the place of figures:
[n32-k8, n50-k8, n64-k8] error: InvalidStrategyError: custom_strategy.py:41: does not load: SyntaxError: invalid syntax
"""


def digest(tests: Sequence[Scored], budget: int, form: DigestForm) -> str:
    """Returns the answer to the newest test.

    Args:
        tests: All tests so far, the newest last.
        budget: The number of tests of a session.
        form: ``harness`` shows each configuration's last windows, last runs and final figures; ``compact`` one line
            with the final figures, the worst secrets, and the change against the best test before.
    """
    newest = tests[-1]
    remaining = in_number(budget - newest.number, "test")
    heading = f"Test #{newest.number} ({remaining} remaining; submit(n={newest.number}) submits this result)"
    if form == "compact":
        best = best_of(tests[:-1])
        scored = [_cut(_compact(label, own, best), _MOST_OF_EACH[form]) for label, own in newest.evaluations.items()]
    else:
        scored = ["\n".join([f"[{label}]", *_last_lines(own)]) for label, own in newest.evaluations.items()]
    return "\n".join([heading, *scored, *_error_lines(newest.errors, _MOST_OF_EACH[form])])


def submission_digest(submission: Submission) -> str:
    """Returns the answer to a submission: final figures alone, which under a seal tell of no secret."""
    heading = f"Submitted test #{submission.number}"
    if submission.is_sealed:
        heading += ": scored on sealed secrets"
    else:
        heading += ": unverified, as no seal holds here; scored on public secrets, with strict audits"
    lines = [f"[{label}] {_cut(final_lines(own)[0], _MOST_FINAL)}" for label, own in submission.evaluations.items()]
    lines += _error_lines(submission.errors, _MOST_OF_EACH["compact"])
    if submission.accuracy is None:
        score = "Score: none, as a configuration has none"
    else:
        score = f"Score: {submission.accuracy:.6f}, {submission.mean_steps:,.0f} steps"
    return "\n".join([heading, *lines, score])


def best_of(tests: Sequence[Scored]) -> Scored | None:
    """Returns the test with the highest accuracy, then the fewest steps; None if none has a score everywhere."""
    scored = [test for test in tests if test.accuracy is not None]
    return min(scored, key=lambda test: (-(test.accuracy or 0), test.mean_steps or math.inf), default=None)


def _last_lines(evaluation: Evaluation) -> list[str]:
    lines = train_lines(evaluation)[-_LINES:] + run_lines(evaluation)[-_LINES:]
    return [*(_cut(line, _MOST_LINE) for line in lines), _cut(final_lines(evaluation)[0], _MOST_FINAL)]


def _compact(label: str, evaluation: Evaluation, best: Scored | None) -> str:
    metrics = evaluation.metrics
    words = f"[{label}] accuracy {metrics.test_accuracy:.6f}, {metrics.mean_steps:,.0f} steps"
    accuracies: dict[int, list[float]] = {}
    for run in evaluation.results:
        accuracies.setdefault(run.secret_index, []).append(run.test_accuracy)
    means = sorted((math.fsum(own) / len(own), secret) for secret, own in accuracies.items())
    words += f"; worst secrets {', '.join(f'{secret}: {mean:.4f}' for mean, secret in means[:2])}"
    if best is not None and label in best.evaluations:
        before = best.evaluations[label].metrics
        accuracy, steps = metrics.test_accuracy - before.test_accuracy, metrics.mean_steps - before.mean_steps
        words += f"; {accuracy:+.6f} and {steps:+,.0f} steps against test {best.number}, the best so far"
    return words


def _error_lines(errors: Mapping[str, VecparityError], most: int) -> list[str]:
    """Returns a line for each different error, with all configurations that have it."""
    labels: dict[str, list[str]] = {}
    for label, error in errors.items():
        labels.setdefault(f"{type(error).__name__}: {error}", []).append(label)
    return [_cut(f"[{', '.join(having)}] error: {words}", most) for words, having in labels.items()]


def _cut(line: str, most: int) -> str:
    """Returns a line of at most so many characters, with a word where it was cut."""
    line = printable(line, most=len(line))
    return line if len(line) <= most else line[: most - len(_CUT)] + _CUT
