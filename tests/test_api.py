"""The names of the package `vecparity` itself: lazy loading, and evaluations with all their methods."""

import pickle
import pydoc
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from inspect import signature
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from conftest import SHORT
from made import published

import vecparity
from vecparity import Evaluation, Evaluations, Options, Strategy, TaskConfig, evaluate, evaluate_many
from vecparity.errors import UsageError
from vecparity.evaluation.keywords import EvaluationKeywords
from vecparity.sandbox.limits import Limits
from vecparity.strategy.source import load
from vecparity.task.config import CONFIGURATIONS


def test_every_public_name_is_there() -> None:
    assert all(getattr(vecparity, name) is not None for name in vecparity.__all__)
    assert set(vecparity.__all__) <= set(dir(vecparity))
    with pytest.raises(AttributeError, match="no attribute 'evaluation_of'"):
        vecparity.evaluation_of  # noqa: B018


def test_help_and_editors_see_every_option_with_its_type_and_default() -> None:
    parameters = signature(evaluate).parameters
    assert list(parameters)[:3] == ["strategy", "config", "seed"]
    assert {field.name for field in (*fields(Options), *fields(TaskConfig))} <= set(parameters)
    assert (parameters["engine"].default, parameters["resume"].default) == ("auto", False)
    assert parameters["limits"].default == Limits()
    assert str(parameters["max_steps"]) == "max_steps: int = <as in config>"
    shown = pydoc.render_doc(vecparity.Evaluator)
    assert "checkpoint_seconds: float = 60.0" in shown and "max_steps" not in shown


def test_keywords_accept_what_options_and_settings_do() -> None:
    types = get_type_hints(EvaluationKeywords)
    assert list(types) == [field.name for field in (*fields(Options), *fields(TaskConfig))]
    for name, own in {**get_type_hints(Options), **get_type_hints(TaskConfig)}.items():
        is_wider = name in ("dtype", "strategy_log", "checkpoint")  # which may be given as a text
        assert types[name] == own or (is_wider and {own, *get_args(own)} & set(get_args(types[name]))), name


@pytest.mark.parametrize("function", [evaluate, evaluate_many], ids=["one", "many"])
def test_a_wrong_keyword_is_one_error_with_a_likely_name(function: Callable[..., Any]) -> None:
    strategy: Any = "isolated_cube" if function is evaluate else [("isolated_cube", 42)]
    for name, likely in (("max_step", "max_steps"), ("treads", "threads"), ("histroy", "history")):
        with pytest.raises(UsageError) as raised:
            function(strategy, **{name: 1})
        assert str(raised.value) == (
            f"{function.__name__} has no argument '{name}' (is {likely} meant?); "
            f"help(vecparity.{function.__name__}) lists all"
        )


def test_all_configurations(tmp_path: Path) -> None:
    history = tmp_path / "history"
    every = evaluate("isolated_cube", "all", history=history, **SHORT)
    assert isinstance(every, Evaluations)
    assert [evaluation.config.label for evaluation in every] == list(CONFIGURATIONS)
    assert every[1].results == evaluate("isolated_cube", "n50-k8", **SHORT).results
    jobs = [("isolated_cube", 42), ("default_4096", 42)]
    many = evaluate_many(jobs, "all", history=history, reuse=True, **SHORT)
    assert [(made.config.label, made.provenance.strategy) for made in many] == [
        (label, name) for label in CONFIGURATIONS for name, _ in jobs
    ]
    assert many[::2] == every, "taken from the history"


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for directory in ("a", "b"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "mine.py").write_text(load("default_4096").source.decode() + f"# {directory}")
    first, second = tmp_path / "a" / "mine.py", str(tmp_path / "b" / "mine.py")
    jobs: list[tuple[str | Path | Strategy, int]] = [(first, 1), (load("one_pass"), 1), (first, 2), (second, 1)]
    names = [each.provenance.strategy for each in evaluate_many(jobs, **SHORT | {"max_steps": 1})]
    assert names == ["a-mine", "one_pass", "a-mine", "b-mine"]


def test_several_evaluations_are_a_line_each(evaluation: Evaluation) -> None:
    odd = replace(evaluation, provenance=replace(evaluation.provenance, strategy="two\nlines"))
    title, first, second = repr(Evaluations([evaluation, odd])).splitlines()
    assert title == "<2 evaluations:"
    assert first.startswith("  isolated_cube, n32-k8, protocol full, seed 42: accuracy 0.") and "4 runs" in first
    assert second.startswith("  two\\nlines, n32-k8")
    assert repr(evaluation) == f"<Evaluation of {first.strip()}>"
    assert repr(Evaluations()) == "<0 evaluations>"


@pytest.mark.parametrize("name", ["Evaluations", "Comparison", "Comparisons", "Leaderboard"])
def test_results_come_back_from_a_pickle_and_show_themselves(evaluation: Evaluation, tmp_path: Path, name: str) -> None:
    comparison = vecparity.compare(evaluation, evaluation)
    shown = {
        "Evaluations": Evaluations([evaluation]),
        "Comparison": comparison,
        "Comparisons": vecparity.Comparisons([comparison]),
        "Leaderboard": vecparity.leaderboard([published("isolated_cube")]),
    }[name]
    (tmp_path / "pickled").write_bytes(pickle.dumps(shown))
    code = (
        "import pickle; shown = pickle.load(open('pickled', 'rb')); print(type(shown).__name__); "
        "assert shown._repr_html_().count('<table') == 1; print(repr(shown))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::ResourceWarning", "-c", code], cwd=tmp_path, check=True, capture_output=True
    )
    assert done.stdout.decode() == f"{name}\n{shown!r}\n"


@pytest.mark.parametrize("empty", [Evaluations(), vecparity.Comparisons()])
def test_what_is_empty_shows_itself(empty: Any) -> None:
    assert "<table" in empty._repr_html_() and repr(empty).startswith("<")


ATTACHED = "assert Evaluation.to_dataframe and Evaluation._repr_html_"


@pytest.mark.parametrize(
    "code",
    [
        f"from vecparity import Evaluation; {ATTACHED}",
        f"import vecparity; vecparity.History; from vecparity.evaluation.result import Evaluation; {ATTACHED}",
        f"import pickle; Evaluation = type(pickle.load(open('pickled', 'rb'))); {ATTACHED}",
    ],
    ids=["by its name", "from a history", "pickled"],
)
def test_whoever_has_an_evaluation_can_show_it(evaluation: Evaluation, tmp_path: Path, code: str) -> None:
    (tmp_path / "pickled").write_bytes(pickle.dumps(evaluation))
    subprocess.run([sys.executable, "-W", "ignore::ResourceWarning", "-c", code], cwd=tmp_path, check=True)
