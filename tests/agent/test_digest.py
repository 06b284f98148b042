"""The answer to a test: what it shows, and that it stays within its bounds whatever strategies do."""

import re
from dataclasses import replace

import made
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecparity import Evaluation, Failure, Job, Strategy
from vecparity.agent.digest import MOST_CHARACTERS, best_of, digest, submission_digest
from vecparity.agent.results import Scored, Submission
from vecparity.agent.settings import DigestForm
from vecparity.errors import InvalidStrategyError, StrategyFailedError, VecparityError
from vecparity.evaluation.job import Outcome
from vecparity.evaluation.result import RunCurve
from vecparity.task.config import CONFIGURATIONS
from vecparity.training.curve import Curve

FORMS: tuple[DigestForm, ...] = ("harness", "compact")
SOURCE = Strategy.from_source("", name="custom_strategy")


def scored(number: int, outcomes: dict[str, Outcome]) -> Scored:
    return Scored(number, SOURCE, outcomes)


def evaluated(number: int, accuracy: float, steps: int) -> Scored:
    ends = [[(steps, accuracy), (steps, accuracy)], [(steps, accuracy), (steps, 1.0)]]
    return scored(number, {label: made.made("own", ends, label) for label in CONFIGURATIONS})


def failed(error: VecparityError) -> Failure:
    return Failure(Job(SOURCE), error)


def huge(label: str, digits: int) -> Evaluation:
    """An evaluation whose figures have as many digits as figures can have."""
    evaluation = made.made("own", [[(10**digits, 1 / 3)] * 2] * 3, label)
    curve = Curve([10**digits], [float(10**digits)], [0.5])
    return replace(evaluation, curves=[RunCurve(run.secret_index, run.order_index, curve) for run in evaluation.curves])


def test_the_harness_form_has_the_last_lines_of_each_configuration() -> None:
    newest = scored(1, {label: made.published("isolated_cube_1", label) for label in CONFIGURATIONS})
    answer = digest([newest], 3, "harness")
    assert answer.startswith("Test #1 (2 tests remaining; submit(n=1) submits this result)\n[n32-k8]\nTRAIN_METRICS ")
    assert re.findall(r"^\[(.*)\]$", answer, re.MULTILINE) == list(CONFIGURATIONS)
    assert [answer.count(f"\n{kind} ") for kind in ("TRAIN_METRICS", "RUN_METRICS", "FINAL_METRICS")] == [15, 15, 3]
    assert "RUN_METRICS secret=4 order=2" in answer and "RUN_METRICS secret=3 order=0" not in answer


def test_the_compact_form_has_the_worst_secrets_and_the_change_against_the_best() -> None:
    tests = [evaluated(1, 0.5, 2000), evaluated(2, 0.75, 2500), evaluated(3, 0.25, 1000), evaluated(4, 0.875, 2250)]
    lines = digest(tests, 4, "compact").split("\n")
    assert lines[0] == "Test #4 (0 tests remaining; submit(n=4) submits this result)"
    assert lines[1] == (
        "[n32-k8] accuracy 0.906250, 2,250 steps; worst secrets 0: 0.8750, 1: 0.9375; "
        "+0.093750 and -250 steps against test 2, the best so far"
    )
    assert len(lines) == 4
    assert "against" not in digest(tests[:1], 4, "compact")


def test_the_best_test_has_scores_everywhere() -> None:
    half = scored(2, {"n32-k8": evaluated(1, 1.0, 1).outcomes["n32-k8"], "n50-k8": failed(StrategyFailedError("no"))})
    worse, better, faster = evaluated(1, 0.5, 9), evaluated(3, 0.75, 9), evaluated(4, 0.75, 8)
    assert best_of([half]) is None
    assert best_of([half, worse, better]) is better
    assert best_of([better, half, faster]) is faster


@pytest.mark.parametrize("form", FORMS)
def test_one_error_of_all_configurations_is_one_line(form: DigestForm) -> None:
    error = InvalidStrategyError("custom_strategy.py:41: does not load: SyntaxError: invalid syntax")
    answer = digest([scored(1, dict.fromkeys(CONFIGURATIONS, failed(error)))], 3, form)
    assert answer.split("\n")[1:] == [f"[n32-k8, n50-k8, n64-k8] error: InvalidStrategyError: {error}"]


@pytest.mark.parametrize("form", FORMS)
def test_a_long_error_is_cut_with_a_word(form: DigestForm) -> None:
    answer = digest([scored(1, {"n32-k8": failed(StrategyFailedError("no " * 10_000))})], 3, form)
    assert answer.endswith("... (cut)") and len(answer) < MOST_CHARACTERS[form]


# An error's words and how often they are repeated, or the digits of figures, for each configuration.
KINDS = st.tuples(*[st.one_of(st.tuples(st.text(), st.integers(0, 5000)), st.integers(0, 64)) for _ in CONFIGURATIONS])
Kinds = tuple[tuple[str, int] | int, ...]


def outcomes_of(kinds: Kinds) -> dict[str, Outcome]:
    return {
        label: huge(label, kind) if isinstance(kind, int) else failed(StrategyFailedError(kind[0] * kind[1]))
        for label, kind in zip(CONFIGURATIONS, kinds, strict=True)
    }


@pytest.mark.parametrize("form", FORMS)
@given(before=KINDS, newest=KINDS)
def test_an_answer_is_within_its_bound(form: DigestForm, before: Kinds, newest: Kinds) -> None:
    answer = digest([scored(99, outcomes_of(before)), scored(100, outcomes_of(newest))], 100, form)
    assert len(answer) < MOST_CHARACTERS[form]
    assert all(line.isprintable() for line in answer.split("\n"))
    for label in CONFIGURATIONS:
        assert label in answer


@pytest.mark.parametrize("form", FORMS)
def test_the_longest_answer_is_within_its_bound(form: DigestForm) -> None:
    """Of each kind: figures of 64 digits and errors without end, in any mixture."""
    for number_of_errors in range(4):
        outcomes: dict[str, Outcome] = {}
        for index, label in enumerate(CONFIGURATIONS):
            error = failed(StrategyFailedError(f"{label}\x1b" * 9_999))
            outcomes[label] = error if index < number_of_errors else huge(label, 64)
        answer = digest([evaluated(99, 0.5, 1), scored(100, outcomes)], 100, form)
        assert 0.2 * MOST_CHARACTERS[form] < len(answer) < MOST_CHARACTERS[form]


def test_a_submission_says_what_it_is_worth() -> None:
    outcomes = evaluated(2, 0.5, 1800).outcomes
    sealed = submission_digest(Submission(2, SOURCE, outcomes, is_sealed=True))
    assert sealed.startswith("Submitted test #2: scored on sealed secrets\n[n32-k8] FINAL_METRICS ")
    assert sealed.endswith("\nScore: 0.625000, 1,800 steps")
    public = submission_digest(Submission(2, SOURCE, outcomes, is_sealed=False))
    assert "unverified" in public and "unverified" not in sealed
    without = submission_digest(Submission(2, SOURCE, {**outcomes, "n64-k8": failed(StrategyFailedError("no"))}, True))
    assert without.endswith("[n64-k8] error: StrategyFailedError: no\nScore: none, as a configuration has none")
