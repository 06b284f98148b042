import hashlib
import math
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ADVERSARIAL
from scipy.stats import binom

from vecparity.audits.finding import AuditFinding
from vecparity.audits.findings import call_digests, file_unchanged, overlap, repeatability
from vecparity.strategy import interface
from vecparity.strategy.source import bundled, load
from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.dataset import Dataset, pack
from vecparity.task.seeds import PublicSeeds, SealedSeeds, Seeds
from vecparity.training.runs import Run, make_runs

CONFIG = TaskConfig(
    n_features=16,
    secret_size=3,
    hidden_width=8,
    num_hidden_secrets=2,
    num_orderings=2,
    test_set_size=500,
    max_train_examples=20_000,
)
SEEDS = PublicSeeds(42)
HONEST = {
    "init_model": "pass",
    "make_dataset": "return torch.randint(0, 2, (9, config.n_features)), torch.ones(9)",
    "get_optimizer_config": "return dict(lr=1, wd=0, beta1=0.9, beta2=0.9)",
}


def write(path: Path, **bodies: str) -> Path:
    bodies = HONEST | bodies
    path.write_text(
        "import os, pathlib\n"
        f"def init_model(model, config):\n    {bodies['init_model']}\n"
        f"def make_dataset(secret, config, seed):\n    {bodies['make_dataset']}\n"
        f"def get_optimizer_config(config):\n    {bodies['get_optimizer_config']}\n"
    )
    return path


def runs_of(strategy: str | Path, seeds: Seeds = SEEDS) -> list[Run]:
    return make_runs([(interface.load(load(strategy)), seeds)], CONFIG)


def called_twice(path: Path) -> AuditFinding:
    return repeatability(call_digests(runs_of(path)), call_digests(runs_of(path)))


def test_an_honest_strategy_repeats_itself(tmp_path: Path) -> None:
    finding = called_twice(write(tmp_path / "mine.py"))
    assert finding.passed
    assert finding.figures == {"calls": 10, "differing": 0}
    assert finding.summary == "expected 10 calls to return the same bytes when made again, got all the same"


@pytest.mark.parametrize(
    ("function", "body", "differing", "first"),
    [
        ("init_model", "model[2].bias.data.fill_(int.from_bytes(os.urandom(3)))", 4, "secret=0 order=0"),
        (
            "get_optimizer_config",
            "return dict(lr=1 + int.from_bytes(os.urandom(6)), wd=0, beta1=0.9, beta2=0.9)",
            4,
            "",
        ),
        (
            "make_dataset",
            "return [[b % 2 for b in os.urandom(config.n_features)] for _ in 'rows'], [0] * 4",
            2,
            "secret=0",
        ),
        ("make_dataset", "return torch.ones(64, config.n_features), [b % 2 for b in os.urandom(64)]", 2, "secret=0"),
    ],
)
def test_what_differs_between_calls_is_found(
    tmp_path: Path, function: str, body: str, differing: int, first: str
) -> None:
    finding = called_twice(write(tmp_path / "mine.py", **{function: body}))
    assert finding.passed is False
    assert finding.figures == {"calls": 10, "differing": differing}
    assert f"the first of them {function} {first}" in finding.summary


def test_a_digest_sees_every_byte() -> None:
    run = runs_of("isolated_cube")[0]
    params, bits, labels = run.params.clone(), run.dataset.bits.clone(), run.dataset.labels.clone()
    params[3] = -0.0
    bits[-1, 0] ^= 1 << 5
    labels[7] ^= 1
    others = [
        replace(run, params=params),
        replace(run, optimizer=replace(run.optimizer, beta1=math.nextafter(run.optimizer.beta1, 1))),
        replace(run, dataset=replace(run.dataset, bits=bits)),
        replace(run, dataset=replace(run.dataset, labels=labels)),
    ]
    digests = call_digests([replace(run, params=params.abs())])
    for other in others:
        assert repeatability(digests, call_digests([other])).passed is False


def test_a_file_that_rewrites_itself_is_found(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.py")
    before = load(path).sha256
    runs_of(path)
    assert file_unchanged(before, path).passed
    honest = path.read_text()
    write(path, make_dataset=f"pathlib.Path(__file__).write_text({honest!r}); {HONEST['make_dataset']}")
    before = load(path).sha256
    runs_of(path)
    finding = file_unchanged(before, path)
    assert finding.passed is False
    assert finding.summary.endswith(f"{before} after the evaluation, got {hashlib.sha256(honest.encode()).hexdigest()}")
    path.unlink()
    assert file_unchanged(before, path).summary.endswith("got none: No such file or directory")


@pytest.mark.parametrize("what", ["fifo", "directory", "endless", "huge"])
def test_anything_may_be_where_the_file_was(tmp_path: Path, what: str) -> None:
    """And is neither waited for nor read to its end."""
    path = write(tmp_path / "mine.py")
    before = load(path).sha256
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "endless":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 30)
    finding = file_unchanged(before, path)
    assert finding.passed is False
    expected = {"directory": "Is a directory", "huge": "10 MiB"}.get(what, "regular file")
    assert re.search(f"got none: .*{expected}", finding.summary)


def with_rows(test_rows: np.ndarray, rows: np.ndarray, secret_index: int = 0) -> Run:
    """A run with these rows of 0s and 1s."""
    test_set, dataset = (
        Dataset(pack(torch.from_numpy(x)), torch.zeros(len(x), dtype=torch.uint8), x.shape[1])
        for x in (test_rows, rows)
    )
    return Run(0, secret_index, 0, torch.zeros(1), OptimizerConfig(1, 0, 0.5, 0.5), dataset, test_set, 0)


@pytest.mark.parametrize("n_features", [64, 256, 1200])
def test_a_single_row_of_many_features_is_too_many(n_features: int) -> None:
    """Also where d / 2^N is below all doubles."""
    draw = np.random.default_rng(1)
    test_rows, rows = (draw.integers(0, 2, (500, n_features), dtype=np.uint8) for _ in range(2))
    assert overlap([with_rows(test_rows, rows)]).passed
    rows[3] = test_rows[400]
    finding = overlap([with_rows(test_rows, rows)])
    assert finding.passed is False
    assert "got 1; p = " in finding.summary


def test_overlap_looks_at_each_secret() -> None:
    draw = np.random.default_rng(1)
    rows = [draw.integers(0, 2, (200, 12), dtype=np.uint8) for _ in range(6)]
    runs = [with_rows(rows[i], rows[i + 3], i) for i in range(3)]
    honest = overlap(runs)
    assert honest.passed
    leaks = overlap([runs[0], with_rows(rows[1], rows[1], 1), runs[2], runs[2]])
    assert leaks.passed is False
    assert (leaks.figures["secret"], leaks.figures["flips"]) == (1, 0)
    assert leaks.figures["rows"] - honest.figures["rows"] == 200 - overlap(runs[1:2]).figures["rows"]


@pytest.mark.parametrize("times", [500, pytest.param(1_500, marks=pytest.mark.slow)])
def test_overlap_is_rare_by_chance(times: int) -> None:
    """Honest rows have p <= 0.1 at most once in ten (p-values of counts are larger than uniform ones)."""
    draw = np.random.default_rng(5)
    p_values = []
    for _ in range(times):
        secrets = [draw.integers(0, 2, (2, 100, 12), dtype=np.uint8) for _ in range(2)]
        p_values.append(overlap([with_rows(x[0], x[1], i) for i, x in enumerate(secrets)]).figures["p_value"])
    alarms = sum(p_value <= 0.1 for p_value in p_values)
    assert alarms > 0
    assert binom.sf(alarms - 1, len(p_values), 0.1) > 1e-4


@pytest.mark.parametrize("flips", [1, 2, 3])
def test_rows_next_to_those_of_the_test_set_are_too_many(flips: int) -> None:
    draw = np.random.default_rng(1)
    test_rows = draw.integers(0, 2, (500, 64), dtype=np.uint8)
    near = test_rows.copy()
    near[:, draw.choice(64, flips, replace=False)] ^= 1
    finding = overlap([with_rows(test_rows, near)])
    assert finding.passed is (flips > 2)
    assert [finding.figures[name] for name in ("rows", "rows_within_1", "rows_within_2")] == [
        0,
        500 * (flips <= 1),
        500 * (flips <= 2),
    ]


def test_training_on_the_test_set_is_found() -> None:
    finding = overlap(runs_of(ADVERSARIAL / "seed_of_the_test_set.py"))
    assert finding.passed is False
    assert finding.figures["rows"] == 2 * CONFIG.test_set_size
    assert finding.figures["p_value"] == 0
    assert overlap(runs_of(ADVERSARIAL / "seed_of_the_test_set.py", SealedSeeds(bytes(32), 42))).passed


@pytest.mark.slow
@pytest.mark.parametrize("strategy", bundled())
def test_honest_strategies_have_no_overlap_and_repeat_themselves(strategy: str) -> None:
    for seed in range(1, 21):
        runs = runs_of(strategy, PublicSeeds(seed))
        assert overlap(runs).passed
        assert repeatability(call_digests(runs), call_digests(runs_of(strategy, PublicSeeds(seed)))).passed


def test_top_level_seed_0_has_uniform_datasets_overlap() -> None:
    """The contract's formulas seed a secret's dataset and test set alike there."""
    assert overlap(runs_of("default_4096", PublicSeeds(0))).figures["rows"] == 2 * CONFIG.test_set_size
    assert overlap(runs_of("default_4096", SealedSeeds(bytes(32), 0))).passed
