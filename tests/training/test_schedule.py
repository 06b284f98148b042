import hashlib
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from conftest import golden
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecparity.kernels.cpu import native
from vecparity.training.orderings import make_orderings
from vecparity.training.schedule import Schedule, Window

PERMUTATIONS = golden("seeding")["permutations"]


@pytest.fixture(autouse=True, params=["native", "torch"])
def orderings(request: pytest.FixtureRequest) -> None:
    """Every test is of both ways to draw a permutation."""
    if request.param == "torch":
        request.getfixturevalue("without_native")
    elif not native.is_available():
        pytest.skip("the extension was not built")


def plain_batches(num_examples: int, seed: int, batch_size: int) -> Iterator[list[int]]:
    """The contract, word for word."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        for batch in torch.randperm(num_examples, generator=generator).split(batch_size):
            yield batch.tolist()


def batches_of(window: Window, run: int) -> list[list[int]]:
    return [indices[:length].tolist() for indices, length in zip(window.indices[run], window.lengths[run], strict=True)]


@pytest.mark.parametrize("case", PERMUTATIONS)
def test_permutations_are_the_originals(case: str) -> None:
    seed, n = (int(part.lstrip("sedn")) for part in case.split("_")[1:])
    epochs = PERMUTATIONS[case]
    with Schedule([n], [seed], batch_size=n, window_lengths=[1] * len(epochs)) as schedule:
        for window, expected in zip(schedule, epochs, strict=True):
            permutation = window.indices[0, 0].to(torch.int64)
            assert permutation[: len(expected["head"])].tolist() == expected["head"]
            assert hashlib.sha256(permutation.numpy().tobytes()).hexdigest() == expected["int64_sha256"]


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    num_examples=st.lists(st.integers(1, 60), min_size=1, max_size=5),
    batch_size=st.integers(1, 20),
    window_lengths=st.lists(st.integers(1, 15), min_size=1, max_size=6),
)
def test_windows_are_the_batches_one_after_another(
    num_examples: list[int], batch_size: int, window_lengths: list[int]
) -> None:
    seeds = [1000 + run for run in range(len(num_examples))]
    plain = [plain_batches(n, seed, batch_size) for n, seed in zip(num_examples, seeds, strict=True)]
    with Schedule(num_examples, seeds, batch_size, window_lengths) as schedule:
        windows = list(schedule)
    assert [window.num_steps for window in windows] == window_lengths
    for window in windows:
        for run, batches in enumerate(plain):
            assert batches_of(window, run) == [next(batches) for _ in range(window.num_steps)]


def test_runs_that_go_on_keep_their_place() -> None:
    num_examples, seeds = [50, 7, 33], [1, 2, 3]
    plain = [plain_batches(n, seed, 10) for n, seed in zip(num_examples, seeds, strict=True)]
    with Schedule(num_examples, seeds, 10, [4, 4, 4]) as schedule:
        first = next(schedule)
        assert batches_of(first, 2) == [next(plain[2]) for _ in range(4)]
        schedule.take(torch.tensor([2, 0]))
        second = next(schedule)
        assert batches_of(second, 0) == [next(plain[2]) for _ in range(4)]
        schedule.take(torch.tensor([0]))
        third = next(schedule)
        assert third.indices.shape == (1, 4, 10)
        assert batches_of(third, 0) == [next(plain[2]) for _ in range(4)]
        schedule.take(torch.tensor([0]))
        with pytest.raises(StopIteration):
            next(schedule)


def test_runs_that_go_on_are_gathered_in_the_stream_that_fills_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of any other stream, the memory gathered from could be filled anew before it was read."""
    events: list[str] = []

    class Stream:
        def synchronize(self) -> None:
            events.append("synchronize")

    @contextmanager
    def stream(entered: Any) -> Iterator[None]:
        events.append("enter")
        yield
        events.append("leave")

    def take(window: Window, runs: torch.Tensor) -> Window:
        events.append("gather")
        return Window(window.indices[runs], window.lengths[runs])

    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(Window, "take", take)
    with Schedule([50, 7], [1, 2], 10, [4]) as schedule:
        assert schedule._pending is not None and schedule._pending.result().num_steps == 4
        schedule._stream = Stream()  # type: ignore[assignment]
        schedule.take(torch.tensor([1]))
        assert len(schedule._pending.result().indices) == 1
    assert events == ["enter", "gather", "leave", "synchronize"]


def test_memory_that_is_used_again_leaves_nothing_behind() -> None:
    indices, lengths = torch.full((1, 5, 8), -1, dtype=torch.int32), torch.full((1, 5), -1, dtype=torch.int32)
    make_orderings([19], [5]).fill(indices.numpy(), lengths.numpy(), 1)
    assert lengths.tolist() == [[8, 8, 3, 8, 8]]
    assert indices[0, :3].flatten()[:19].sort().values.tolist() == list(range(19))
    assert indices[0, 2, 3:].tolist() == [0] * 5


def test_what_lies_beyond_a_short_batch_is_a_row() -> None:
    with Schedule([3], [5], 8, [2]) as schedule:
        window = next(schedule)
    assert window.lengths.tolist() == [[3, 3]]
    assert not window.indices[:, :, 3:].any()


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    num_examples=st.lists(st.integers(1, 2000), min_size=1, max_size=3),
    batch_size=st.integers(1, 300),
    first_step=st.integers(0, 60),
)
def test_a_walk_that_begins_later_is_the_rest_of_the_walk(
    num_examples: list[int], batch_size: int, first_step: int
) -> None:
    seeds = [1000 + run for run in range(len(num_examples))]
    plain = [plain_batches(n, seed, batch_size) for n, seed in zip(num_examples, seeds, strict=True)]
    with Schedule(num_examples, seeds, batch_size, [30], first_step=first_step) as schedule:
        window = next(schedule)
    for run, batches in enumerate(plain):
        for _ in range(first_step):
            next(batches)
        assert batches_of(window, run) == [next(batches) for _ in range(30)]


def test_a_signal_does_not_break_off_the_wait_for_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Broken off inside, it could leave a lock held for which the thread that fills windows would wait for ever."""
    waits = list[str]()
    with Schedule([4], [0], 2, [1, 1]) as schedule:
        pending = schedule._pending
        assert pending is not None
        result = pending.result

        def interrupted_result() -> Window:
            waits.append("begun")
            signal.raise_signal(signal.SIGINT)
            waits.append("ended")
            return result()

        monkeypatch.setattr(pending, "result", interrupted_result)
        with pytest.raises(KeyboardInterrupt):
            next(schedule)
    assert waits == ["begun", "ended"]
