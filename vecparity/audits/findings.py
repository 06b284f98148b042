"""Audits that check a strategy's return values and file: repeatability, an unchanged file, rows of the test set.

These are pure functions of an evaluation's runs; the audits in `cross_pairing` and `foresight` train more runs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

from torch import Tensor

from vecparity.audits.finding import AuditFinding
from vecparity.strategy.source import read
from vecparity.task.dataset import Dataset
from vecparity.task.near_rows import overlaps
from vecparity.training.runs import Initial, Run

# Probability that an honest strategy fails `overlap`, over all secrets of an evaluation.
OVERLAP_FALSE_ALARMS = 1e-6
# Names of the figures of `overlap`, by Hamming distance.
_ROWS = ("rows", "rows_within_1", "rows_within_2")


def call_digests(runs: Sequence[Run]) -> dict[str, str]:
    """Digests the return value of each call of one evaluation's strategy, for `repeatability`.

    Returns:
        SHA-256 of every run's parameters and hyperparameters and of every secret's dataset, by the call's name.
    """
    initial = {(run.secret_index, run.order_index): (run.params, run.optimizer) for run in runs}
    datasets = {run.secret_index: run.dataset for run in runs}
    return network_digests(initial) | dict(dataset_digest(i, dataset) for i, dataset in datasets.items())


def network_digests(initial: Mapping[tuple[int, int], Initial]) -> dict[str, str]:
    """Digests the results of `init_model` and `get_optimizer_config` for each run, see `call_digests`.

    Args:
        initial: Initial parameters and hyperparameters of each (secret, ordering).
    """
    digests = {}
    for (i, j), (params, optimizer) in initial.items():
        hyperparameters = repr(astuple(optimizer)).encode()
        digests[f"init_model secret={i} order={j}"] = _sha256(params)
        digests[f"get_optimizer_config secret={i} order={j}"] = hashlib.sha256(hyperparameters).hexdigest()
    return digests


def dataset_digest(i: int, dataset: Dataset) -> tuple[str, str]:
    """Returns the name of the call that made secret i's training set and the digest of the set, see `call_digests`."""
    return f"make_dataset secret={i}", _sha256(dataset.bits, dataset.labels)


def repeatability(first: Mapping[str, str], second: Mapping[str, str]) -> AuditFinding:
    """Checks that calls made twice under the same seeds returned the same bytes. It has no false alarms.

    The second calls run in workers of a separate fork server, with other process numbers and clocks
    (`sandbox.surroundings`). So the audit finds dependence on the hash seed (including the order of a set of strings),
    on addresses, on process numbers, on the state of numpy's global generator or any generator that the system seeds,
    on the clocks of Python's `time` and `datetime` however coarsely they are read, and on thread scheduling, as far as
    two calls show it. It does not find dependence on properties that are the same in every evaluation on this machine
    (its name, its number of cores, its libraries' versions), on a clock read coarsely in another way (a file's time,
    `/proc/uptime`, numpy's ``datetime64("now")``), or on signs of the second call that a strategy looks for.

    Args:
        first: The `call_digests` of the calls.
        second: The `call_digests` of the same calls, made again.
    """
    assert first.keys() == second.keys(), "not the same calls"
    differing = [call for call in first if first[call] != second[call]]
    outcome = f"{len(differing)} that do not, the first of them {differing[0]}" if differing else "all the same"
    return AuditFinding(
        name="repeatability",
        passed=not differing,
        summary=f"expected {len(first)} calls to return the same bytes when made again, got {outcome}",
        figures={"calls": len(first), "differing": len(differing)},
    )


def file_unchanged(before: str, path: Path) -> AuditFinding:
    """Checks that a strategy's file has not changed since it was loaded. It has no false alarms.

    Args:
        before: SHA-256 of the file when it was loaded (`Strategy.sha256`).
        path: The file's path; by now it may hold anything, or not exist.
    """
    try:
        after = hashlib.sha256(read(path)).hexdigest()
    except OSError as error:
        after = f"none: {error.strerror}"
    return AuditFinding(
        name="file",
        passed=before == after,
        summary=f"expected the strategy's file to have SHA-256 {before} after the evaluation, got {after}",
        figures={},
    )


def overlap(runs: Sequence[Run]) -> AuditFinding:
    """Tests whether more rows of the test sets are in, or near, the secrets' own training sets than chance explains.

    A test set is independent of an honest training set. Rows are compared at Hamming distances of 0, 1 and 2. The
    smallest of the p-values (`near_rows.overlaps`), times their number (Bonferroni), is at most 1e-6 by chance once in
    a million evaluations.

    The contract seeds test sets independently of datasets except under top-level seed 0, where both seeds of a secret
    are equal. Uniform rows drawn from the dataset's seed are then the test set's rows, even without intent, and the
    audit reports them.

    Args:
        runs: The runs of one evaluation.
    """
    secrets = {run.secret_index: run for run in runs}
    found = {(i, near.flips): near for i, run in secrets.items() for near in overlaps(run.test_set, run.dataset)}
    worst_secret, worst_flips = worst = min(found, key=lambda place: found[place].p_value)
    p_value = min(1.0, found[worst].p_value * len(found))
    figures: dict[str, float | int] = {}
    for flips, name in enumerate(_ROWS):
        of_all = [near for near in found.values() if near.flips == flips]
        figures |= {name: sum(near.rows for near in of_all)}
        figures |= {f"{name}_expected": sum(near.expected for near in of_all)}
    where = f"with at most {worst_flips} bits flipped" if worst_flips else "themselves"
    expected, got = figures[f"{_ROWS[worst_flips]}_expected"], figures[_ROWS[worst_flips]]
    return AuditFinding(
        name="overlap",
        passed=p_value > OVERLAP_FALSE_ALARMS,
        summary=(
            f"expected {expected:.3g} rows of the test sets, {where}, in the training sets, got {got}; p = "
            f"{p_value:.2g} (fails at p <= {OVERLAP_FALSE_ALARMS:g})"
        ),
        figures=figures | {"p_value": p_value, "secret": worst_secret, "flips": worst_flips},
    )


def _sha256(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
