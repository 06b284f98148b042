"""Races: a trial begins with a few runs, and gets more for as long as it may yet be the best.

Parity is learnt in a jump: an accuracy long before the end says nothing about the end, and halving the field by it
throws the best away. A race trains every run to its end, and compares trials on the same secrets and orderings, which
is a test of paired samples (Wilcoxon's signed ranks).
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace

from vecparity.task.config import TaskConfig
from vecparity.tuning.objective import Pair, objective_of_pair

# Of three pairs, not even three losses are significant at the level below; of five, four are with one draw.
_FEWEST_PAIRS = 5
_TIMES_MORE = 5
_LEVEL = 0.1


def stages(config: TaskConfig) -> list[TaskConfig]:
    """Returns the settings of each stage: more and more of a configuration's secrets and orderings, and all at last."""
    found = []
    pairs = _FEWEST_PAIRS
    while pairs < config.num_runs:
        secrets = min(config.num_hidden_secrets, pairs)
        orderings = min(config.num_orderings, -(-pairs // secrets))
        stage = replace(config, num_hidden_secrets=secrets, num_orderings=orderings)
        if stage.num_runs < config.num_runs:
            found.append(stage)
        pairs *= _TIMES_MORE
    return [*found, config]


def is_lost(challenger: Sequence[Pair], best: Sequence[Pair], config: TaskConfig) -> bool:
    """Tells whether a trial is worse than the best one, as far as its runs can show.

    Args:
        challenger: The trial's runs so far.
        best: All runs of the best trial.
        config: The settings of a whole trial.
    """
    import optuna

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # tests hold what it does here
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=_LEVEL)
    study = optuna.create_study(direction="maximize")
    values = _by_step(best, config)
    mean = sum(values.values()) / len(values)
    study.add_trial(optuna.trial.create_trial(value=mean, intermediate_values=values))
    state = optuna.trial.TrialState.RUNNING
    trial = optuna.trial.create_trial(state=state, intermediate_values=_by_step(challenger, config))
    return pruner.prune(study, trial)


def _by_step(pairs: Sequence[Pair], config: TaskConfig) -> dict[int, float]:
    """Returns the objective of each run, with the pair's number in place of what Optuna calls a step."""
    return {
        pair.secret_index * config.num_orderings + pair.order_index: objective_of_pair(pair, config) for pair in pairs
    }
