"""Checks that the parts of a checkpoint are consistent with each other, as in any checkpoint that a training writes.

Digests show that a file is unchanged, not who wrote it, so the content is checked before anything is computed from it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Annotated, Any

import torch
from msgspec import Meta, Struct, convert
from torch import Tensor

from vecparity.errors import brief
from vecparity.strategy.validation import HYPERPARAMETERS
from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.task.dataset import num_words
from vecparity.training.checkpoints.snapshot import Snapshot
from vecparity.training.runs import NO_EVALUATION
from vecparity.training.schedule import is_between_pieces

_Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
_Share = Annotated[float, Meta(ge=0, le=1)]
# The seeds that torch's generators accept.
_Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class _Run(Struct, forbid_unknown_fields=True):
    evaluation: Annotated[int, Meta(ge=NO_EVALUATION, le=2**31 - 1)]
    secret_index: _Count
    order_index: _Count
    dataset: _Count
    test_set: _Count
    fresh_test_set: _Count | None
    ordering_seed: _Seed
    optimizer: OptimizerConfig


class _Runs(Struct, forbid_unknown_fields=True):
    n_features: list[_Count]
    runs: list[_Run]
    notes: Any


class _End(Struct, array_like=True, forbid_unknown_fields=True):
    run: _Count
    steps: _Count
    test_accuracy: _Share | None
    first_layer: list[float] | None
    fresh_accuracy: _Share | None


class _State(Struct, forbid_unknown_fields=True):
    step: _Count
    opened: _Count
    live: list[_Count]
    good_windows: list[_Count]
    trained: list[_End]
    chunk_runs: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None


@dataclass(frozen=True)
class Training:
    """The training that a checkpoint must match.

    Attributes:
        config: The settings.
        dtype: The dtype of parameters and moments in training.
    """

    config: TaskConfig
    dtype: torch.dtype

    @property
    def num_params(self) -> int:
        """The number of parameters of one network."""
        return self.config.hidden_width * (self.config.n_features + 2) + 1

    def check_runs(self, snapshot: Snapshot) -> None:
        """Checks a snapshot of runs, made by `snapshot.of_runs`.

        Raises:
            ValueError: A check failed; the message says what was expected and what was got.
        """
        values, tensors, config = convert(snapshot.values, _Runs), snapshot.tensors, self.config
        datasets = range(len(values.n_features))
        _require_names(
            tensors, ["params", *(f"{name}.{position}" for position in datasets for name in ("bits", "labels"))]
        )
        for position, n_features in enumerate(values.n_features):
            _require_equal(f"features in dataset {position}", n_features, config.n_features)
            bits, labels = tensors[f"bits.{position}"], tensors[f"labels.{position}"]
            rows = len(labels) if labels.ndim else 0
            _require_within("rows", rows, 1, max(config.max_train_examples, config.test_set_size))
            _require_tensor(f"labels.{position}", labels, torch.uint8, rows)
            _require_tensor(f"bits.{position}", bits, torch.int64, rows, num_words(n_features))
            require(bool((labels <= 1).all()), f"labels.{position}: 0 and 1", int(labels.max()))
            if spare := -n_features % 64:
                past = bits[:, -1] >> (64 - spare) & (1 << spare) - 1
                require(not past.any(), f"bits.{position}: 0 past feature {n_features}", "1")
        _require_within("runs", len(values.runs), 1, 2**31 - 1)
        _require_tensor("params", tensors["params"], torch.float32, len(values.runs), self.num_params)
        require(bool(tensors["params"].isfinite().all()), "params: finite numbers", "infinity or NaN")
        for run in values.runs:
            test_sets = [run.test_set, *([] if run.fresh_test_set is None else [run.fresh_test_set])]
            for name, position in [("dataset", run.dataset), *(("test_set", position) for position in test_sets)]:
                _require_within(name, position, 0, len(datasets) - 1)
            for position in test_sets:
                _require_equal("rows in a test set", len(tensors[f"labels.{position}"]), config.test_set_size)
            _require_within("rows in a dataset", len(tensors[f"labels.{run.dataset}"]), 1, config.max_train_examples)
            for name, value in asdict(run.optimizer).items():
                is_valid, expected = HYPERPARAMETERS[name]
                require(is_valid(value), f"{name}: {expected}", value)

    def check_state(self, snapshot: Snapshot, of_runs: Snapshot) -> None:
        """Checks a snapshot of the progress of runs, made by `snapshot.of_progress`.

        Args:
            snapshot: The snapshot.
            of_runs: The snapshot of the runs, already checked.

        Raises:
            ValueError: A check failed; the message says what was expected and what was got.
        """
        values, config = convert(snapshot.values, _State), self.config
        runs = convert(of_runs.values, _Runs).runs
        num_runs = len(runs)
        _require_within("step", values.step, 0, config.max_steps)
        require(is_between_pieces(config, values.step), "step: the end of a piece of a window", values.step)
        _require_equal("opened", values.opened, config.last_close(values.step))
        require(values.live == sorted(set(values.live)), "live: different runs, ascending", values.live)
        ended = [end.run for end in values.trained]
        require(
            sorted([*values.live, *ended]) == list(range(num_runs)),
            f"live and trained: all of runs 0 to {num_runs - 1}, each once",
            f"{values.live} and {ended}",
        )
        self._check_tensors(values, snapshot.tensors)
        closes = self._check_curves(values, snapshot.tensors, num_runs)
        windows = snapshot.tensors["curve.windows"].tolist()
        for run in values.live:
            _require_equal(f"windows of run {run}", windows[run], len(closes))
        for end in values.trained:
            self._check_end(end, runs[end.run], values, closes, windows[end.run])

    def _check_tensors(self, values: _State, tensors: dict[str, Tensor]) -> None:
        num_live, num_steps = len(values.live), values.step - values.opened
        sums = [f"sums.{name}" for name in ("loss", "accuracy", "num_batches")] if num_steps else []
        curves = [f"curve.{name}" for name in ("windows", "step", "loss", "accuracy")]
        _require_names(tensors, ["params", "exp_avg", "exp_avg_sq", "active", *sums, *curves])
        for name in ("params", "exp_avg", "exp_avg_sq"):
            _require_tensor(name, tensors[name], self.dtype, num_live, self.num_params)
        require(not (tensors["exp_avg_sq"] < 0).any(), "exp_avg_sq: at least 0", "negative numbers")
        active = tensors["active"]
        _require_tensor("active", active, torch.bool, num_live)
        # Some code treats any other byte as true, other code as false.
        require(bool((active.view(torch.uint8) <= 1).all()), "active: 0 and 1", "another byte")
        if not num_steps:
            require(bool(active.all()), "active: all runs at the close of a window", "inactive runs")
            return
        loss, accuracy, num_batches = (tensors[name] for name in sums)
        _require_tensor("sums.num_batches", num_batches, torch.int64, num_live)
        in_range = (num_batches >= 0) & (num_batches <= num_steps)
        require(bool(in_range.all()), f"sums.num_batches: 0 to {num_steps}", num_batches[~in_range][:1].tolist())
        require(
            bool(((num_batches == num_steps) == active).all()),
            "sums.num_batches: all batches of exactly the active runs",
            "others",
        )
        for name, values_, most in (("loss", loss, torch.inf), ("accuracy", accuracy, 1)):
            _require_tensor(f"sums.{name}", values_, torch.float64, num_live)
            is_fit = values_.isfinite() & (values_ >= 0) & (values_ <= num_batches * most if most == 1 else True)
            require(bool(is_fit.all()), f"sums.{name}: sums of means within range", values_[~is_fit][:1].tolist())

    def _check_curves(self, values: _State, tensors: dict[str, Tensor], num_runs: int) -> list[int]:
        """Checks the curves, and returns the steps at which windows had closed."""
        config = self.config
        windows, steps, loss, accuracy = (tensors[f"curve.{name}"] for name in ("windows", "step", "loss", "accuracy"))
        _require_tensor("curve.windows", windows, torch.int64, num_runs)
        total = len(steps) if steps.ndim else 0
        in_range = (windows >= 0) & (windows <= total)
        require(bool(in_range.all()), f"curve.windows: 0 to {total}", windows[~in_range][:1].tolist())
        _require_equal("windows in curves", total, sum(windows.tolist()))
        _require_tensor("curve.step", steps, torch.int64, total)
        for name, curve, most in (("loss", loss, torch.inf), ("accuracy", accuracy, 1)):
            _require_tensor(f"curve.{name}", curve, torch.float64, total)
            is_fit = curve.isfinite() & (curve >= 0) & (curve <= most)
            require(bool(is_fit.all()), f"curve.{name}: finite, 0 to {most}", curve[~is_fit][:1].tolist())
        # As many windows as the longest curve has, and one more to show whether that curve lacks a window.
        closes = [close for close in config.window_closes(max(windows.tolist()) + 1) if close <= values.opened]
        expected = torch.tensor(closes, dtype=torch.int64)
        is_good = (steps >= config.min_steps_before_stop) & (accuracy >= config.early_stop_acc)
        _require_equal("runs in good_windows", len(values.good_windows), num_runs)
        for run, end in enumerate(accumulate(windows.tolist())):
            count = int(windows[run])
            part = slice(end - count, end)
            require(
                torch.equal(steps[part], expected[:count]),
                f"curve.step: the steps at which windows of run {run} close",
                "other steps",
            )
            good, longest = _successions(is_good[part])
            _require_equal(f"good_windows of run {run}", values.good_windows[run], good)
            is_stopped = good == config.early_stop_windows and run not in values.live
            most = config.early_stop_windows - (0 if is_stopped else 1)
            _require_within(f"good windows of run {run} in succession", longest, 0, most)
        return closes

    def _check_end(self, end: _End, run: _Run, values: _State, closes: Sequence[int], num_windows: int) -> None:
        config, name = self.config, f"steps of run {end.run}"
        last = closes[num_windows - 1] if num_windows else 0
        following = closes[num_windows] if num_windows < len(closes) else last
        if end.test_accuracy is None or end.first_layer is None:
            is_neither = end.test_accuracy is None and end.first_layer is None and end.fresh_accuracy is None
            require(is_neither, "test_accuracy and first_layer: both or neither", "one of them")
            _require_within(name, end.steps, last, following)
            return
        is_tested, has_set = end.fresh_accuracy is not None, run.fresh_test_set is not None
        require(is_tested == has_set, "fresh_accuracy: one for each run with a fresh_test_set", end.fresh_accuracy)
        _require_equal(name, end.steps, last)
        has_stopped = values.good_windows[end.run] == config.early_stop_windows
        require(has_stopped or last == config.max_steps, f"{name}: max_steps, or good windows that stop the run", last)
        _require_equal(f"features in first_layer of run {end.run}", len(end.first_layer), config.n_features)
        is_fit = all(0 <= value < torch.inf for value in end.first_layer)
        require(is_fit, f"first_layer of run {end.run}: finite, at least 0", "other numbers")


def _successions(is_good: Tensor) -> tuple[int, int]:
    """Returns the number of consecutive good windows at the end, and the largest such number anywhere."""
    bad = (~is_good).nonzero().flatten().tolist()
    gaps = [after - before - 1 for before, after in zip([-1, *bad], [*bad, len(is_good)], strict=True)]
    return gaps[-1], max(gaps)


def require(holds: bool, expected: str, actual: object) -> None:
    """Raises a `ValueError` that says what was expected and what was got, unless the condition holds."""
    if not holds:
        raise ValueError(f"expected {expected}, got {actual if isinstance(actual, str) else brief(actual)}")


def _require_equal(name: str, value: int, expected: int) -> None:
    require(value == expected, f"{expected} {name}" if " " in name else f"{name}: {expected}", value)


def _require_within(name: str, value: int, least: int, most: int) -> None:
    require(least <= value <= most, f"{name}: {least} to {most}", value)


def _require_names(tensors: dict[str, Tensor], names: Sequence[str]) -> None:
    differing = sorted(tensors.keys() ^ set(names))
    actual = f"{len(tensors)}: {', '.join(map(brief, differing[:1]))} is missing or unexpected"
    require(not differing, f"{len(names)} tensors", actual)


def _require_tensor(name: str, tensor: Tensor, dtype: torch.dtype, *shape: int) -> None:
    actual = f"{tensor.dtype} of {list(tensor.shape)}"
    require(tensor.dtype == dtype and tensor.shape == shape, f"{name}: {dtype} of {list(shape)}", actual)
