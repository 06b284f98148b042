import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import SHORT, STRATEGIES, RunEval
from processes import started_by

from vecparity import Evaluation, Evaluator, Failure, History, Job, Strategy, TaskConfig, evaluate, task_config
from vecparity.errors import DivergedError, InterruptedTrainingError, UsageError
from vecparity.evaluation.callbacks import Asked
from vecparity.evaluation.result import Evaluation as Result
from vecparity.sandbox.limits import Limits
from vecparity.training.progress import WindowClosed
from vecparity.training.runs import Run

CONFIG = TaskConfig(**SHORT)
VARIED = STRATEGIES / "varied.py"
PARTS = """
def init_model(model, config):
    {init_model}

def make_dataset(secret, config, seed):
    {make_dataset}
    x = torch.randint(0, 2, (300, config.n_features))
    return x, parity_labels(x, secret)

def get_optimizer_config(config):
    {get_optimizer_config}
    return dict(lr=1e-2, wd=0.3, beta1=0.9, beta2=0.95)
"""


def strategy(name: str = "mine", **parts: str) -> Strategy:
    bodies = {part: parts.get(part, "pass") for part in ("init_model", "make_dataset", "get_optimizer_config")}
    return Strategy.from_source(PARTS.format(**bodies), name=name)


def alone(job: Job, **options: Any) -> Evaluation:
    """Returns the outcome of the job's own evaluator."""
    with Evaluator(**options) as evaluator:
        (outcome,) = evaluator.map([job])
    assert isinstance(outcome, Evaluation)
    return outcome


def timeless(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, provenance=replace(evaluation.provenance, wall_seconds=0.0))


AUDITS_WITH_KEYS = ("fresh-test", "foresight", "cross-pairing")


def without_audit_keys(evaluation: Evaluation) -> Evaluation:
    """Leaves out the findings that depend on a fresh key of each evaluation."""
    findings = [finding for finding in evaluation.findings if finding.name not in AUDITS_WITH_KEYS]
    return timeless(replace(evaluation, findings=findings))


@pytest.fixture(scope="module")
def evaluator() -> Any:
    with Evaluator() as evaluator:
        yield evaluator


JOBS = [
    Job("isolated_cube", CONFIG),
    Job(VARIED, CONFIG, params={"lr": 1e-3}),
    Job("multi_epoch", replace(CONFIG, n_features=50), seed=3),
    Job(VARIED, CONFIG, params={"lr": 2e-3, "rows": 200}),
    Job("isolated_cube", CONFIG, seed=7),
    Job(VARIED, replace(CONFIG, n_features=50), params={"scale": 2.0}),
    Job(strategy(), "n64-k8", smoke=True, settings=SHORT),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_outcome_is_bitwise_what_its_own_evaluator_gives(evaluator: Evaluator) -> None:
    together = list(evaluator.map(JOBS))
    backwards = list(evaluator.map(JOBS[::-1]))[::-1]
    for job, outcome, other in zip(JOBS, together, backwards, strict=True):
        assert isinstance(outcome, Evaluation)
        assert isinstance(other, Evaluation)
        expected = without_audit_keys(alone(job))
        assert without_audit_keys(outcome) == without_audit_keys(other) == expected


def test_outcomes_come_in_the_order_of_jobs(evaluator: Evaluator) -> None:
    jobs = [Job("isolated_cube", replace(CONFIG, max_steps=steps)) for steps in (1, 2, 1, 3)]
    outcomes = list(evaluator.map(job for job in jobs))
    assert [outcome.config.max_steps for outcome in outcomes if isinstance(outcome, Evaluation)] == [1, 2, 1, 3]


def test_as_completed_yields_jobs_that_train_together_at_once(evaluator: Evaluator) -> None:
    jobs = [Job("isolated_cube", replace(CONFIG, max_steps=steps)) for steps in (1, 2, 1)]
    assert [job.config.max_steps for job, _ in evaluator.as_completed(jobs)] == [1, 1, 2]  # type: ignore[union-attr]


def test_a_label_goes_with_a_protocol_and_settings(evaluator: Evaluator) -> None:
    (outcome,) = evaluator.map([Job("isolated_cube", "n50-k8", protocol="published", smoke=True, settings=SHORT)])
    assert isinstance(outcome, Evaluation)
    assert outcome.config == task_config("n50-k8", protocol="published", smoke=True, **SHORT)
    assert outcome.provenance.protocol == "published+smoke"


@pytest.mark.slow
def test_a_failure_is_its_own_jobs(evaluator: Evaluator, tmp_path: Path) -> None:
    """Each as its own command would say it; the other jobs go on."""
    good = Job("isolated_cube", CONFIG)
    bad = {
        4: Job(strategy(init_model="1 / 0"), CONFIG),
        3: Job(strategy(make_dataset="return 5"), CONFIG),
        2: Job(tmp_path / "missing.py", CONFIG),
    }
    with Evaluator(audit="off") as own:
        outcomes = list(own.map([good, *bad.values(), good]))
    assert isinstance(outcomes[0], Evaluation)
    assert isinstance(outcomes[-1], Evaluation)
    assert timeless(outcomes[0]) == timeless(outcomes[-1])
    for (status, job), outcome in zip(bad.items(), outcomes[1:-1], strict=True):
        assert isinstance(outcome, Failure)
        assert (outcome.job, outcome.exit_status, outcome.evaluation) == (job, status, None)
        with pytest.raises(type(outcome.error)) as raised:
            evaluate(job.strategy, CONFIG, audit="off")
        assert str(outcome.error) == str(raised.value)


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Job(VARIED, CONFIG, params={"rate": 1}), "no parameter 'rate': its parameters are lr, rows, scale, wd"),
        (Job("isolated_cube", "n10-k2"), "config must be one of n32-k8"),
        (Job("isolated_cube", CONFIG, smoke=True), "protocol and smoke need a label"),
        (Job("isolated_cube", CONFIG, settings={"steps": 1}), "'steps' is"),
        (Job("isolated_cube", CONFIG, seed=2**63), "seed must be"),
        (Job("isolated_cube", 5), "got 5"),  # type: ignore[arg-type]
    ],
)
def test_a_job_that_cannot_be(evaluator: Evaluator, job: Job, said: str) -> None:
    (outcome,) = evaluator.map([job])
    assert isinstance(outcome, Failure)
    assert (type(outcome.error), outcome.exit_status) == (UsageError, 2)
    assert said in str(outcome.error)


def test_what_is_no_job(evaluator: Evaluator) -> None:
    with pytest.raises(UsageError, match="expected a Job, got 'isolated_cube'"):
        list(evaluator.map(["isolated_cube"]))  # type: ignore[list-item]
    with pytest.raises(UsageError, match="jobs must be Jobs, got 5"):
        list(evaluator.map(5))  # type: ignore[arg-type]
    assert list(evaluator.map([])) == []


def test_an_option_that_is_none() -> None:
    with pytest.raises(UsageError, match=r"Evaluator has no argument 'max_steps' \(a setting belongs to a Job"):
        Evaluator(max_steps=5)  # type: ignore[call-arg]
    with pytest.raises(UsageError, match=r"'engin' \(is engine meant\?\); help\(vecparity.Evaluator\) lists all"):
        Evaluator(engin="native")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="threads must be at least 1, got 0"):
        Evaluator(threads=0)


@pytest.mark.usefixtures("served")
def test_a_diverged_run_is_a_failure_with_its_evaluation() -> None:
    with Evaluator(audit="off") as evaluator:
        (outcome,) = evaluator.map([Job(STRATEGIES / "diverges.py", smoke=True, settings={"max_steps": 30})])
    assert isinstance(outcome, Failure)
    assert (type(outcome.error), outcome.exit_status) == (DivergedError, 4)
    assert outcome.evaluation is not None
    assert outcome.evaluation.diverged


@pytest.mark.usefixtures("served")
def test_values_of_parameters_are_in_the_evaluation_and_the_history(tmp_path: Path) -> None:
    jobs = [Job(VARIED, CONFIG, params={"lr": lr}) for lr in (1e-2, 1e-3)]
    with History(tmp_path / "history.sqlite", create=True) as history:
        with Evaluator(audit="off", history=history, reuse=True) as evaluator:
            made = list(evaluator.map(jobs))
            again = list(evaluator.map(jobs))
        recorded = [record.evaluation for record in history.evaluations()]
        assert len({record.entry.strategy_sha256 for record in history.evaluations()}) == 1
    assert [evaluation.provenance.params["lr"] for evaluation in recorded] == [1e-2, 1e-3]
    assert made == again, "answered from the history"
    default = evaluate(VARIED, CONFIG, audit="off")
    assert isinstance(made[0], Evaluation)
    assert timeless(made[0]) == timeless(default), "a value that is the default changes nothing"


@pytest.mark.usefixtures("served")
def test_networks_and_datasets_are_made_once_for_values_that_they_do_not_depend_on() -> None:
    jobs = [Job(VARIED, CONFIG, params={"rows": rows}) for rows in (100, 200)]
    jobs += [Job(VARIED, CONFIG, params={"lr": lr}) for lr in (1e-2, 1e-3)]
    seen: list[Run] = []
    with Evaluator(audit="off", followers=[Watching(seen)]) as evaluator:
        list(evaluator.map(jobs))
    params = {run.evaluation: run.params.data_ptr() for run in seen if (run.secret_index, run.order_index) == (1, 1)}
    datasets = {run.evaluation: id(run.dataset) for run in seen if run.secret_index == 1}
    assert len(set(params.values())) == 1
    assert datasets[2] == datasets[3]
    assert len(set(datasets.values())) == 3


class Watching:
    def __init__(self, seen: list[Run], window: Any = lambda: None) -> None:
        self.seen, self._window = seen, window

    def begin(self, config: TaskConfig) -> None: ...

    def asked(self, asked: Asked) -> None: ...

    def prepared(self, runs: Sequence[Run], engine: str) -> None:
        self.seen += runs

    def window(self, closed: WindowClosed) -> None:
        self._window()

    def finish(self, evaluations: Sequence[Result]) -> None: ...


LONG = replace(CONFIG, max_steps=100_000, log_interval=100, early_stop_acc=2.0)
# As long as tests may last, and more.
ENDLESS = replace(LONG, max_steps=10**8, log_interval=1000)


def test_an_evaluation_is_stopped_from_another_thread_and_goes_on(tmp_path: Path) -> None:
    jobs = [Job("isolated_cube", replace(LONG, max_steps=steps)) for steps in (60, 4000)]
    options: dict[str, Any] = {"checkpoint": tmp_path / "kept", "checkpoint_seconds": 0}
    closed = threading.Event()
    with Evaluator(followers=[Watching([], closed.set)], **options) as evaluator:

        def stop() -> None:
            closed.wait()
            evaluator.stop()

        stopping = threading.Thread(target=stop)
        outcomes = evaluator.map(jobs)
        first = next(outcomes)
        closed.clear()
        stopping.start()
        with pytest.raises(InterruptedTrainingError) as raised:
            next(outcomes)
        stopping.join()
        assert raised.value.exit_status == 75
        assert isinstance(first, Evaluation)
    # In another evaluator, beside other jobs, in another order.
    with Evaluator(resume=True, **options) as other:
        outcomes = other.map([Job("multi_epoch", CONFIG), jobs[1]])
        _, second = outcomes
    assert isinstance(second, Evaluation)
    assert timeless(second) == timeless(evaluate("isolated_cube", jobs[1].config))
    assert not (tmp_path / "kept").exists(), "what is finished is discarded"


def test_one_thread_at_a_time(evaluator: Evaluator) -> None:
    outcomes = evaluator.map([Job("isolated_cube", CONFIG), Job("isolated_cube", replace(CONFIG, max_steps=1))])
    next(outcomes)
    with pytest.raises(UsageError, match="for one thread at a time"):
        next(evaluator.map([Job("isolated_cube", CONFIG)]))
    outcomes.close()  # type: ignore[attr-defined]
    assert len(list(evaluator.map([Job("isolated_cube", CONFIG)]))) == 1


def test_what_was_begun_and_left_ends(evaluator: Evaluator) -> None:
    outcomes = evaluator.map([Job("isolated_cube", replace(CONFIG, max_steps=1)), Job("isolated_cube", ENDLESS)])
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert len(list(evaluator.map([Job("isolated_cube", CONFIG)]))) == 1


@pytest.mark.usefixtures("served")
def test_threads_are_the_evaluators_own() -> None:
    import torch

    before, during = torch.get_num_threads(), []
    watching = Watching([], lambda: during.append(torch.get_num_threads()))
    with Evaluator(threads=before + 1, followers=[watching]) as evaluator:
        list(evaluator.map([Job("isolated_cube", CONFIG)]))
    assert set(during) == {before + 1}
    assert torch.get_num_threads() == before


BAD = {
    "raises": strategy("raises", init_model="raise ValueError('not today')"),
    "hangs": strategy("hangs", make_dataset="import time; time.sleep(1000)"),
    "diverges": strategy("diverges", get_optimizer_config="return dict(lr=1e30, wd=0, beta1=0.9, beta2=0.95)"),
    "nan": strategy("nan", get_optimizer_config="return dict(lr=float('nan'), wd=0, beta1=0.9, beta2=0.95)"),
    "ends": strategy("ends", make_dataset="import os; os._exit(3)"),
}


@pytest.mark.slow
def test_forty_five_of_fifty(run_eval: RunEval, tmp_path: Path) -> None:
    """Five that raise, hang, diverge, return NaN and end their process, each as its own command says it."""
    jobs = [Job(VARIED, CONFIG, params={"lr": 1e-3 * (1 + index)}) for index in range(45)]
    for index, bad in enumerate(BAD.values()):
        jobs.insert(10 * index, Job(bad, CONFIG))
    with Evaluator(audit="off", limits=Limits(strategy_seconds=20)) as evaluator:
        outcomes = list(evaluator.map(jobs))
    failures = {outcome.job.strategy.name: outcome for outcome in outcomes if isinstance(outcome, Failure)}  # type: ignore[union-attr]
    assert list(failures) == list(BAD)
    assert sum(isinstance(outcome, Evaluation) for outcome in outcomes) == 45
    flags = f"{flags_of(SHORT)} --audit off --strategy-seconds 20 --no-history --log final"
    for name, bad in BAD.items():
        path = tmp_path / f"{name}.py"
        path.write_bytes(bad.source)
        status, _, said = run_eval(f"--strategy {path} {flags}")
        assert failures[name].exit_status == status
        assert f"vecparity: error: {failures[name].error}" == said.splitlines()[0].replace(f"{tmp_path}/", "")


def flags_of(settings: dict[str, Any]) -> str:
    return " ".join(f"--{name.replace('_', '-')} {value}" for name, value in settings.items())


@pytest.mark.slow
def test_nothing_remains_of_an_evaluator(tmp_path: Path) -> None:
    before = set(started_by(os.getpid()))
    with Evaluator() as evaluator:
        list(evaluator.map([Job(strategy(), CONFIG)]))
        assert set(started_by(os.getpid())) - before
    assert not set(started_by(os.getpid())) - before
