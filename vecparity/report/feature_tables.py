"""The heat maps' data as tables: rows with one figure for each feature."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vecparity.evaluation.result import Evaluation

# With more runs than this, each row is a secret, and its figures are means over the orderings.
_MOST_RUNS = 24


@dataclass(frozen=True)
class FeatureRow:
    """One row of a feature table.

    Attributes:
        name: The secret, or the secret and the ordering.
        secret: The secret's features.
        values: One figure for each feature, in the features' order.
    """

    name: str
    secret: Sequence[int]
    values: Sequence[float]


def density_rows(evaluation: Evaluation) -> list[FeatureRow]:
    """Returns each feature's share of rows in which it is on, one table row a secret; empty if secrets are sealed."""
    return [
        FeatureRow(str(data.secret_index), data.secret, data.density.each)
        for data in evaluation.datasets
        if data.secret is not None and data.density.each is not None
    ]


def weight_rows(evaluation: Evaluation) -> list[FeatureRow]:
    """Returns mean |weights|, one row a run, or one row a secret if `are_means`; empty if secrets are sealed."""
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
    """Returns True if there are too many runs for a row each."""
    return len(evaluation.first_layers) > _MOST_RUNS


def _means(runs: Mapping[tuple[int, int], list[float]]) -> dict[int, list[float]]:
    """Returns the means over each secret's completed runs."""
    return {
        secret: np.mean([values for place, values in runs.items() if place[0] == secret], axis=0).tolist()
        for secret in dict.fromkeys(place[0] for place in runs)
    }
