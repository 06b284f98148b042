import hashlib
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SHORT, golden

from vecparity import evaluate
from vecparity.training import random_streams

SEEDING, INITIAL = golden("seeding"), golden("traces")["initial_parameters"]
STREAMS = {stream.name: stream for stream in random_streams.STREAMS}
SET = SEEDING["test_sets"]["n32_seed42_secret0"]
PERMUTATION = SEEDING["permutations"]["order_seed84000000_n100"][0]
NORMAL = INITIAL["isolated_cube_n32_run_seed42000000"]["0.weight"]


@pytest.fixture(autouse=True)
def nothing_warned_of() -> Iterator[None]:
    random_streams.warn_of_others.cache_clear()
    yield
    random_streams.warn_of_others.cache_clear()


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def test_figures_are_the_originals() -> None:
    assert STREAMS["secrets"].sha256 == sha256(np.array([SEEDING["secrets"]["n32_seed42"][0]], np.int64))
    assert {STREAMS[name].sha256 for name in ("orderings", "permutations")} == {PERMUTATION["int64_sha256"]}
    assert STREAMS["normal weights"].sha256 == NORMAL["float32_sha256"]
    assert list(STREAMS["normal weights"].head) == NORMAL["head"]


def test_the_figure_of_test_sets_is_the_beginning_of_the_originals() -> None:
    """Drawn from MT19937 as numpy has it, not by torch: the last bit of each number."""
    x = np.random.RandomState(SET["seed"]).randint(0, 2**32, (16_384, 32), np.uint32) % 2
    assert sha256(x.astype(np.uint8)) == SET["x_uint8_sha256"]
    assert STREAMS["test sets"].sha256 == sha256(x[:64].astype(np.uint8))


def test_the_figure_of_networks_is_what_the_definitions_give() -> None:
    """Each number's low 24 bits, scaled to the bounds by one multiplication and addition, rounded once."""
    generator = np.random.RandomState(42_000_000)
    drawn = []
    for fan_in, size in [(32, 32 * 512), (32, 512), (512, 512), (512, 1)]:
        bound = np.float32(1 / math.sqrt(fan_in))
        uniform = (generator.randint(0, 2**32, size, np.uint32) % 2**24) / 2**24
        drawn.append((uniform * float(2 * bound) - float(bound)).astype(np.float32))
    params = np.concatenate(drawn)
    assert STREAMS["networks"].sha256 == sha256(params)
    assert list(STREAMS["networks"].head) == params[:4].tolist()


@pytest.mark.parametrize("has_extension", [True, False])
def test_this_machines_streams_are_the_originals(has_extension: bool, request: pytest.FixtureRequest) -> None:
    """Those of whole numbers to the bit, by torch and by its native twin."""
    if not has_extension:
        request.getfixturevalue("without_native")
    state = torch.get_rng_state()
    found = {stream.name: likeness for stream, likeness in random_streams.likenesses()}
    assert found.pop("networks") != "other" and found.pop("normal weights") != "other"
    assert set(found.values()) == {"same"}
    assert torch.get_rng_state().equal(state)


@pytest.mark.slow
@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_only_the_rounding_of_weights_depends_on_vector_instructions(capability: str) -> None:
    code = (
        "import torch; from vecparity.training import random_streams; random_streams.warn_of_others()\n"
        "print(torch.backends.cpu.get_cpu_capability(), *[likeness for _, likeness in random_streams.likenesses()])"
    )
    environment = os.environ | {"ATEN_CPU_CAPABILITY": capability}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    got, *found = done.stdout.split()
    if got != capability.upper():
        pytest.skip(f"torch has no {capability} code path here, but {got}")
    weights = "rounded" if capability == "default" else "same"
    assert found == ["same", "same", weights, weights, "same", "same"]


def test_another_torch_is_warned_of_once(without_native: None, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.randperm
    monkeypatch.setattr(torch, "randperm", lambda *given, **named: draw(*given, **named).flip(0))
    monkeypatch.setattr(torch, "__version__", "9.9")
    said = r"^torch 9\.9 and Python .* draw orderings, permutations differently from the original: compare"
    with pytest.warns(UserWarning, match=said) as warned:
        evaluate("isolated_cube", engine="vmap", **SHORT)
    assert len(warned) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        random_streams.warn_of_others()


@pytest.mark.parametrize("name", STREAMS)
def test_any_other_draw_is_seen(name: str) -> None:
    stream = STREAMS[name]
    drawn = stream.draw()
    drawn.view(-1)[-1] += 1
    first = drawn.clone()
    first.view(-1)[0] += 1
    assert replace(stream, draw=lambda: first).likeness() == "other"
    last = replace(stream, draw=lambda: drawn).likeness()
    assert last == ("rounded" if stream.head else "other")
