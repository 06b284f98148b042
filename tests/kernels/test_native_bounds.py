"""The extension's own bounds: an impossible argument raises before anything is read, written or changed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from equivalence import LEVELS

from vecparity.kernels.cpu import native

pytestmark = pytest.mark.skipif(not native.is_available(), reason="the extension was not built")

RUNS, STEPS, BATCH, ROWS, FEATURES, WIDTH = 2, 3, 4, 6, 70, 5
PARAMS = WIDTH * (FEATURES + 2) + 1
Arguments = dict[str, Any]


def arguments() -> Arguments:
    """Of a call of `advance` that can be."""
    rng = np.random.default_rng(0)
    half = np.full(RUNS, 0.5, np.float32)
    per_step = np.full((RUNS, STEPS), 0.5, np.float32)
    return {
        "params": rng.normal(size=(RUNS, PARAMS)).astype(np.float32),
        "exp_avg": np.zeros((RUNS, PARAMS), np.float32),
        "exp_avg_sq": np.zeros((RUNS, PARAMS), np.float32),
        "active": np.ones(RUNS, bool),
        "decay": half,
        "one_minus_beta1": half,
        "beta2": half,
        "one_minus_beta2": half,
        "step_size": per_step,
        "root_correction2": per_step,
        "first_row": np.array([0, 2]),
        "used": np.full((RUNS, 2), -1),
        "bits": rng.integers(0, 2**6, (ROWS, 2)),
        "labels": np.array([0, 1, 0, 1, 0, 1], np.uint8),
        "indices": np.ones((RUNS, STEPS, BATCH), np.int32),
        "lengths": np.full((RUNS, STEPS), BATCH, np.int32),
        "loss": np.zeros(RUNS),
        "accuracy": np.zeros(RUNS),
        "num_batches": np.zeros(RUNS, np.int64),
        "n_features": FEATURES,
        "hidden_width": WIDTH,
        "threads": 1,
        "threads_per_run": 1,
    }


def with_entry(name: str, place: tuple[int, ...], value: int) -> Callable[[Arguments], None]:
    return lambda given: given[name].__setitem__(place, value)


def with_value(name: str, value: Any) -> Callable[[Arguments], None]:
    return lambda given: given.__setitem__(name, value)


ADVANCE: dict[str, tuple[Callable[[Arguments], None], str]] = {
    "index beyond the rows": (with_entry("indices", (1, 2, 3), 4), "indices: .* 0 to 3, got 4"),
    "huge index": (with_entry("indices", (0, 0, 0), 2**31 - 1), "indices: .* 0 to 5, got 2147483647"),
    "negative index": (with_entry("indices", (0, 0, 0), -1), "indices: .* 0 to 5, got -1"),
    "index of an earlier run's row": (with_entry("indices", (1, 0, 0), -1), "indices: .* 0 to 3, got -1"),
    "first row beyond the rows": (with_entry("first_row", (1,), 6), "first_row: .* 0 to 5, got 6"),
    "negative first row": (with_entry("first_row", (0,), -1), "first_row: .* 0 to 5, got -1"),
    "first row that wraps around": (
        with_entry("first_row", (0,), 2**63 - 1),
        "first_row: .* 0 to 5, got 9223372036854775807",
    ),
    "empty batch": (with_entry("lengths", (0, 1), 0), "lengths: .* 1 to 4, got 0"),
    "negative batch": (with_entry("lengths", (0, 1), -1), "lengths: .* 1 to 4, got -1"),
    "long batch": (with_entry("lengths", (1, 2), BATCH + 1), "lengths: .* 1 to 4, got 5"),
    "no features": (with_value("n_features", 0), "n_features: .* got 0"),
    "negative features": (with_value("n_features", -2), "n_features: .* got -2"),
    "too many features": (with_value("n_features", 2**63 - 1), "n_features: .* got 9223372036854775807"),
    "no width": (with_value("hidden_width", 0), "hidden_width: .* got 0"),
    "width that wraps around": (with_value("hidden_width", 2**62), "hidden_width: .* got 4611686018427387904"),
    "no threads": (with_value("threads", 0), "threads: .* got 0"),
    "negative threads": (with_value("threads", -1), "threads: .* got -1"),
    "no threads for a run": (with_value("threads_per_run", 0), "threads_per_run: .* got 0"),
    "no such level": (with_value("level", "sse9"), "no instruction set 'sse9'"),
}


@pytest.mark.parametrize("case", ADVANCE)
def test_advance_checks_its_bounds(case: str) -> None:
    breaks, said = ADVANCE[case]
    given = arguments()
    breaks(given)
    before = given["params"].copy()
    with pytest.raises(ValueError, match=said):
        native.extension().advance(**given)
    np.testing.assert_array_equal(given["params"], before)


@pytest.mark.parametrize("level", LEVELS)
def test_advance_leaves_entries_behind_a_batch_alone(level: str) -> None:
    given = arguments()
    given["lengths"][0, 1], given["indices"][0, 1, 2:] = 2, -7  # they mean nothing
    native.extension().advance(**given, level=level)
    np.testing.assert_array_equal(given["num_batches"], [STEPS, STEPS])


@pytest.mark.parametrize("name", [name for name, value in arguments().items() if isinstance(value, np.ndarray)])
@pytest.mark.parametrize("how", ["shorter", "longer", "flat", "deeper", "strided", "of another type", "none"])
def test_advance_takes_arrays_of_one_shape_and_type(name: str, how: str) -> None:
    given = arguments()
    array = given[name]
    given[name] = {
        "shorter": lambda: array[:-1].copy(),
        "longer": lambda: np.concatenate([array, array]),
        "flat": lambda: array.reshape(-1)[:0] if array.ndim == 1 else array.reshape(-1),
        "deeper": lambda: array[None],
        "strided": lambda: np.repeat(array, 2, axis=-1)[..., ::2],
        "of another type": lambda: array.astype(np.float64 if array.dtype != np.float64 else np.float32),
        "none": lambda: None,
    }[how]()
    with pytest.raises((TypeError, ValueError)):
        native.extension().advance(**given)


@pytest.mark.parametrize("name", ["params", "exp_avg", "exp_avg_sq", "active", "loss", "accuracy", "num_batches"])
def test_advance_writes_to_no_array_that_is_read_only(name: str) -> None:
    given = arguments()
    given[name].flags.writeable = False
    with pytest.raises(TypeError, match="incompatible function arguments"):
        native.extension().advance(**given)


@pytest.mark.parametrize("name", ["indices", "lengths", "params"])
def test_the_last_axis_counts_too(name: str) -> None:
    given = arguments()
    given[name] = np.ascontiguousarray(given[name][..., :-1])
    if name == "indices":  # of a smaller batch, which lengths do not fit
        with pytest.raises(ValueError, match=r"lengths: .* 1 to 3, got 4"):
            native.extension().advance(**given)
    else:
        with pytest.raises(ValueError, match=f"{name}: wrong"):
            native.extension().advance(**given)


def test_an_empty_batch_axis_is_refused() -> None:
    given = arguments()
    given["indices"] = np.zeros((RUNS, STEPS, 0), np.int32)
    with pytest.raises(ValueError, match=r"lengths: .* 1 to 0, got 4"):
        native.extension().advance(**given)


def count(**changes: Any) -> None:
    given = arguments()
    called: dict[str, Any] = {
        "params": given["params"],
        "bits": [given["bits"]] * RUNS,
        "labels": [given["labels"]] * RUNS,
        "correct": np.zeros(RUNS, np.int64),
        "n_features": FEATURES,
        "hidden_width": WIDTH,
        "threads": 1,
    }
    native.extension().count_correct(**called | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"params": np.zeros((RUNS, 2), np.float32)}, "params: wrong length"),
        ({"bits": []}, "wrong number of test sets"),
        ({"labels": [np.zeros(ROWS, np.uint8)]}, "wrong number of test sets"),
        ({"bits": [np.zeros((ROWS, 1), np.int64)] * RUNS}, "bits: wrong number of words"),
        ({"labels": [np.zeros(ROWS - 1, np.uint8)] * RUNS}, "labels: wrong length"),
        ({"correct": np.zeros(1, np.int64)}, "correct: wrong length"),
        ({"n_features": 2**63 - 1}, "n_features: .* got 9223372036854775807"),
        ({"n_features": -2, "params": np.zeros((RUNS, 1), np.float32)}, "n_features: .* got -2"),
        ({"hidden_width": 0, "params": np.zeros((RUNS, 1), np.float32)}, "hidden_width: .* got 0"),
        ({"threads": 0}, "threads: .* got 0"),
        ({"threads": -3}, "threads: .* got -3"),
    ],
)
def test_count_correct_checks_its_bounds(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        count(**changes)


def test_what_asks_for_more_memory_than_there_is() -> None:
    with pytest.raises(MemoryError):
        count(threads=2**31 - 1)


def orderings(*sizes: int) -> Any:
    return native.extension().Orderings(list(sizes), [1] * len(sizes))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((-1, 4, 1), "num_steps: .* got -1"),
        ((-(2**63), 4, 1), "num_steps: .* got -9223372036854775808"),
        ((2**63 - 1, 4, 1), "num_steps: .* got 9223372036854775807"),
        ((1, 0, 1), "batch_size: .* got 0"),
        ((1, -4, 1), "batch_size: .* got -4"),
        ((1, 2**63 - 1, 1), "batch_size: .* got 9223372036854775807"),
        ((1, 4, 0), "threads: .* got 0"),
    ],
)
def test_skip_checks_its_bounds(given: tuple[int, int, int], said: str) -> None:
    walks = orderings(10, 3)
    with pytest.raises(ValueError, match=said):
        walks.skip(*given)


def filled(walks: Any, runs: int = 2, threads: int = 1) -> np.ndarray:
    indices, lengths = np.zeros((runs, 3, 4), np.int32), np.zeros((runs, 3), np.int32)
    walks.fill(indices, lengths, threads)
    return indices


def test_to_skip_after_a_batch_is_refused() -> None:
    walks = orderings(10, 12)
    filled(walks)
    with pytest.raises(ValueError, match=r"skip: .* before any batch"):
        walks.skip(1, 4, 1)


@pytest.mark.parametrize(
    ("indices", "lengths", "threads"),
    [
        (np.zeros((3, 3, 4), np.int32), np.zeros((3, 3), np.int32), 1),
        (np.zeros((2, 3, 4), np.int32), np.zeros((2, 2), np.int32), 1),
        (np.zeros((2, 3, 0), np.int32), np.zeros((2, 3), np.int32), 1),
        (np.zeros((2, 3, 4), np.int32), np.zeros((2, 3), np.int32), 0),
        (np.zeros((2, 3, 4), np.int64), np.zeros((2, 3), np.int32), 1),
        (np.zeros((2, 3), np.int32), np.zeros((2, 3), np.int32), 1),
        (np.zeros((2, 3, 8), np.int32)[..., ::2], np.zeros((2, 3), np.int32), 1),
        (np.zeros((2, 3, 4), np.int32), None, 1),
    ],
)
def test_fill_checks_its_bounds(indices: Any, lengths: Any, threads: int) -> None:
    with pytest.raises((TypeError, ValueError)):
        orderings(10, 3).fill(indices, lengths, threads)


@pytest.mark.parametrize("runs", [[2], [-1], [2**63 - 1], [-(2**63)], [0, 0], [1, 0, 1]])
def test_take_checks_its_bounds(runs: list[int]) -> None:
    walks = orderings(10, 12)
    with pytest.raises(ValueError, match="runs: expected different ones of 0 to 1, got"):
        walks.take(runs)
    assert filled(walks).shape[0] == 2  # and has still both


@pytest.mark.parametrize(
    ("sizes", "seeds"), [([0], [1]), ([-1], [1]), ([2**40], [1]), ([5, 5], [1]), ([5], []), ([5], [-1]), ([5.5], [1])]
)
def test_orderings_check_their_bounds(sizes: list[Any], seeds: list[int]) -> None:
    with pytest.raises((TypeError, ValueError)):
        native.extension().Orderings(sizes, seeds)


@pytest.mark.parametrize("given", [(-1, 1), (2**62, 1), (1, 0), (1, -1)])
def test_multiply_add_checks_its_bounds(given: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="got"):
        native.extension().multiply_add(*given)


def test_functions_check_their_lengths() -> None:
    x, y = np.zeros(3, np.float32), np.zeros(2, np.float32)
    with pytest.raises(ValueError, match="y: wrong length"):
        native.extension().apply("exp", x, y)
    with pytest.raises(ValueError, match="no such function"):
        native.extension().apply("sin", x, x)
    with pytest.raises(ValueError, match="wrong length"):
        native.extension().fused(x, x, y, x)
