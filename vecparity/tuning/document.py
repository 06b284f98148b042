"""A search as plain values, for JSON."""

from dataclasses import asdict
from typing import Any

from vecparity.tuning.embedding import evaluation_in_brief
from vecparity.tuning.results import Search, Trial, Winner


def search_document(search: Search) -> dict[str, Any]:
    """Returns a search as plain values by name; evaluations are without curves, datasets and weights."""
    return {
        "strategy": search.strategy.name,
        "strategy_sha256": search.strategy.sha256,
        "config": asdict(search.config),
        "protocol": search.protocol,
        "seed": search.seed,
        "space": {name: str(given) for name, given in search.space.items()},
        "params": dict(search.params),
        "sampler": search.sampler,
        "seconds": search.seconds,
        "importances": dict(search.importances),
        "winners": [_winner(winner) for winner in search.winners],
        "trials": [_trial(trial) for trial in search.trials],
    }


def _winner(winner: Winner) -> dict[str, Any]:
    return {
        "trial": winner.trial.number,
        "params": dict(winner.trial.params),
        "strategy_sha256": winner.strategy.sha256,
        "evaluations": [evaluation_in_brief(evaluation) for evaluation in winner.evaluations],
        "errors": {label: str(error) for label, error in winner.errors.items()},
    }


def _trial(trial: Trial) -> dict[str, Any]:
    """Returns a trial without what it has not: figures of one that failed, or the error of one that did not."""
    known = {name: value for name, value in vars(trial).items() if value is not None}
    return known | {"params": dict(trial.params)}
