"""A search's outcome: the order of its trials, its winners' figures beside the search's own, and both in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vecparity.analysis.ranking import figures_of
from vecparity.errors import in_number
from vecparity.evaluation.result import Evaluation
from vecparity.evaluation.summary import summarize, verification
from vecparity.report import words
from vecparity.report.conclusions import with_interval
from vecparity.tuning.results import Search, Trial, Winner, best_first

# Fewer trials that share the best accuracy do not show what makes for few steps.
_FEWEST_SHARING = 3


@dataclass(frozen=True)
class Outcome:
    """A winner's evaluation on one configuration, in words.

    Attributes:
        label: The configuration.
        is_own: True if it is the search's.
        has_score: True if there is a score.
        figures: Accuracy and steps, or the reason why there is no score.
        drop: The accuracy that the trial had in the search, less this one; a dash if there is none to subtract.
        verified: What verifies the score, or why nothing does.
    """

    label: str
    is_own: bool
    has_score: bool
    figures: str
    drop: str
    verified: str


def sharing_the_best(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the complete trials that have the best accuracy of all, in the order of their numbers."""
    complete = [trial for trial in trials if trial.state == "complete"]
    best = max((trial.accuracy or 0.0 for trial in complete), default=0.0)
    return [trial for trial in complete if trial.accuracy == best]


def compared_by_steps(trials: Sequence[Trial]) -> tuple[list[Trial], str]:
    """Returns the trials whose steps are worth comparing, and the sentence about which they are."""
    leaders = sharing_the_best(trials)
    if len(leaders) >= _FEWEST_SHARING:
        best = leaders[0].accuracy or 0.0
        return leaders, f"Steps are those of the {len(leaders)} trials that share the best accuracy, {best:.4f}."
    complete = [trial for trial in trials if trial.state == "complete"]
    return complete, "Steps are those of all complete trials: fewer than 3 share the best accuracy."


def verdict(search: Search) -> list[str]:
    """Returns the sentences with which the page begins."""
    states = Counter(trial.state for trial in search.trials)
    dropped = f", {states['dropped']} dropped by the race" if states["dropped"] else ""
    failed = f", {states['failed']} failed" if states["failed"] else ""
    number = in_number(len(search.trials), "trial")
    states_in_words = f"{states['complete']:,} complete{dropped}{failed}"
    sentences = [
        f"{number} of {search.strategy.name} on {search.config.label}: {states_in_words}. {_best(search.trials)}"
    ]
    if search.winners:
        sentences.append(_rescored(search, search.winners[0]))
    else:
        sentences.append(
            "No trial was evaluated anew: the search's own figure is the best of many, so rather too high."
        )
    return sentences


def _best(trials: Sequence[Trial]) -> str:
    leaders = best_first(sharing_the_best(trials))
    if not leaders:
        return "No trial is complete, so there is no best one."
    best = leaders[0]
    assert best.accuracy is not None and best.mean_steps is not None
    sharing = f"; {len(leaders):,} trials share this accuracy" if len(leaders) > 1 else ""
    return (
        f"In the search, the best is trial {best.number}: accuracy {best.accuracy:.4f} in {best.mean_steps:,.0f} steps"
        f"{sharing}."
    )


def _rescored(search: Search, winner: Winner) -> str:
    scored = {one.config.label: one for one in winner.evaluations if not one.why_no_score}
    name = f"trial {winner.trial.number}"
    if not scored:
        return f"Evaluated anew, {name} has no score."
    figures = [f"{with_interval(figures_of([summarize(one)]))} on {label}" for label, one in scored.items()]
    sentence = f"Evaluated anew under {_secrets(next(iter(scored.values())))}, {name} has {', '.join(figures)}"
    if search.config.label not in scored or winner.trial.accuracy is None:
        return f"{sentence}."
    drop = winner.trial.accuracy - scored[search.config.label].metrics.test_accuracy
    if f"{abs(drop):.4f}" == "0.0000":
        return f"{sentence}: on {search.config.label}, as much as in the search."
    return f"{sentence}: on {search.config.label}, {abs(drop):.4f} {'less' if drop > 0 else 'more'} than in the search."


def _secrets(evaluation: Evaluation) -> str:
    return "a fresh seal" if evaluation.provenance.seal else f"seed {evaluation.provenance.seed}"


def outcomes(search: Search, winner: Winner) -> list[Outcome]:
    """Returns a winner's evaluations in words, that on the search's configuration first."""
    found = [_outcome(search, winner, evaluation) for evaluation in winner.evaluations]
    failed = [
        Outcome(label, label == search.config.label, False, f"no score: {error}", words.MISSING, words.MISSING)
        for label, error in winner.errors.items()
    ]
    return sorted([*found, *failed], key=lambda one: not one.is_own)


def _outcome(search: Search, winner: Winner, evaluation: Evaluation) -> Outcome:
    is_own, drop = evaluation.config.label == search.config.label, words.MISSING
    figures = words.accuracy(evaluation)
    if not evaluation.why_no_score:
        figures += f", {words.mean_steps(evaluation)} steps"
        if is_own and winner.trial.accuracy is not None:
            drop = f"{winner.trial.accuracy - evaluation.metrics.test_accuracy:+.6f}"
    verified = ", ".join(filter(None, [words.fails(evaluation), verification(evaluation)])) or words.MISSING
    return Outcome(evaluation.config.label, is_own, evaluation.why_no_score is None, figures, drop, verified)


def note(trial: Trial) -> str:
    """Returns the reason why a trial is not complete, or nothing if it is."""
    if trial.state == "dropped":
        return f"dropped after {trial.num_runs} runs"
    return f"failed: {trial.error or 'no score'}" if trial.state == "failed" else ""
