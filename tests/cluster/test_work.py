"""The work that travels to workers: no key of a seal is in it, and everything else that an evaluation asks for."""

import pickle
import platform
import re
import signal
from dataclasses import replace
from typing import Any

import pytest
from conftest import SHORT

from vecparity import Evaluation, Job, Strategy, TaskConfig
from vecparity.audits.mode import AuditMode
from vecparity.cluster import worker
from vecparity.cluster.work import Work, options_for_workers, to_work
from vecparity.cluster.worker import close, evaluate_work
from vecparity.evaluation.callbacks import Followers
from vecparity.evaluation.job import Failure, Outcome, to_task
from vecparity.evaluation.options import Options
from vecparity.evaluation.pipeline import Pipeline
from vecparity.sandbox.levels import Level
from vecparity.strategy.source import load
from vecparity.task.given_seeds import GivenSeeds, written_out
from vecparity.task.seeds import SealedSeeds, Seeds, key_digest, new_key

KEY = bytes(range(100, 132))
CONFIG = TaskConfig(**SHORT)
TELLING = """
def init_model(model, config): pass
def make_dataset(secret, config, seed): raise ValueError(secret)
def get_optimizer_config(config): return dict(lr=1e-2, wd=0.3, beta1=0.9, beta2=0.95)
"""


def asked(seeds: Seeds, config: TaskConfig, num_orderings: int) -> Any:
    """Returns all that seeds say."""
    places, orderings = range(config.num_hidden_secrets), range(num_orderings)
    return (
        (seeds.seed, seeds.seal, seeds.draw, seeds.secrets(config)),
        [(seeds.dataset_seed(config, i), seeds.test_set_seed(config, i)) for i in places],
        [(seeds.run_seed(config, i, j), seeds.ordering_seed(config, i, j)) for i in places for j in orderings],
        [seeds.call_order(config, count) for count in (0, 4)],
    )


@pytest.mark.parametrize("draw", [None, "0123456789abcdef" * 2])
def test_written_out_seeds_say_the_same(draw: str | None) -> None:
    sealed = SealedSeeds(KEY, 5, draw)
    given = written_out(sealed, CONFIG, 3, (0, 4))
    assert asked(given, CONFIG, 3) == asked(sealed, CONFIG, 3)
    assert {given: 1}[written_out(sealed, CONFIG, 3, (0, 4))] == 1, "equal seeds share calls"
    assert str(given.run_seeds[0][0]) not in repr(given)
    with pytest.raises(AssertionError):
        given.secrets(replace(CONFIG, n_features=50))


@pytest.mark.parametrize("audit", ["off", "strict"])
def test_the_key_does_not_travel(audit: AuditMode) -> None:
    options = Options(seal_key=KEY, audit=audit)
    tasks = [to_task(index, Job("isolated_cube", CONFIG, index), options) for index in range(3)]
    work = to_work(tasks, options_for_workers(options, 1))
    assert all(isinstance(task.seeds, GivenSeeds) for task in work.tasks)
    shapes = [KEY, KEY.hex().encode(), KEY.hex().upper().encode(), repr(KEY).encode(), KEY[::-1], KEY[:8]]
    shapes += [str(int.from_bytes(KEY, order)).encode() for order in ("big", "little")]
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for shape in shapes:
            assert shape not in pickle.dumps(work, protocol)
    assert KEY in pickle.dumps(tasks), "it would be found"
    assert key_digest(KEY).encode() in pickle.dumps(work, 5)


@pytest.mark.parametrize(
    ("required", "at_workers"), [(None, "landlock"), ("none", "landlock"), ("landlock", "landlock"), ("bwrap", "bwrap")]
)
def test_a_seal_demands_containment_of_workers(required: Level | None, at_workers: Level) -> None:
    options = Options(seal_key=KEY, require_containment=required, same_draw=True, threads=3)
    at = options_for_workers(options, 2)
    assert (at.require_containment, at.seal_key, at.same_draw, at.threads) == (at_workers, None, False, 3)
    public = options_for_workers(Options(), 2)
    assert (public.require_containment, public.threads) == (None, 2)


def test_a_source_travels_once() -> None:
    source = load("isolated_cube").source + b"\n# " + b"x" * 100_000
    strategies = [Strategy.from_source(bytes(bytearray(source))) for _ in range(20)]
    tasks = [to_task(i, Job(strategy, CONFIG, i), Options()) for i, strategy in enumerate(strategies)]
    pickled = pickle.dumps(to_work(tasks, Options()))
    assert len(re.findall(b"x{100000}", pickled)) == 1
    assert [replace(task, job=tasks[0].job) for task in pickle.loads(pickled).tasks] == [
        replace(task, job=tasks[0].job) for task in tasks
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("can_seal")
@pytest.mark.parametrize("audit", ["off", "report", "strict"])
def test_sealed_work_is_evaluated_as_here(audit: AuditMode) -> None:
    options = Options(seal_key=KEY, audit=audit, draw="ab" * 16)
    task = to_task(0, Job("isolated_cube", CONFIG), options)
    work = pickle.loads(pickle.dumps(to_work([task], options_for_workers(options, 1))))
    try:
        (distant,) = evaluate_work(work).outcomes
    finally:
        close()
    with Pipeline(options) as pipeline:
        ((_, here),) = next(pipeline.run([task], Followers([])))
    assert isinstance(here, Evaluation)
    assert isinstance(distant, Evaluation)
    assert (distant.provenance.seal, distant.provenance.draw) == (key_digest(KEY), "ab" * 16)
    assert distant.datasets[0].secret is None
    assert (distant.results, distant.curves, distant.datasets) == (here.results, here.curves, here.datasets)
    assert [finding.name for finding in distant.findings] == [finding.name for finding in here.findings]
    assert replace(distant.provenance, wall_seconds=0.0) == replace(here.provenance, wall_seconds=0.0)


def test_a_worker_whose_draws_are_others_says_so() -> None:
    task = to_task(0, Job("isolated_cube", replace(CONFIG, max_steps=1)), Options())
    work = to_work([task], options_for_workers(Options(), 1))
    try:
        done = [evaluate_work(work), evaluate_work(replace(work, draws="x86_64 DEFAULT"))]
    finally:
        close()
    assert done[0].warnings == []
    (words,) = done[1].warnings
    assert f"torch draws other initial weights on {platform.node()} ({work.draws}) than here (x86_64 DEFAULT)" in words


@pytest.mark.parametrize("hands_back", [False, True])
def test_signals_are_left_alone_where_nobody_takes_work_back(hands_back: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python's own pool would wait for ever for a process that goes on after a SIGTERM."""
    before, seen = signal.getsignal(signal.SIGTERM), []

    def evaluate(work: Work, stop_requested: Any) -> list[Outcome]:
        seen.append(signal.getsignal(signal.SIGTERM))
        return []

    monkeypatch.setattr(worker, "_evaluate", evaluate)
    evaluate_work(to_work([], Options(), hands_back=hands_back))
    assert (seen == [before]) is not hands_back
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("can_seal")
def test_a_strategy_that_saw_a_sealed_secret_says_nothing_at_a_worker() -> None:
    options = Options(seal_key=new_key())
    telling = Strategy.from_source(TELLING)
    task = to_task(0, Job(telling, CONFIG), options)
    try:
        (outcome,) = evaluate_work(to_work([task], options_for_workers(options, 1))).outcomes
    finally:
        close()
    assert isinstance(outcome, Failure)
    assert "under a seal, what says more of a training set is not shown" in str(outcome.error)
    assert str(task.seeds.secrets(CONFIG)[0]) not in str(outcome.error)
