"""What heat maps show, as tables: rows of one figure of each feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vecparity.evaluation.result import Evaluation

# Beyond as many runs, the rows are the secrets', and their figures means over the orderings.
_MOST_RUNS = 24


@dataclass(frozen=True)
class FeatureRow:
    """One row.

    Attributes:
        name: The secret, or the secret and the ordering.
        secret: The secret's features.
        values: One figure a feature, in the features' order.
    """

    name: str
    secret: Sequence[int]
    values: Sequence[float]


def density_rows(evaluation: Evaluation) -> list[FeatureRow]:
    """How often features are on, a row a secret; none where secrets are sealed."""
    return [
        FeatureRow(str(data.secret_index), data.secret, data.density.each)
        for data in evaluation.datasets
        if data.secret is not None and data.density.each is not None
    ]


def weight_rows(evaluation: Evaluation) -> list[FeatureRow]:
    """Mean |weights|, a row a run, or a row a secret where `are_means`; none where secrets are sealed."""
    secrets = {data.secret_index: data.secret for data in evaluation.datasets if data.secret is not None}
    runs = {
        (layer.secret_index, layer.order_index): layer.mean_abs_weight.each
        for layer in evaluation.first_layers
        if layer.mean_abs_weight.each is not None
    }
    if are_means(evaluation):
        return [FeatureRow(str(secret), secrets[secret], values) for secret, values in _means(runs).items()]
    return [FeatureRow(f"{place[0]}/{place[1]}", secrets[place[0]], values) for place, values in runs.items()]


def are_means(evaluation: Evaluation) -> bool:
    """Whether there are too many runs for a row each."""
    return len(evaluation.first_layers) > _MOST_RUNS


def _means(runs: Mapping[tuple[int, int], list[float]]) -> dict[int, list[float]]:
    """Over each secret's runs that have come to their end."""
    return {
        secret: np.mean([values for place, values in runs.items() if place[0] == secret], axis=0).tolist()
        for secret in dict.fromkeys(place[0] for place in runs)
    }
