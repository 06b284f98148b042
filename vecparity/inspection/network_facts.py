"""Facts about initial networks before their first step, as plain values: their outputs and dead units."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float32, Int64
from torch import Tensor
from torch.nn.functional import binary_cross_entropy, linear

from vecparity.task.config import TaskConfig
from vecparity.task.dataset import Dataset, unpack
from vecparity.task.network import parameter_shapes, unflatten

# Most training rows on which units are examined; a larger training set is sampled at random.
_MOST_ROWS = 4096
# Rows propagated at a time, few enough that their hidden units stay in cache.
_BLOCK_ROWS = 1024


@dataclass(frozen=True)
class Outputs:
    """Probabilities p on test sets, over all rows and runs; loss in nats."""

    lowest: float
    p05: float
    median: float
    p95: float
    highest: float
    loss: float
    accuracy: float


@dataclass(frozen=True)
class NetworkFacts:
    """Facts about the initial networks of the examined runs.

    Attributes:
        num_runs: Number of runs.
        outputs: Outputs on the secrets' test sets; None if ``not_finite``.
        not_finite: Runs with a non-finite output on test or training rows: they diverge at their first step.
        train_rows: Number of examined rows of each training set; the facts below refer to these rows.
        dead_units: Share of hidden units, over runs, that are off on all of these rows and so get no gradient.
        runs_all_dead: Number of runs in which every unit is dead.
        always_on_units: Share of hidden units that are on in all of these rows and so are linear.
        untouched: Number of networks as torch made them, which ``init_model`` did not change.
        saturated: Share of outputs on these rows that are exactly 0 or 1 and so pass no gradient (contract section 4).
    """

    num_runs: int
    outputs: Outputs | None
    not_finite: int
    train_rows: int
    dead_units: float
    runs_all_dead: int
    always_on_units: float
    saturated: float
    untouched: int


@dataclass(frozen=True)
class Propagated:
    """One secret's networks before their first step, on its test set and on rows of its training set."""

    p: Float32[Tensor, "run test_row"]
    labels: Float32[Tensor, "run test_row"]
    p_train: Float32[Tensor, "run train_row"]
    is_dead: Bool[Tensor, "run unit"]
    is_always_on: Bool[Tensor, "run unit"]


def propagate(
    config: TaskConfig, params: Float32[Tensor, "run param"], dataset: Dataset, test_set: Dataset
) -> Propagated:
    """Propagates rows through one secret's initial networks."""
    shapes = parameter_shapes(config.n_features, config.hidden_width)
    x_train = unpack(_sample(dataset), config.n_features, torch.float32)
    x_test = unpack(test_set.bits, config.n_features, torch.float32)
    p, p_train, lowest, highest = [], [], [], []
    for network in params:
        named = unflatten(network, shapes)
        p.append(torch.cat([_outputs(_hidden(block, named), named) for block in x_test.split(_BLOCK_ROWS)]))
        blocks = [_hidden(block, named) for block in x_train.split(_BLOCK_ROWS)]
        p_train.append(torch.cat([_outputs(block, named) for block in blocks]))
        lowest.append(torch.stack([block.amin(dim=0) for block in blocks]).amin(dim=0))
        highest.append(torch.stack([block.amax(dim=0) for block in blocks]).amax(dim=0))
    stacked = torch.stack(p)
    labels = test_set.labels.float().expand_as(stacked)
    return Propagated(stacked, labels, torch.stack(p_train), torch.stack(highest) <= 0, torch.stack(lowest) > 0)


def _sample(dataset: Dataset) -> Int64[Tensor, "train_row word"]:
    """Draws rows to examine, the same each time. Evenly spaced rows would alias with periodic datasets."""
    if dataset.num_examples <= _MOST_ROWS:
        return dataset.bits
    drawn = torch.randint(dataset.num_examples, (_MOST_ROWS,), generator=torch.Generator().manual_seed(0))
    return dataset.bits[drawn]


def network_facts(propagated: Sequence[Propagated], num_untouched: int) -> NetworkFacts:
    """Summarises the networks of one or more secrets; ``num_untouched`` of them are as torch made them."""
    p = torch.cat([outputs.p for outputs in propagated])
    finite = torch.cat([outputs.p.isfinite().all(1) & outputs.p_train.isfinite().all(1) for outputs in propagated])
    is_dead = torch.cat([outputs.is_dead for outputs in propagated])
    is_saturated = torch.cat([((outputs.p_train == 0) | (outputs.p_train == 1)).flatten() for outputs in propagated])
    return NetworkFacts(
        num_runs=len(p),
        outputs=_summary(p, torch.cat([outputs.labels for outputs in propagated])) if finite.all() else None,
        not_finite=int((~finite).sum()),
        train_rows=max(outputs.p_train.shape[1] for outputs in propagated),
        dead_units=is_dead.double().mean().item(),
        runs_all_dead=int(is_dead.all(dim=1).sum()),
        always_on_units=torch.cat([outputs.is_always_on for outputs in propagated]).double().mean().item(),
        saturated=is_saturated.double().mean().item(),
        untouched=num_untouched,
    )


def _hidden(x: Float32[Tensor, "row feature"], named: dict[str, Tensor]) -> Float32[Tensor, "row unit"]:
    """Computes the pre-activations of the hidden units."""
    return linear(x, named["0.weight"], named["0.bias"])


def _outputs(hidden: Float32[Tensor, "row unit"], named: dict[str, Tensor]) -> Float32[Tensor, " row"]:
    return rearrange(torch.sigmoid(linear(hidden.relu(), named["2.weight"], named["2.bias"])), "row 1 -> row")


def _summary(p: Float32[Tensor, "run row"], labels: Float32[Tensor, "run row"]) -> Outputs:
    lowest, p05, median, p95, highest = np.quantile(p.numpy(), [0, 0.05, 0.5, 0.95, 1]).tolist()
    return Outputs(
        lowest=lowest,
        p05=p05,
        median=median,
        p95=p95,
        highest=highest,
        loss=binary_cross_entropy(p.double(), labels.double()).item(),
        accuracy=((p >= 0.5) == (labels >= 0.5)).double().mean().item(),
    )
