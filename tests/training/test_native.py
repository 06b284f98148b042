from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from conftest import CPU
from equivalence import (
    CONFIG,
    LEVELS,
    assert_equivalent,
    assert_first_gradients,
    make_run,
    make_runs,
    oracle_gradients,
    start,
    state_bits,
    windows,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from vecparity import evaluate
from vecparity.errors import MachineError, UsageError
from vecparity.kernels.cpu import native
from vecparity.task.config import OptimizerConfig, TaskConfig
from vecparity.training.engines import vmap
from vecparity.training.engines.native import NativeEngine, _Pace
from vecparity.training.runs import Run
from vecparity.training.schedule import Schedule

pytestmark = pytest.mark.skipif(not native.is_available(), reason="the extension was not built")


def apply(function: str, x: np.ndarray, level: str) -> np.ndarray:
    y = np.empty_like(x)
    native.extension().apply(function, x, y, level)
    return y


def ulps_off(got: np.ndarray, exact: np.ndarray) -> float:
    spacing = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    return float(np.max(np.abs(got.astype(np.float64) - exact) / spacing))


@pytest.mark.parametrize("level", LEVELS)
def test_exp_is_within_two_ulps(level: str) -> None:
    x = np.linspace(-103.9, 88.72, 2_000_003, dtype=np.float32)
    assert ulps_off(apply("exp", x, level), np.exp(x.astype(np.float64))) <= 2
    ends = np.array([-np.inf, -200, -104, 0, 88.8, 200, np.inf, np.nan], dtype=np.float32)
    np.testing.assert_array_equal(
        apply("exp", ends, level), np.array([0, 0, 0, 1, np.inf, np.inf, np.inf, np.nan], dtype=np.float32)
    )


@pytest.mark.parametrize("level", LEVELS)
def test_log_is_within_two_ulps(level: str) -> None:
    every_exponent = np.geomspace(1e-45, 3.4e38, 2_000_003).astype(np.float32)
    around_one = np.linspace(0.5, 2, 2_000_003, dtype=np.float32)
    for x in (every_exponent, around_one):
        assert ulps_off(apply("log", x, level), np.log(x.astype(np.float64))) <= 2
    ends = np.array([0, 1, np.nan], dtype=np.float32)
    np.testing.assert_array_equal(apply("log", ends, level), np.array([-np.inf, 0, np.nan], dtype=np.float32))


@pytest.mark.parametrize("level", LEVELS)
def test_fused_rounds_once(level: str) -> None:
    """Also where rounding to double precision first would round a tie that is none."""
    generator = np.random.default_rng(1)
    a, b, c = (generator.standard_normal(100_000).astype(np.float32) for _ in range(3))
    small, step = np.float32(2**-12), np.float32(2**-23)
    a[:2], b[:2], c[:2] = small * (1 + step), small * (1 - step), [1 + step, -1 - step]
    c[2:5], a[5:8] = [0, np.inf, np.nan], [0, -np.inf, np.nan]
    y = np.empty_like(a)
    native.extension().fused(a, b, c, y, level)
    best = np.empty_like(a)
    native.extension().fused(a, b, c, best, LEVELS[0])
    np.testing.assert_array_equal(y.view(np.int32), best.view(np.int32))
    for index in (0, *range(8, 2000)):
        exact = Fraction(float(a[index])) * Fraction(float(b[index])) + Fraction(float(c[index]))
        errors = [abs(Fraction(float(y[index] + side * np.spacing(y[index]))) - exact) for side in (0, -1, 1)]
        assert errors[0] == min(errors)


@pytest.mark.parametrize("level", LEVELS)
@settings(deadline=None, max_examples=40)
@given(
    n_features=st.integers(1, 200),
    hidden_width=st.integers(1, 100),
    batch_size=st.integers(1, 150),
    num_examples=st.integers(1, 150),
    density=st.sampled_from([0.0, 0.02, 0.1, 0.5, 1.0]),
    saturates=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_gradients_of_one_step_are_the_float64_oracles(
    level: str,
    n_features: int,
    hidden_width: int,
    batch_size: int,
    num_examples: int,
    density: float,
    saturates: bool,
    seed: int,
) -> None:
    sizes = {"n_features": n_features, "hidden_width": hidden_width, "batch_size": batch_size}
    config = TaskConfig(**sizes, secret_size=1, num_hidden_secrets=1, test_set_size=1)
    run = make_run(num_examples, density, saturates, seed, config)
    ensemble = start([run], config=config)
    (window,) = windows([run], [1], config)
    rows = window.indices[0, 0, : int(window.lengths[0, 0])].long()
    gradients, loss, p = oracle_gradients(run, rows, hidden_width)
    accuracy = ((p >= 0.5) == run.dataset.labels[rows].bool()).double().mean().item()
    metrics = NativeEngine(level=level).advance(ensemble, window)
    # A likelihood is no finer than p: 2^-24.
    likelihoods = torch.where(run.dataset.labels[rows].bool(), p, 1 - p)
    resolution = float((2.0**-24 / likelihoods.clamp_min(2.0**-24)).mean())
    assert float(metrics.loss) == pytest.approx(loss, rel=1e-6, abs=2 * resolution)
    assert float(metrics.accuracy) == pytest.approx(accuracy, rel=1e-6)
    # Examples may cancel each other almost wholly, and p - y may be but a few roundings of p: the error is measured
    # by what is added up where no p - y is that small.
    error = ensemble.exp_avg[0].double() - gradients.sum(dim=0)
    residuals = (p - run.dataset.labels[rows]).abs().clamp_min(1e-12)
    summands = gradients.abs() * (residuals.clamp_min(0.1) / residuals)[:, None]
    assert error.norm() <= 1e-6 * summands.sum(dim=0).norm()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("strategy", ["default_4096", "isolated_cube", "clean_noisy_cube"])
@pytest.mark.parametrize("label", ["n32-k8", "n64-k8"])
def test_gradients_of_the_benchmarks_first_step(label: str, strategy: str, level: str) -> None:
    assert_first_gradients(NativeEngine(level=level), label, strategy, 2, CPU, 1e-6)


def test_the_gradients_of_saturated_rows_alone_are_zero() -> None:
    config = replace(CONFIG, batch_size=100)
    run = make_run(100, 1.0, True, 1, config)
    on = run.dataset.bits[:, 0] & 1 == 1
    run = replace(run, dataset=replace(run.dataset, bits=run.dataset.bits[on], labels=run.dataset.labels[on]))
    ensemble = start([run], config=config)
    metrics = NativeEngine().advance(ensemble, *windows([run], [1], config))
    assert 0 < float(metrics.accuracy) < 1
    assert not ensemble.exp_avg.any()
    # Each wrong answer costs 100 nats, the contract's ceiling, and each right one nothing.
    assert float(metrics.loss) == pytest.approx(100 * (1 - float(metrics.accuracy)))


# Every way through the kernel: equal rows shared, scattered gradients, wide tiles, narrow ones, several words.
SHAPES = {
    "6 features": (6, 1.0),
    "14 features": (14, 1.0),
    "20 features": (20, 1.0),
    "50 features": (50, 1.0),
    "130 features": (130, 1.0),
    "few of 70 features used": (70, 0.1),
}
each_shape = pytest.mark.parametrize(("n_features", "density"), SHAPES.values(), ids=SHAPES.keys())


def various_runs(n_features: int, density: float) -> tuple[list[Run], TaskConfig]:
    config = replace(CONFIG, n_features=n_features, hidden_width=40)
    sizes = [100, 77, 32, 5, 1]
    runs = [make_run(size, density, size == 77, size, config) for size in sizes]
    hyperparameters = [run.optimizer for run in make_runs()]
    return [
        replace(run, optimizer=optimizer, ordering_seed=index)
        for index, (run, optimizer) in enumerate(zip(runs, hyperparameters, strict=False))
    ], config


@each_shape
def test_every_instruction_set_gives_the_same_bits(n_features: int, density: float) -> None:
    runs, config = various_runs(n_features, density)
    states = []
    for level in LEVELS:
        ensemble = start(runs, config=config)
        for window in windows(runs, [3, 20], config):
            NativeEngine(level=level).advance(ensemble, window)
        states.append(torch.stack([state_bits(ensemble, run) for run in range(len(runs))]))
    for level, state in zip(LEVELS, states, strict=True):
        assert torch.equal(state, states[0]), level


@each_shape
@pytest.mark.parametrize("hidden_width", [24, 100, 200, 512])
@pytest.mark.parametrize("level", LEVELS)
def test_threads_that_share_a_run_change_no_bit(level: str, hidden_width: int, n_features: int, density: float) -> None:
    """Also where the network is too narrow for all of them, and with a run that diverges on one thread's units only."""
    config = replace(CONFIG, n_features=n_features, hidden_width=hidden_width)
    healthy = make_run(100, density, False, 1, config)
    bias, weight = hidden_width * n_features, hidden_width * (n_features + 1)  # of the first unit
    params = healthy.params.clone()
    params[weight] = 0.0
    ailing = replace(healthy, params=params, optimizer=OptimizerConfig(1e-3, 0.0, 0.9, 0.99))
    states = []
    for threads_per_run in (1, 2, 4):
        engine = NativeEngine(threads=8, level=level, threads_per_run=threads_per_run)
        ensemble = start([healthy, ailing], config=config)
        ensemble.exp_avg[1, bias] = 3e38  # without a gradient: the first update overflows
        metrics = [engine.advance(ensemble, window) for window in windows([healthy, ailing], [3, 9], config)]
        sums = torch.stack([torch.stack([each.loss, each.accuracy, each.num_batches.double()]) for each in metrics])
        states.append((torch.stack([state_bits(ensemble, run) for run in range(2)]), sums, ensemble.active))
    assert states[0][1][:, 2].tolist() == [[3, 1], [9, 0]]
    assert states[0][2].tolist() == [True, False]
    for state, sums, active in states[1:]:
        assert torch.equal(state, states[0][0])
        assert torch.equal(sums.view(torch.int64), states[0][1].view(torch.int64))
        assert torch.equal(active, states[0][2])


def test_more_threads_than_cores_end_all_the_same() -> None:
    """Threads that wait for one that has no core must let it have theirs."""
    config = replace(CONFIG, hidden_width=512)
    runs = [make_run(100, 1.0, False, seed, config) for seed in range(8)]
    ensemble, alone = start(runs, config=config), start(runs, config=config)
    for window in windows(runs, [30], config):
        NativeEngine(threads=32, threads_per_run=4).advance(ensemble, window)
        NativeEngine(threads=1).advance(alone, window)
    assert torch.equal(ensemble.params, alone.params)


def test_the_fastest_number_of_threads_per_run_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("vecparity.training.engines.native.perf_counter", lambda: clock[0])
    pace, seconds = _Pace(), {4: 3.0, 2: 1.0, 1: 2.0}

    def advance(most: int, num_windows: int) -> list[int]:
        taken = []
        for _ in range(num_windows):
            with pace.measure((most,), most) as number:
                clock[0] += seconds[number]
            taken.append(number)
        return taken

    assert advance(4, 20) == [4, 2, 1, *[2] * 17]
    seconds[2] = 4.0  # other work has come
    assert set(advance(4, 2)[1:]) == {1}
    assert advance(1, 3) == [1, 1, 1]
    seconds[2] = 1.0  # and has gone, which is found out in time
    assert advance(4, 200)[-1] == 2


def without_subnormals(values: torch.Tensor) -> torch.Tensor:
    return torch.where(values.abs() < torch.finfo(torch.float32).tiny, 0.0, values)


def test_moments_end_at_zero_and_are_never_subnormal() -> None:
    """Those of units that get no gradient any more. On subnormal floats a step would be several times slower."""
    config = replace(CONFIG, n_features=70, hidden_width=64)
    run = replace(make_run(100, 0.0, False, 5, config), optimizer=OptimizerConfig(0.5, 0.1, 0.5, 0.75))
    states = []
    for level in LEVELS:
        ensemble = start([run], config=config)
        generator = torch.Generator().manual_seed(1)
        for values in (ensemble.params, ensemble.exp_avg, ensemble.exp_avg_sq):
            values.copy_(2.0 ** torch.randint(-149, -110, values.shape, generator=generator))
        before, tiny = ensemble.exp_avg.clone(), torch.finfo(torch.float32).tiny
        for window in windows([run], [20, 20], config):
            NativeEngine(level=level).advance(ensemble, window)
            for values in (ensemble.params, ensemble.exp_avg, ensemble.exp_avg_sq):
                assert torch.equal(values, without_subnormals(values))
        num_weights = 70 * 64  # of features that are never on: they have no gradient
        assert not ensemble.exp_avg[:, :num_weights].any() and bool((before[:, :num_weights] > 4 * tiny).any())
        states.append(state_bits(ensemble, 0))
    assert all(torch.equal(state, states[0]) for state in states)


@pytest.mark.parametrize("level", LEVELS)
def test_the_update_is_as_near_to_float64_as_a_quotient(level: str) -> None:
    """AdamW's denominator within two roundings, from the smallest second moments to infinite ones."""
    config = replace(CONFIG, n_features=70, hidden_width=64)
    run = replace(make_run(100, 0.0, False, 5, config), optimizer=OptimizerConfig(0.5, 0.0, 0.5, 0.75))
    generator = torch.Generator().manual_seed(1)
    ensemble = start([run], config=config)
    shape, num_weights = ensemble.params.shape, 70 * 64  # of features that are never on: they have no gradient
    exponents = torch.randint(-149, 128, shape, generator=generator).double()
    ensemble.exp_avg_sq = (torch.rand(shape, generator=generator) * 2**exponents).float()
    ensemble.exp_avg = torch.randn(shape, generator=generator)
    ensemble.exp_avg_sq[0, :4] = torch.tensor([torch.inf, 0.0, 2.0**-149, 3.4e38])
    ensemble.exp_avg[0, :4] = 1.0
    ensemble.params.zero_()
    before = (ensemble.exp_avg.double(), ensemble.exp_avg_sq.clone())
    ensemble.step = 1  # so that the bias correction is sqrt(1 - 0.75^2), no power of two
    for window in windows([run], [1], config):
        by = ensemble.coefficients(1)
        NativeEngine(level=level).advance(ensemble, window)
    moment = (before[0] / 2)[0, :num_weights]  # exact
    second = without_subnormals(without_subnormals(before[1]) * 0.75)[0, :num_weights]
    assert torch.equal(ensemble.exp_avg_sq[0, :num_weights], second)
    denominator = second.double().sqrt() / float(by.root_correction2) + 1e-8
    expected = -moment * float(by.step_size) / denominator
    found = ensemble.params[0, :num_weights].double()
    assert found[0] == 0.0
    # The root, the inverse, the fused product, the product of the step size and the quotient: five roundings, and one
    # of the constant 1e-8; a float this small has an absolute error.
    assert ((found - expected).abs() <= 6 * 2.0**-24 * expected.abs() + 2.0**-149).all()


@each_shape
def test_it_follows_the_oracle(n_features: int, density: float) -> None:
    runs, config = various_runs(n_features, density)
    assert_equivalent(NativeEngine(), runs, replace(config, max_steps=10), torch.float32, 1e-5)


@each_shape
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_a_run_is_the_same_whatever_shares_the_ensemble(n_features: int, density: float, data: st.DataObject) -> None:
    """In a subset and an order drawn at random, compacted between windows or not, on any number of threads."""
    runs, config = various_runs(n_features, density)
    alone = {}
    for index, run in enumerate(runs):
        ensemble = start([run], config=config)
        for window in windows([run], [2, 9, 4], config):
            NativeEngine(threads=1).advance(ensemble, window)
        alone[index] = state_bits(ensemble, 0)

    chosen = data.draw(st.lists(st.integers(0, len(runs) - 1), min_size=1, max_size=12))
    threads = data.draw(st.integers(1, 5))
    ensemble = start([runs[index] for index in chosen], config=config)
    with Schedule.of([runs[index] for index in chosen], CONFIG.batch_size, [2, 9, 4]) as schedule:
        for window in schedule:
            NativeEngine(threads=threads).advance(ensemble, window)
            if data.draw(st.booleans()):
                kept = data.draw(st.lists(st.integers(0, len(chosen) - 1), min_size=1, unique=True))
                ensemble = ensemble.take(torch.tensor(kept))
                schedule.take(torch.tensor(kept))
                chosen = [chosen[position] for position in kept]
    for position, index in enumerate(chosen):
        assert torch.equal(state_bits(ensemble, position), alone[index])


def test_an_unused_feature_that_has_moments_is_trained_all_the_same() -> None:
    """The kernel leaves out the features that no row has on, as long as nothing but decay moves their weights."""
    config = replace(CONFIG, n_features=70)
    run = make_run(100, 0.1, False, 5, config)
    ensemble, whole = start([run], config=config), start([run], config=config)
    (unused, *_) = (feature for feature in range(70) if not ensemble.used[0, feature // 64] >> feature % 64 & 1)
    for state in (ensemble, whole):
        state.exp_avg[0, 3 * 70 + unused] = 0.5
    whole.used[0] = torch.tensor([-1, 2**6 - 1])  # all of the 70
    for window in windows([run], [5], config):
        NativeEngine().advance(ensemble, window)
        NativeEngine().advance(whole, window)
    assert torch.equal(state_bits(ensemble, 0), state_bits(whole, 0))


def test_weights_of_unused_features_decay() -> None:
    config = replace(CONFIG, n_features=70)
    run = make_run(100, 0.1, False, 5, config)
    ensemble, expected = start([run], config=config), start([run], config=config)
    for window in windows([run], [40], config):
        NativeEngine().advance(ensemble, window)
        vmap.VmapEngine().advance(expected, window)
    unused = [feature for feature in range(70) if not ensemble.used[0, feature // 64] >> feature % 64 & 1]
    assert len(unused) > 40
    ours, theirs = (state.parameters["0.weight"][0][:, unused] for state in (ensemble, expected))
    assert torch.equal(ours, theirs)
    before = start([run], config=config).parameters["0.weight"][0][:, unused]
    assert (ours.abs() < before.abs()).all()


def test_what_it_cannot_train_is_refused() -> None:
    runs = make_runs()[:1]
    (window,) = windows(runs, [1])
    with pytest.raises(UsageError, match=r"trains float32 on the CPU, got torch.float64 on cpu"):
        NativeEngine().advance(start(runs, torch.float64), window)
    with pytest.raises(UsageError, match=r"level must be one of .*, got 'sse9'"):
        NativeEngine(level="sse9")
    with pytest.raises(UsageError, match=r"threads must be at least 1, got 0"):
        NativeEngine(threads=0)
    with pytest.raises(UsageError, match=r"the native engine trains float32 on the CPU, got torch.float64 on cpu"):
        evaluate("isolated_cube", smoke=True, engine="native", dtype=torch.float64)


def test_a_lack_of_memory_names_the_flag() -> None:
    runs = make_runs()[:1]
    (window,) = windows(runs, [1])
    with pytest.raises(MachineError, match=r"out of memory with --threads 1000000000: use fewer threads"):
        NativeEngine(threads=10**9).advance(start(runs), window)


def test_the_extension_refuses_arrays_of_the_wrong_shape() -> None:
    runs = make_runs()[:2]
    (window,) = windows(runs, [1])
    ensemble = start(runs)
    ensemble.exp_avg = ensemble.exp_avg[:, :-1].contiguous()
    with pytest.raises(ValueError, match="exp_avg: wrong shape"):
        NativeEngine().advance(ensemble, window)
    ensemble = start(runs)
    ensemble.params = ensemble.params.T.contiguous().T
    with pytest.raises(TypeError, match="incompatible function arguments"):
        NativeEngine().advance(ensemble, window)


def test_where_it_was_not_built_vmap_takes_its_place(without_native: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "PROBLEM", "was not built: install a C++ compiler")
    with pytest.warns(UserWarning, match=r"install a C\+\+ compiler; the slower vmap engine is used"):
        evaluation = evaluate("isolated_cube", smoke=True, max_steps=2, device="cpu")
    assert evaluation.provenance.engine == "vmap"
    with pytest.raises(UsageError, match=r"the native engine was not built: install a C\+\+ compiler"):
        evaluate("isolated_cube", smoke=True, engine="native")
    monkeypatch.undo()
    assert evaluate("isolated_cube", smoke=True, max_steps=2, device="cpu").provenance.engine == "native"


def native_permutation(size: int, seed: int, epochs: int) -> torch.Tensor:
    """Of the last epoch, drawn by the twin itself."""
    indices, lengths = torch.empty(1, epochs, size, dtype=torch.int32), torch.empty(1, epochs, dtype=torch.int32)
    native.extension().Orderings([size], [seed % 2**64]).fill(indices.numpy(), lengths.numpy(), 1)
    return indices[0, -1]


@settings(deadline=None, max_examples=300)
@given(
    size=st.one_of(st.integers(1, 3000), st.sampled_from([623, 624, 625, 1248, 100_000])),
    seed=st.integers(-(2**63), 2**64 - 1),
)
def test_the_twin_draws_what_torch_draws(size: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    permutations = [torch.randperm(size, generator=generator, dtype=torch.int32) for _ in range(3)]
    assert torch.equal(native_permutation(size, seed, 3), permutations[2])


@pytest.mark.slow
@pytest.mark.parametrize("size", [2**20, 12_800_000])
def test_the_twin_draws_what_torch_draws_of_many_rows(size: int) -> None:
    generator = torch.Generator().manual_seed(size)
    permutation = torch.randperm(size, generator=generator, dtype=torch.int32)
    assert torch.equal(native_permutation(size, size, 1), permutation)
