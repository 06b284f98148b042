"""Options given in Python: each works, or raises one error that says what was expected and what was got."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SHORT
from noting import Noting

from vecparity import Evaluation, History, compare, evaluate, evaluate_many, leaderboard, write_report
from vecparity.errors import UsageError
from vecparity.evaluation.options import Options


@pytest.mark.slow
def test_what_has_a_text_may_be_given_as_one(tmp_path: Path) -> None:
    told = Noting()
    texts: dict[str, Any] = {"checkpoint": f"{tmp_path}/kept", "strategy_log": f"{tmp_path}/log", "dtype": "float64"}
    evaluation = evaluate("isolated_cube", **texts, followers=iter([told]), **SHORT)  # type: ignore[call-overload]
    assert evaluation.provenance.dtype == "float64"
    assert (tmp_path / "log").exists()
    assert told.windows


def test_numbers_and_paths_are_plain_ones_from_here_on() -> None:
    options = Options(chunk_runs=np.int64(4), checkpoint_seconds=np.float32(2), strategy_log="a", checkpoint="b")  # type: ignore[arg-type]
    assert (type(options.chunk_runs), type(options.checkpoint_seconds)) == (int, float)
    assert (options.strategy_log, options.checkpoint) == (Path("a"), Path("b"))
    for dtype in (torch.float64, "float64", "torch.float64"):
        assert Options(dtype=dtype).dtype is torch.float64  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("engine", None, "one of auto, native, cuda, triton, vmap, reference"),
        ("engine", ["vmap"], "one of auto, native, cuda, triton, vmap, reference"),
        ("device", torch.device("cpu"), r"one of auto, cpu, cuda, cuda:0 \(or another number\), cuda:all"),
        ("init_device", "auto", "one of cpu, cuda"),
        ("chunk_runs", "4", "an integer"),
        ("chunk_runs", True, "an integer"),
        ("chunk_runs", 2.5, "an integer"),
        ("chunk_runs", 0, "at least 1"),
        ("dtype", "half", "one of float32, float64"),
        ("dtype", torch.int64, "one of float32, float64"),
        ("dtype", None, "one of float32, float64"),
        ("containment", None, "one of auto, bwrap, landlock, limits, none"),
        ("require_containment", "auto", "one of bwrap, landlock, limits, none"),
        ("limits", {"strategy_seconds": 5}, r"Limits \(vecparity.sandbox.limits\)"),
        ("limits", None, r"Limits \(vecparity.sandbox.limits\)"),
        ("strategy_log", 3, "a path"),
        ("strategy_log", "", "a path"),
        ("checkpoint", b"kept", "a path"),
        ("checkpoint", "a\0b", "a path"),
        ("audit", "loud", "one of off, report, strict"),
        ("audit", [], "one of off, report, strict"),
        ("checkpoint_seconds", "60", "a finite number, at least 0"),
        ("checkpoint_seconds", None, "a finite number, at least 0"),
        ("checkpoint_seconds", True, "a finite number, at least 0"),
        ("checkpoint_seconds", -1.0, "a finite number, at least 0"),
        ("checkpoint_seconds", float("nan"), "a finite number, at least 0"),
        ("checkpoint_seconds", float("inf"), "a finite number, at least 0"),
        ("resume", "yes", "True or False"),
        ("resume", 1, "True or False"),
        ("smoke", "yes", "True or False"),
        ("reuse", None, "True or False"),
        ("config", None, "one of n32-k8, n50-k8, n64-k8, or a TaskConfig"),
        ("config", ["n32-k8"], "one of n32-k8, n50-k8, n64-k8, or a TaskConfig"),
        ("protocol", ["full"], "one of full, published"),
        ("history", 3, "a file's path or an open History"),
        ("followers", None, "a sequence of followers"),
        ("followers", "ab", "a sequence of followers"),
        ("strategy", None, "a path"),
        ("strategy", "a\0b/c.py", "a path"),
        ("max_steps", "30", "an integer"),
        ("max_steps", 10**30, "at most 2147483647"),
        ("seed", "42", "an integer"),
    ],
)
def test_an_argument_that_cannot_be(name: str, value: Any, expected: str) -> None:
    with pytest.raises(UsageError, match=f"^{name} must be {expected}, got ") as refused:
        evaluate(**{"strategy": "isolated_cube", **SHORT, name: value})
    assert str(refused.value).endswith(repr(value))


@pytest.mark.parametrize("key", ["0" * 32, bytearray(32), 7])
def test_a_key_that_cannot_be_is_not_shown(key: Any) -> None:
    with pytest.raises(UsageError, match=rf"^seal_key must be bytes .*, got {type(key).__name__}$"):
        Options(seal_key=key)


@pytest.mark.parametrize(
    "jobs", [None, 5, "isolated_cube", ["ab"], [("isolated_cube",)], [("isolated_cube", 1, 2)], {"isolated_cube": 1}]
)
def test_jobs_that_are_no_pairs(jobs: Any) -> None:
    with pytest.raises(UsageError, match=r"^jobs must be pairs of a strategy and a seed, got "):
        evaluate_many(jobs, **SHORT)


_ONE = object()


@pytest.mark.parametrize(
    ("function", "arguments", "said"),
    [
        (compare, (_ONE, 3), r"expected evaluations \(as evaluate returns them\), got 3"),
        (compare, (None, _ONE), "expected evaluations .*, got None"),
        (compare, (_ONE, Path("a.json")), "expected evaluations .*, got PosixPath"),
        (partial(compare, names=3), (_ONE, _ONE), "names must be 2, one for each side, got 3"),
        (partial(compare, names=("a",)), (_ONE, _ONE), "names must be 2, one for each side, got"),
        (partial(compare, names="ab"), (_ONE, _ONE), "names must be 2, one for each side, got 'ab'"),
        (leaderboard, (None,), "expected evaluations .*, got None"),
        (leaderboard, ([3],), "expected evaluations .*, got 3"),
        (write_report, ("a.json", "r.html"), "expected evaluations .*, got 'a.json'"),
        (write_report, ([None], "r.html"), "expected evaluations .*, got None"),
        (write_report, (_ONE, None), "the report's path must be a path, got None"),
        (write_report, (_ONE, "a\0b"), "the report's path must be a path, got"),
        (History, (3,), "the history's path must be a path, got 3"),
        (History, (b"h",), "the history's path must be a path, got b'h'"),
    ],
)
def test_what_others_cannot_take(
    evaluation: Evaluation, function: Callable[..., object], arguments: tuple[Any, ...], said: str
) -> None:
    with pytest.raises(UsageError, match=f"^{said}"):
        function(*(evaluation if argument is _ONE else argument for argument in arguments))


def test_an_id_that_is_no_number(tmp_path: Path) -> None:
    with History(tmp_path / "h", create=True) as history, pytest.raises(UsageError, match="an integer, got '1'"):
        history.get("1")  # type: ignore[arg-type]
