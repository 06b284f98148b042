"""Warnings for authors about a strategy's answers, in plain words."""

from collections.abc import Iterator

from vecparity.audits.findings import OVERLAP_FALSE_ALARMS
from vecparity.inspection.dataset_facts import DatasetFacts
from vecparity.inspection.network_facts import NetworkFacts
from vecparity.inspection.probe import Repeatability
from vecparity.task.config import TaskConfig


def concerns(
    config: TaskConfig,
    seed: int,
    datasets: list[DatasetFacts],
    networks: NetworkFacts,
    repeatability: Repeatability,
) -> list[str]:
    """Returns a sentence for each probable mistake, the gravest kinds first."""
    found: dict[str, list[int]] = {}
    for data in datasets:
        for sentence in _of_a_dataset(config, data):
            found.setdefault(sentence, []).append(data.secret_index)
    sentences = [*_of_networks(networks), *_of_calls(repeatability), *_of_overlap(seed, datasets)]
    return [*sentences, *(f"{_secrets(indices)}: {sentence}" for sentence, indices in found.items())]


def _of_a_dataset(config: TaskConfig, data: DatasetFacts) -> Iterator[str]:
    if data.positive_rate in (0, 1):
        yield f"all labels are {data.positive_rate:.0f}: there is nothing to learn"
    if data.patterns.covered == 1:
        yield "all rows show the same pattern of the secret's bits: nothing can be learnt of the parity"
    elif data.constant_secret_features:
        yield (
            f"{len(data.constant_secret_features)} of the secret's {len(data.secret)} bits are the same in all rows: "
            "nothing can be learnt of them"
        )
    if data.positive_rate not in (0, 1) and data.parity_rate < 1:
        yield f"{1 - data.parity_rate:.2%} of the labels are not the parity, which is allowed: is it meant?"
    if data.num_examples < config.batch_size:
        yield f"{data.num_examples} rows are fewer than batch_size={config.batch_size}: every batch is short"


def _of_networks(networks: NetworkFacts) -> Iterator[str]:
    runs = f"of {networks.num_runs} runs"
    if networks.not_finite:
        yield f"{networks.not_finite} {runs} have outputs that are no finite number: they diverge at their first step"
    if networks.runs_all_dead:
        yield (
            f"in {networks.runs_all_dead} {runs} every hidden unit is off on all training rows looked at: "
            "the first layer gets no gradient"
        )
    if networks.saturated:
        yield (
            f"{networks.saturated:.2%} of the outputs on training rows are exactly 0 or 1 before the first step: "
            "they pass no gradient, right or wrong (contract section 4)"
        )
    if networks.untouched:
        yield (
            f"init_model left the networks of {networks.untouched} {runs} as torch makes them, which is allowed: is it "
            "meant? It has to change the model that it is given; what it returns is not looked at"
        )


def _of_calls(repeatability: Repeatability) -> Iterator[str]:
    if repeatability.differing:
        yield (
            f"{len(repeatability.differing)} of {repeatability.calls} calls returned something else when made again "
            f"under the same seed, the first of them {repeatability.differing[0]}: an audit would fail"
        )


def _of_overlap(seed: int, datasets: list[DatasetFacts]) -> Iterator[str]:
    found = [(data.secret_index, overlap) for data in datasets for overlap in data.overlaps]
    secret_index, worst = min(found, key=lambda pair: pair[1].p_value)
    if worst.p_value * len(found) <= OVERLAP_FALSE_ALARMS:
        why = " (under seed 0 datasets and test sets are seeded alike)" if seed == 0 else ""
        near = f", or at most {worst.flips} bits from it" if worst.flips else ""
        yield (
            f"rows of the test set of secret {secret_index} that are in its training set{near}: {worst.rows}, "
            f"where chance would have {worst.expected:.3g}: an audit would fail{why}"
        )


def _secrets(indices: list[int]) -> str:
    return f"secret{'s' if len(indices) > 1 else ''} {', '.join(map(str, indices))}"
