"""What can be checked of a strategy's honesty from what it returned: repeatability, its file, rows of the test set.

Pure functions of an evaluation's runs; `crossing` and `foresight` have the audits that train more of them.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Num
from torch import Tensor

from vecparity.data import Dataset
from vecparity.runs import Run

# Of an honest strategy failing `overlap`, over all secrets of an evaluation.
_OVERLAP_FALSE_ALARMS = 1e-6


@dataclass(frozen=True)
class AuditFinding:
    """What one audit found.

    Attributes:
        name: Which audit.
        passed: None where it could not be decided.
        summary: One line: what was measured, what was expected, how often an honest strategy fails.
        figures: What was measured, by name.
    """

    name: str
    passed: bool | None
    summary: str
    figures: dict[str, float | int]


def call_digests(runs: Sequence[Run]) -> dict[str, str]:
    """Digests what each call of one evaluation's strategy returned, for `repeatability`.

    Returns:
        SHA-256 of every run's parameters and hyperparameters and of every secret's dataset, by the call's name.
    """
    digests = {}
    for run in runs:
        hyperparameters = repr(astuple(run.optimizer)).encode()
        digests[f"init_model {run.name}"] = _sha256(run.params)
        digests[f"get_optimizer_config {run.name}"] = hashlib.sha256(hyperparameters).hexdigest()
    datasets = {run.secret_index: run.dataset for run in runs}
    for i, dataset in datasets.items():
        digests[f"make_dataset secret={i}"] = _sha256(dataset.bits, dataset.labels)
    return digests


def repeatability(first: Mapping[str, str], second: Mapping[str, str]) -> AuditFinding:
    """Whether calls made twice, under the same seeds, returned the same bytes. It has no false alarms.

    Args:
        first: What `call_digests` tells of the calls.
        second: The same of the same calls, made again.
    """
    assert first.keys() == second.keys(), "not the same calls"
    differing = [call for call in first if first[call] != second[call]]
    got = f"{len(differing)} that do not, the first of them {differing[0]}" if differing else "all the same"
    return AuditFinding(
        name="repeatability",
        passed=not differing,
        summary=f"expected {len(first)} calls to return the same bytes when made again, got {got}",
        figures={"calls": len(first), "differing": len(differing)},
    )


def file_unchanged(before: str, path: Path) -> AuditFinding:
    """Whether a strategy's file is still the one that was loaded. It has no false alarms.

    Args:
        before: SHA-256 of the file when it was loaded (`Strategy.sha256`).
        path: Where it was.
    """
    try:
        after = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        after = f"none: {error.strerror}"
    return AuditFinding(
        name="file",
        passed=before == after,
        summary=f"expected the strategy's file to have SHA-256 {before} after the evaluation, got {after}",
        figures={},
    )


def overlap(runs: Sequence[Run]) -> AuditFinding:
    """Whether more rows of the test sets occur in the secrets' own training sets than chance would have.

    A test set is uniform and independent of an honest training set with d distinct rows, so that of its T rows a
    Binomial(T, d / 2^N) number occur there. The exact upper tail, times the number of secrets (Bonferroni), is at most
    1e-6 by chance once in a million evaluations. Rows of more than 64 features are compared by 64-bit digests: some
    row looks like one of 12.8 million others by chance in one of 10^7 evaluations, no row unlike itself.

    The contract seeds test sets independently of datasets but for top-level seed 0, where both seeds of a secret are
    the same: uniform rows drawn from the dataset's seed are then the test set's, whoever meant that, and this says so.

    Args:
        runs: Of one evaluation.
    """
    from scipy.special import bdtrc  # half a second to import, which only an audit needs

    secrets = {run.secret_index: run for run in runs}
    rows, expected, p_values = [], [], {}
    for i, run in secrets.items():
        found, distinct = _common_rows(run.test_set, run.dataset)
        chance = math.ldexp(distinct, -run.dataset.n_features)
        rows.append(found)
        expected.append(chance * run.test_set.num_examples)
        p_values[i] = float(bdtrc(found - 1, run.test_set.num_examples, chance))
    worst = min(p_values, key=p_values.__getitem__)
    p_value = min(1.0, p_values[worst] * len(secrets))
    return AuditFinding(
        name="overlap",
        passed=p_value > _OVERLAP_FALSE_ALARMS,
        summary=(
            f"expected {sum(expected):.3g} rows of the test sets in the training sets, got {sum(rows)}; p = "
            f"{p_value:.2g} at secret {worst} (fails at p <= {_OVERLAP_FALSE_ALARMS:g}, as often by chance)"
        ),
        figures={"rows": sum(rows), "expected": sum(expected), "p_value": p_value, "secret": worst},
    )


def _common_rows(test_set: Dataset, dataset: Dataset) -> tuple[int, int]:
    """The number of test rows, each as often as it occurs, that are in the dataset; and its distinct rows'."""
    keys = np.sort(_keys(dataset.bits))
    distinct = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    wanted = _keys(test_set.bits)
    place = np.searchsorted(distinct, wanted).clip(max=len(distinct) - 1)
    return int((distinct[place] == wanted).sum()), len(distinct)


def _keys(bits: Int64[Tensor, "row word"]) -> Num[np.ndarray, " row"]:
    """One word for each row: the row itself, or a digest of its words, chained by splitmix64's finaliser."""
    words = bits.numpy().view(np.uint64)
    keys = words[:, 0].copy()
    for word in words.T[1:]:
        keys ^= keys >> 30
        keys *= np.uint64(0xBF58476D1CE4E5B9)
        keys ^= keys >> 27
        keys *= np.uint64(0x94D049BB133111EB)
        keys ^= keys >> 31
        keys ^= word
    return keys


def _sha256(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
