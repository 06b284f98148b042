import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import SHORT, STRATEGIES
from processes import Child, await_that
from studies import count_finished

pytest.importorskip("optuna", reason="needs pip install 'vecparity[search]'")

import vecparity
from vecparity import Choice, History, Range, Search, Strategy, evaluate
from vecparity.errors import DivergedError, InvalidStrategyError, MachineError, StrategyFailedError, UsageError
from vecparity.evaluation.result import Evaluation
from vecparity.evaluator import Evaluator
from vecparity.sandbox import levels
from vecparity.strategy.source import load
from vecparity.strategy.space import Space
from vecparity.task.config import CONFIGURATIONS
from vecparity.tuning.following import SearchFollower
from vecparity.tuning.results import Trial
from vecparity.tuning.study import Study, TrialOutcome

pytestmark = pytest.mark.usefixtures("served")

VARIED = STRATEGIES / "varied.py"
SPACE: Space = {"lr": Range(1e-3, 0.1, log=True), "rows": Range(100, 400)}
ISOLATED = load("isolated_cube").source.decode()


def search(
    strategy: str | Path | Strategy = VARIED, space: Mapping[str, Range | Choice] = SPACE, **options: Any
) -> Search:
    return vecparity.search(strategy, space, **{"trials": 6, "batch": 4, "rescore": 0, **SHORT, **options})


def text(config: str = "return dict(lr=lr, wd=0.3, beta1=0.9, beta2=0.95)", annotation: str = "float") -> Strategy:
    """Returns a strategy with a parameter ``lr``."""
    source = f"""
from typing import Annotated
from vecparity import Choice, Range

def init_model(model, config): pass

def make_dataset(secret, config, seed):
    x = torch.randint(0, 2, (300, config.n_features))
    return x, parity_labels(x, secret)

def get_optimizer_config(config, *, lr: {annotation} = 0.01):
    {config}
"""
    return Strategy.from_source(source, name="mine")


class Notes(SearchFollower):
    def __init__(self) -> None:
        self.counts: list[tuple[int, int]] = []
        self.trials: list[Trial] = []
        self.rescored: list[int] = []
        self.groups: list[int] = []

    def batch(self, number: int, of: int) -> None:
        self.counts.append((number, of))

    def told(self, trial: Trial) -> None:
        self.trials.append(trial)

    def rescoring(self, found: Search, count: int) -> None:
        assert not found.winners
        self.rescored.append(count)

    def finish(self, evaluations: Any) -> None:
        self.groups.append(len(evaluations))


def test_each_trial_is_bitwise_its_own_evaluation() -> None:
    notes = Notes()
    found = search(followers=[notes])
    assert [trial.number for trial in found.trials] == list(range(6))
    for trial in found.trials:
        own = evaluate(VARIED, seed=1, params=trial.params, protocol="published", audit="off", **SHORT).metrics
        assert (trial.accuracy, trial.mean_steps, trial.num_runs) == (own.test_accuracy, own.mean_steps, own.num_runs)
    assert notes.trials == found.trials
    assert notes.counts == [(0, 6), (4, 6)]
    assert notes.groups == [4, 2]  # a batch is an ensemble


def test_the_first_trial_is_the_strategy_as_it_is_and_the_same_search_makes_the_same_trials() -> None:
    found = search()
    assert found.trials[0].params == {"lr": 0.01, "rows": 300}
    assert search().trials == found.trials
    others = search(seed=2).trials
    assert others[0].params == found.trials[0].params
    assert [trial.params for trial in others[1:]] != [trial.params for trial in found.trials[1:]]


def test_values_that_do_not_vary_reach_every_trial() -> None:
    found = search(space={"lr": SPACE["lr"]}, params={"rows": 200}, trials=2)
    assert found.params == {"rows": 200}
    for trial in found.trials:
        expected = evaluate(
            VARIED, seed=1, params={**trial.params, "rows": 200}, protocol="published", audit="off", **SHORT
        )
        assert trial.accuracy == expected.metrics.test_accuracy


def test_samplers_search_in_their_own_ways() -> None:
    asked: dict[str, Any] = {}
    for sampler in ("tpe", "cmaes", "gp", "random"):
        found = search(text(), {"lr": SPACE["lr"]}, sampler=sampler, trials=24, batch=12, max_steps=1)
        assert len({trial.params["lr"] for trial in found.trials}) == 24
        asked[sampler] = [trial.params["lr"] for trial in found.trials[12:]]
    assert len({str(values) for values in asked.values()}) == 4


def test_ranges_of_the_signature_need_no_others() -> None:
    found = search(text(annotation="Annotated[float, Range(1e-3, 1e-1, log=True)]"), {}, trials=3)
    assert found.space == {"lr": Range(1e-3, 1e-1, log=True)}
    assert found.trials[0].params == {"lr": 0.01}


def test_a_function_as_strategy_works() -> None:
    module = load(VARIED)
    scope: dict[str, Any] = {"__name__": "cells"}
    exec(compile(module.source, str(VARIED), "exec"), scope)
    functions = {name: scope[name] for name in ("init_model", "make_dataset", "get_optimizer_config")}
    mine = Strategy.from_functions(**functions, name="mine")
    found = search(mine, {"lr": SPACE["lr"]}, trials=2, rescore=1)
    assert found.trials[0].accuracy == search(VARIED, {"lr": SPACE["lr"]}, trials=1).trials[0].accuracy
    assert found.winners[0].evaluations


def test_numbers_of_the_optimizer_can_vary_where_a_strategy_has_no_parameters() -> None:
    found = search("isolated_cube", {"lr": Range(1e-3, 0.1, log=True), "wd": Choice(0.1, 0.3)}, trials=3)
    assert found.trials[0].params == {"lr": 0.01, "wd": 0.3}
    assert found.trials[0].accuracy == evaluate("isolated_cube", seed=1, **SHORT).metrics.test_accuracy
    best = found.best
    assert best is not None
    assert best.source.startswith(ISOLATED.encode())
    own = evaluate(best, seed=1, audit="off", **SHORT).metrics
    assert (own.test_accuracy, own.mean_steps) == (found.ranked[0].accuracy, found.ranked[0].mean_steps)


def test_equal_values_are_evaluated_once() -> None:
    notes = Notes()
    space = {"lr": Choice(0.01, 0.02, 0.03, 0.04)}
    found = search(text(), space, sampler="random", trials=6, batch=6, followers=[notes])
    different = {(trial.params["lr"], trial.accuracy) for trial in found.trials}
    assert len(found.trials) == 6
    assert sum(notes.groups) == len(different) == len(found.ranked) < 5


def test_a_space_of_few_values_is_searched_once() -> None:
    found = search(text(), {"lr": Choice(0.01, 0.02)}, sampler="random", trials=500)
    assert {trial.params["lr"] for trial in found.trials} == {0.01, 0.02}
    assert len(found.trials) < 50


# --- failures ---

FAILING = "assert lr != 0.02, 'no'; return dict(lr=lr, wd=-1 if lr == 0.03 else 0.3, beta1=0.9, beta2=0.95)"


def test_a_trials_failure_is_its_own(tmp_path: Path) -> None:
    space = {"lr": Choice(0.01, 0.02, 0.03)}
    study = tmp_path / "study.db"
    found = search(text(FAILING), space, sampler="random", trials=40, study=study, rescore=5)
    by_value = {trial.params["lr"]: trial for trial in found.trials}
    assert by_value[0.01].state == "complete"
    assert by_value[0.02].error == "mine.py:12: get_optimizer_config raised AssertionError: no"
    assert by_value[0.03].error == "mine.py:11: get_optimizer_config: wd must be finite and at least 0, got -1.0"
    assert (by_value[0.02].accuracy, by_value[0.02].num_runs) == (None, 0)
    assert [winner.trial.params["lr"] for winner in found.winners] == [0.01]


@pytest.mark.parametrize(
    ("strategy", "error"),
    [
        (text("raise ValueError('no')"), StrategyFailedError),
        (text("return dict(lr=lr)"), InvalidStrategyError),
        (text("return dict(lr=1e38, wd=0.3, beta1=0.9, beta2=0.95)"), DivergedError),
        (text("]"), InvalidStrategyError),
    ],
    ids=["raises", "invalid", "diverges", "does not load"],
)
def test_where_all_first_trials_fail_the_search_does(strategy: Strategy, error: type[Exception]) -> None:
    with pytest.raises(error):
        search(strategy, {"lr": Range(1e-3, 1e-1, log=True)})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"seed": 42},
            "a search must not see the secrets of seed 42, on which strategies are ranked: expected another",
        ),
        ({"trials": 0}, "trials must be a whole number of at least 1, got 0"),
        ({"batch": True}, "batch must be a whole number of at least 1, got True"),
        ({"rescore": -1}, "rescore must be a whole number of at least 0, got -1"),
        ({"race": 1}, "race must be True or False, got 1"),
        ({"sampler": "grid"}, "sampler must be one of tpe, cmaes, gp, random, got 'grid'"),
        ({"sampler": "cmaes", "space": {"rows": Choice(1, 2)}}, "cmaes needs a range of numbers, got choices only"),
        ({"space": {}}, r"expected a range to search in, .* \(its parameters are lr, rows, scale, wd\)"),
        ({"space": {"rate": Range(0, 1)}}, "no parameter 'rate': its parameters are lr, rows, scale, wd"),
        (
            {"space": {"beta1": Range(0, 1)}},
            "get_optimizer_config has the parameters lr, wd: expected beta1 among them",
        ),
        ({"checkpoint": "here"}, "a search has no checkpoint: a study keeps finished trials"),
        ({"same_draw": True}, "a search has no same_draw: trials share the search's public seed"),
        ({"trails": 6}, "search has no argument 'trails'"),
        ({"config": "n32"}, "config must be one of n32-k8"),
        ({"seed": "a"}, "seed must be an integer, got 'a'"),
        ({"seed": 10**15}, "seed must be between"),
        ({"space": ["lr"]}, r"space must be a mapping from names to Range or Choice, got \['lr'\]"),
        ({"space": {"lr": [1, 2]}}, "space must be a mapping from names to Range or Choice, got {'lr': "),
        ({"params": [("wd", 1)]}, "params must be a mapping from names to values, got "),
        ({"study": "."}, "the study must be a file in a directory that exists, got ."),
        ({"seal_key": b"k" * 32, "containment": "limits"}, "a sealed evaluation needs containment"),
    ],
)
def test_wrong_use_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        search(**options)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    monkeypatch.setattr("vecparity.tuning.sampling.find_spec", lambda name: None if name == "cmaes" else name)
    with pytest.raises(
        UsageError, match=r"a search needs cmaes, not installed here: pip install 'vecparity\[search\]'"
    ):
        search()


def test_a_failing_machine_ends_the_search_and_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = tmp_path / "study.db"
    search(trials=4, study=study)
    evaluated = Evaluator.map

    def fails(evaluator: Evaluator, jobs: Any) -> Any:
        listed = list(jobs)
        for job, _ in zip(listed, evaluated(evaluator, listed), strict=True):
            yield vecparity.Failure(job, MachineError("out of memory"))

    with monkeypatch.context() as patched:
        patched.setattr(Evaluator, "map", fails)
        with pytest.raises(MachineError, match="out of memory"):
            search(trials=8, study=study)
    found = search(trials=8, study=study)
    assert len(found.trials) == 8
    assert {trial.state for trial in found.trials} == {"complete"}


# --- sittings ---


def test_a_study_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    notes, study = Notes(), tmp_path / "study.db"
    search(trials=4, study=study)
    found = search(trials=8, study=study, followers=[notes])
    assert found.trials == search(trials=8).trials
    assert notes.counts == [(4, 8)]
    assert sum(notes.groups) == 4
    assert search(trials=2, study=study).trials == found.trials  # all that are there


KILLED = """
import sys
from vecparity import Range, search
if __name__ == "__main__":
    search({strategy!r}, {{"lr": Range(1e-3, 0.1, log=True)}}, trials=24, batch=3, rescore=0, study={study!r},
           max_steps=1500, log_interval=50, hidden_width=64, test_set_size=64, num_hidden_secrets=2, num_orderings=2)
"""


@pytest.mark.slow
def test_a_killed_search_goes_on(tmp_path: Path) -> None:
    """Kills a search twice while it trains, and compares all of its trials with those of one that was left alone."""
    study, script = tmp_path / "study.db", tmp_path / "killed.py"
    script.write_text(KILLED.format(strategy=str(VARIED), study=str(study)))
    counts = [0]
    for _ in range(2):
        with Child([sys.executable, str(script)], stderr=subprocess.PIPE) as child:
            await_that(lambda: child.poll() is not None or count_finished(study) >= counts[-1] + 3)
            child.send_signal(signal.SIGKILL)
            child.wait()
        counts.append(len(_finished(study)))
    kept = _finished(study)
    subprocess.run([sys.executable, str(script)], check=True)
    after = _finished(study)
    assert 0 < counts[1] < counts[2] < 24
    assert len(after) == 24
    assert {number: after[number] for number in kept} == kept  # not lost, and not made a second time
    assert len({json.dumps(params) for params, _ in after.values()}) == 24  # none is there twice
    settings: Any = {"max_steps": 1500, "log_interval": 50, "hidden_width": 64, "test_set_size": 64}
    for params, accuracy in list(after.values())[::5]:
        own = evaluate(VARIED, seed=1, params=params, audit="off", num_hidden_secrets=2, num_orderings=2, **settings)
        assert own.metrics.test_accuracy == accuracy


def _finished(study: Path) -> dict[int, tuple[dict[str, Any], float]]:
    """Returns the values and the accuracy of a study's finished trials by their numbers, as anybody can read them."""
    import optuna

    loaded = optuna.load_study(study_name=None, storage=f"sqlite:///{study}")
    finished = loaded.get_trials(states=(optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED))
    loaded._storage.remove_session()
    return {trial.number: (trial.params, trial.user_attrs["accuracy"]) for trial in finished}


# --- races ---

# Settings of the learning rate and weight decay of `isolated_cube`: one learns late and best.
SETTINGS = [(0.02, 1.0), (0.04, 0.3), (0.04, 0.6), (0.01, 0.6)]
LATE = 3
RACING: dict[str, Any] = {"smoke": True, "num_hidden_secrets": 5, "num_orderings": 3, "protocol": "published"}


def settings_by_number() -> Strategy:
    given = '"lr": 1e-2, "wd": 0.3'
    assert given in ISOLATED
    source = ISOLATED.replace(given, f'"lr": {SETTINGS}[which][0], "wd": {SETTINGS}[which][1]')
    return Strategy.from_source(
        source.replace("(config: TaskConfig) -> dict", "(config, *, which=0) -> dict"), name="x"
    )


@pytest.mark.slow
def test_a_race_keeps_what_halving_would_lose() -> None:
    """Parity is learnt in a jump: the accuracy at 500 of 4 000 steps says little, a few runs to their ends say more."""
    mine, every = settings_by_number(), range(len(SETTINGS))
    early, late = (
        [
            _accuracy(evaluate(mine, seed=1, params={"which": which}, audit="off", max_steps=steps, **RACING))
            for which in every
        ]
        for steps in (500, 4000)
    )
    assert max(every, key=late.__getitem__) == LATE
    assert LATE not in sorted(every, key=early.__getitem__)[len(SETTINGS) // 2 :]  # halving would lose it
    found = vecparity.search(
        mine, {"which": Choice(*every)}, trials=16, batch=1, sampler="random", race=True, rescore=0, **RACING
    )
    states = {trial.params["which"]: trial for trial in found.trials}
    assert found.ranked[0].params["which"] == LATE
    assert found.ranked[0].accuracy == late[LATE]
    dropped = [trial for trial in states.values() if trial.state == "dropped"]
    assert dropped
    assert all(trial.num_runs == 5 for trial in dropped)


def _accuracy(evaluation: Evaluation) -> float:
    return evaluation.metrics.test_accuracy


# --- winners ---


def test_winners_are_evaluated_anew_under_a_seal_on_all_configurations(can_seal: None, tmp_path: Path) -> None:
    history, notes = tmp_path / "history.sqlite", Notes()
    settings = {**SHORT, "max_steps": 40}
    found = vecparity.search(VARIED, SPACE, trials=4, rescore=2, history=history, followers=[notes], **settings)
    assert notes.rescored == [2]
    assert [set(winner.trial.params) for winner in found.winners] == [{"lr", "rows"}] * 2
    assert {winner.trial.number for winner in found.winners} == {trial.number for trial in found.ranked[:2]}
    for winner in found.winners:
        assert [own.config.label for own in winner.evaluations] == list(CONFIGURATIONS)
        assert not winner.errors
        for own in winner.evaluations:
            assert own.provenance.seal is not None
            assert own.provenance.draw is not None
            assert own.provenance.strategy_sha256 == winner.strategy.sha256
            assert {name: own.provenance.params[name] for name in winner.trial.params} == winner.trial.params
    draws = {own.provenance.draw for winner in found.winners for own in winner.evaluations}
    assert len(draws) == 6
    best = found.best
    assert best is not None
    assert best is found.winners[0].strategy
    means = [sum(map(_accuracy, winner.evaluations)) / 3 for winner in found.winners]
    assert means == sorted(means, reverse=True)
    with History(history) as recorded:
        assert {entry.strategy_sha256 for entry in recorded.entries()} == {
            winner.strategy.sha256 for winner in found.winners
        }


def test_where_nothing_can_be_sealed_winners_have_another_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "HIDES_FILES", ())
    (winner,) = search(trials=2, rescore=1, seed=41, config="n50-k8", max_steps=20).winners
    assert {own.provenance.seed for own in winner.evaluations} == {43}
    assert {own.provenance.seal for own in winner.evaluations} == {None}
    assert {own.provenance.audit for own in winner.evaluations} == {"report"}


def test_settings_of_ones_own_are_rescored_alone() -> None:
    (winner,) = search(trials=2, rescore=1, max_steps=20, n_features=20, secret_size=3).winners
    assert [own.config.label for own in winner.evaluations] == ["n20-k3"]


def test_a_winner_lacks_as_few_scores_as_can_be_and_is_the_best_of_these() -> None:
    isolated = ISOLATED.replace("return {", "assert config.n_features != 64, 'no'\n    return {")
    assert isolated != ISOLATED
    found = vecparity.search(
        Strategy.from_source(isolated, name="mine"),
        {"lr": Choice(1e-5, 1e-2), "wd": Choice(0.3, 0.6)},
        sampler="random",
        trials=30,
        rescore=4,
        smoke=True,
        max_steps=1500,
    )
    best, *others = found.winners
    assert best.trial.params["lr"] == 1e-2
    means = [sum(map(_accuracy, winner.evaluations)) for winner in found.winners]
    assert means == sorted(means, reverse=True)
    assert {tuple(winner.errors) for winner in found.winners} == {("n64-k8",)}
    assert len(others) == 3


def test_seeds_may_be_any_that_evaluations_have() -> None:
    for seed in (5_000_000_000, -3):
        found = search(seed=seed, trials=1)
        assert found.trials[0].accuracy == evaluate(VARIED, seed=seed, audit="off", **SHORT).metrics.test_accuracy


def test_defaults_that_fail_do_not_end_a_search_of_small_batches() -> None:
    config = "assert lr != 0.01, 'no'; return dict(lr=lr, wd=0.3, beta1=0.9, beta2=0.95)"
    found = search(text(config), {"lr": SPACE["lr"]}, trials=3, batch=1)
    assert [trial.state for trial in found.trials] == ["failed", "complete", "complete"]


def test_a_winner_that_fails_on_another_configuration_says_so() -> None:
    config = "assert config.n_features != 50, 'no'; return dict(lr=lr, wd=0.3, beta1=0.9, beta2=0.95)"
    (winner,) = search(text(config), {"lr": SPACE["lr"]}, trials=2, rescore=1, max_steps=20).winners
    assert [own.config.label for own in winner.evaluations] == ["n32-k8", "n64-k8"]
    assert str(winner.errors["n50-k8"]).endswith("get_optimizer_config raised AssertionError: no")


def test_followers_are_told_of_every_trial_that_an_interrupted_search_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep, notes = Study.tell, Notes()

    def interrupted(study: Study, number: int, outcome: TrialOutcome) -> Trial:
        trial = keep(study, number, outcome)
        signal.raise_signal(signal.SIGINT)  # where nobody but the study knows of it yet
        return trial

    monkeypatch.setattr(Study, "tell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        search(study=tmp_path / "study.db", followers=[notes])
    assert len(notes.trials) == count_finished(tmp_path / "study.db") == 1
