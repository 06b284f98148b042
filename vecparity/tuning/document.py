"""A search as plain values, for JSON."""

from dataclasses import asdict
from typing import Any

from vecparity.tuning.results import Search, Winner


def search_document(search: Search) -> dict[str, Any]:
    """Returns a search's trials and winners as plain values by name."""
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
        "trials": [asdict(trial) for trial in search.trials],
        "winners": [_winner(winner) for winner in search.winners],
    }


def _winner(winner: Winner) -> dict[str, Any]:
    return {
        "trial": winner.trial.number,
        "params": dict(winner.trial.params),
        "sha256": winner.strategy.sha256,
        "evaluations": [
            {
                "config": evaluation.config.label,
                "seal": evaluation.provenance.seal,
                "draw": evaluation.provenance.draw,
                "seed": evaluation.provenance.seed,
                "failed_audits": evaluation.failed_audits,
                **asdict(evaluation.metrics),
            }
            for evaluation in winner.evaluations
        ],
        "errors": {label: str(error) for label, error in winner.errors.items()},
    }
