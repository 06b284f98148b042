"""Facts about a training set, as plain values, for authors to check before training."""

from dataclasses import dataclass

from vecparity.task import rows
from vecparity.task.config import Secret, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.task.dataset_stats import constant_features, parity_rate, pattern_counts
from vecparity.task.near_rows import Overlap, overlaps


@dataclass(frozen=True)
class Patterns:
    """The patterns of a secret's bits that a dataset shows.

    Attributes:
        covered: Number of patterns that occur in any row.
        possible: 2^K.
        rarest: Share of rows with the rarest pattern that occurs.
        commonest: Share of rows with the commonest pattern.
    """

    covered: int
    possible: int
    rarest: float
    commonest: float


@dataclass(frozen=True)
class DatasetFacts:
    """One secret's training set.

    Attributes:
        secret_index: i, from 0.
        secret: The secret's features.
        num_examples: Number of rows.
        distinct_rows: Number of distinct rows.
        positive_rate: Share of rows with label 1.
        parity_rate: Share of rows whose label is the parity.
        patterns: Patterns of the secret's bits in the rows.
        constant_features: Features with the same value in all rows.
        constant_secret_features: Constant features that belong to the secret.
        overlaps: Rows of the secret's test set that are in the training set, or at most 1 or 2 bits from it.
        batches_per_epoch: Batches of an epoch, including a short last batch.
        last_batch: Rows in the last batch.
        epochs: Epochs in ``max_steps``.
        seconds: Seconds that the strategy took to make the training set.
    """

    secret_index: int
    secret: list[int]
    num_examples: int
    distinct_rows: int
    positive_rate: float
    parity_rate: float
    patterns: Patterns
    constant_features: list[int]
    constant_secret_features: list[int]
    overlaps: list[Overlap]
    batches_per_epoch: int
    last_batch: int
    epochs: float
    seconds: float


def dataset_facts(
    config: TaskConfig, secret_index: int, secret: Secret, dataset: Dataset, test_set: Dataset, seconds: float
) -> DatasetFacts:
    """Computes the facts about one secret's training set from all of its rows.

    Args:
        config: The settings.
        secret_index: i, from 0.
        secret: The secret.
        dataset: The training set that the strategy made for the secret.
        test_set: The secret's test set.
        seconds: Seconds that the strategy took.
    """
    counts = pattern_counts(dataset, secret)
    constant = constant_features(dataset)
    num_examples = dataset.num_examples
    batches = -(-num_examples // config.batch_size)
    return DatasetFacts(
        secret_index=secret_index,
        secret=list(secret),
        num_examples=num_examples,
        distinct_rows=rows.num_distinct(rows.sorted_keys(dataset)),
        positive_rate=dataset.positive_rate,
        parity_rate=parity_rate(dataset, secret),
        patterns=Patterns(
            covered=len(counts),
            possible=2 ** len(secret),
            rarest=int(counts.min()) / num_examples,
            commonest=int(counts.max()) / num_examples,
        ),
        constant_features=constant,
        constant_secret_features=[feature for feature in constant if feature in secret],
        overlaps=overlaps(test_set, dataset),
        batches_per_epoch=batches,
        last_batch=num_examples - (batches - 1) * config.batch_size,
        epochs=config.max_steps / batches,
        seconds=seconds,
    )
