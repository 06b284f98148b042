from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ADVERSARIAL, SHORT, RunCommand
from noting import Noting

from vecparity import Evaluation, compare, evaluate, machine
from vecparity.cli.commands.compare_sides import Side, sides
from vecparity.errors import DivergedError, UsageError
from vecparity.evaluation import serialization
from vecparity.evaluation.options import Options
from vecparity.evaluation.result import DivergedRun
from vecparity.history.changes import remove
from vecparity.history.recorder import recorder
from vecparity.history.references import Reference, existing, resolve
from vecparity.history.store import History
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import task_config


@pytest.fixture
def at(tmp_path: Path, evaluation: Evaluation) -> Path:
    """A history of two commands, the second with two evaluations, and a JSON file beside it."""
    with History(tmp_path / "history", create=True) as history:
        for command in ("first", "second", "second"):
            history.add(evaluation, load("isolated_cube"), command)
    serialization.save(evaluation, tmp_path / "result.json")
    return tmp_path / "history"


def test_what_words_mean(at: Path, evaluation: Evaluation) -> None:
    recorded, written, chosen = resolve(["2", str(at.parent / "result.json"), "multi_epoch"], at)
    assert (recorded.name, written.name, chosen.name) == (
        "isolated_cube #2",
        "isolated_cube (result.json)",
        "multi_epoch",
    )
    assert isinstance(recorded.subject, Evaluation)
    assert isinstance(written.subject, Evaluation)
    assert recorded.subject.results == written.subject.results == evaluation.results
    assert isinstance(chosen.subject, Strategy)


def test_files_of_one_name_have_the_names_of_their_directories(tmp_path: Path, evaluation: Evaluation) -> None:
    for directory in ("a", "b"):
        (tmp_path / directory).mkdir()
        (tmp_path / directory / "mine.py").write_text(load("isolated_cube").source.decode() + f"# {directory}\n")
        serialization.save(evaluation, tmp_path / directory / "result.json")
    files = [tmp_path / directory / name for name in ("mine.py", "result.json") for directory in ("a", "b")]
    references = resolve([*map(str, files), "multi_epoch", str(files[0])], None)
    assert [reference.name for reference in references] == [
        *("a-mine", "b-mine", "isolated_cube (a/result.json)", "isolated_cube (b/result.json)"),
        *("multi_epoch", "a-mine"),
    ]
    assert [reference.name for reference in resolve([str(files[1])], None)] == ["mine"]
    assert isinstance(strategy := references[1].subject, Strategy)
    assert (strategy.name, strategy.path) == ("b-mine", str(files[1]))


def test_no_words_are_the_newest_command(at: Path) -> None:
    assert len(existing([], at)[0]) == 2
    evaluations, sources = existing(["1", str(at.parent / "result.json"), "3"], at)
    assert len(evaluations) == 3
    assert sources == [load("isolated_cube").source] * 2, "a JSON file has no source"


def test_the_latest_is_the_evaluation_that_was_recorded_last(
    at: Path, evaluation: Evaluation, run_command: RunCommand
) -> None:
    (latest,) = resolve(["latest"], at)
    assert (latest.name, latest.subject, latest.id) == ("isolated_cube #3", evaluation, 3)
    assert existing(["latest"], at) == ([evaluation], [load("isolated_cube").source])
    status, out, _ = run_command("show", "latest", "--history", str(at))
    lines = [line.split() for line in out.splitlines()]
    assert status == 0 and ["evaluation", "3"] in lines
    assert ["host", machine.host()] in lines and ["capability", machine.capability()] in lines
    for word, said in (
        ("newest", "or latest, got 'newest'"),
        ("1.5", "or latest, got '1.5'"),
        ("4", "no evaluation 4"),
    ):
        status, out, err = run_command("show", word, "--history", str(at))
        assert (status, out) == (2, "") and said in err
    History(at.parent / "empty", create=True).close()
    status, _, err = run_command("show", "latest", "--history", str(at.parent / "empty"))
    assert status == 2 and "no evaluations are recorded yet in" in err


def test_both_sides_of_a_comparison_are_the_newest(at: Path, evaluation: Evaluation) -> None:
    """Sides that were evaluated, given by their ids, or known from the history."""

    def ids_of_newest() -> list[int]:
        with History(at) as history:
            return history.newest_command()

    def compare_sides(*words: str) -> None:
        with recorder(at, reuse=True) as records:
            sides(resolve(words, at), [], [], "", Options(), records, lambda configs: Noting([]))

    assert ids_of_newest() == [2, 3]
    compare_sides("1", "default_4096")
    assert ids_of_newest() == [1, 4]
    assert [each.provenance.strategy for each in existing([], at)[0]] == ["isolated_cube", "default_4096"]
    compare_sides("2", "default_4096")  # nothing is recorded
    assert ids_of_newest() == [2, 4]
    compare_sides("4", "isolated_cube", "default_4096")
    assert ids_of_newest() == [3, 4]
    with History(at, create=True) as history:
        history.add(evaluation, load("isolated_cube"), "later")
        assert history.newest_command() == [5]
        remove(history, [5])
        assert history.newest_command() == [3, 4]
        remove(history, [3])
        assert history.newest_command() == [4]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("7", r"has no evaluation 7 \(vecparity history lists them\)$"),
        ("9" * 30, "has no evaluation 9+ "),
        ("١", "expected an id of vecparity history, latest or a JSON file, got '١'"),
        ("nowhere.json", "expected a file that can be read, got nowhere.json: No such file"),
        ("isolated_cube", "expected an id of vecparity history, latest or a JSON file, got 'isolated_cube'"),
    ],
)
def test_what_means_nothing_is_one_line(at: Path, word: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        existing([word], at)


def test_nothing_recorded_is_one_line(tmp_path: Path) -> None:
    History(tmp_path / "history", create=True).close()
    with pytest.raises(UsageError, match=r"no evaluations are recorded yet in .*: vecparity eval records them$"):
        existing([], tmp_path / "history")


def test_strategies_are_evaluated_once_and_recorded(at: Path) -> None:
    references = resolve(["isolated_cube", "1", "default_4096"], at)
    told: list[str] = []
    for _ in range(2):
        with recorder(at, reuse=True) as records:
            made = sides(references, [], [], "", Options(), records, lambda configs: Noting(told))
        assert [side.name for side in made] == ["isolated_cube", "isolated_cube #1", "default_4096"]
        assert [list(side.evaluations) for side in made] == [["n32-k8"]] * 3
        assert made[0].evaluations["n32-k8"][0].results == made[1].evaluations["n32-k8"][0].results
    once = ["begin n32-k8", "4 prepared", "windows close", "2 finished"]
    assert told == [*once, once[0], once[3]], "the first is recorded, and so is the third when it is asked for again"
    with History(at) as history:
        assert [entry.strategy for entry in history.entries()] == ["isolated_cube"] * 3 + ["default_4096"]


def test_several_seeds_and_configurations(tmp_path: Path) -> None:
    references = resolve(["isolated_cube", "default_4096"], None)
    configs = [task_config(label, **SHORT) for label in ("n32-k8", "n50-k8")]
    with recorder(tmp_path / "history") as records:
        made = sides(references, configs, [7, 42], "full", Options(), records, lambda configs: Noting([]))
    for side in made:
        assert list(side.evaluations) == ["n32-k8", "n50-k8"]
        for label, evaluated in side.evaluations.items():
            places = [(each.provenance.strategy, each.provenance.seed, each.config.label) for each in evaluated]
            assert places == [(side.name, 7, label), (side.name, 42, label)]


def compared(references: list[Reference], at: Path, *seeds: int) -> tuple[list[Side], list[str]]:
    """The sides, without or with seeds of their own, and what was told of evaluations."""
    told: list[str] = []
    configs = [task_config("n32-k8", **SHORT)] if seeds else []
    with recorder(at) as records:
        return sides(references, configs, seeds, "full", Options(), records, lambda configs: Noting(told)), told


@pytest.mark.usefixtures("served")
def test_one_source_given_twice_is_evaluated_once(tmp_path: Path) -> None:
    (tmp_path / "copy.py").write_bytes(load("isolated_cube").source)
    words = ["isolated_cube", str(tmp_path / "copy.py"), "default_4096", "isolated_cube"]
    made, told = compared(resolve(words, None), tmp_path / "history", 7, 42)
    assert told[1] == "16 prepared"
    assert made[0].evaluations == made[1].evaluations == made[3].evaluations
    assert [each.provenance.strategy for each in made[2].evaluations["n32-k8"]] == ["default_4096"] * 2
    with History(tmp_path / "history") as history:
        assert [entry.strategy for entry in history.entries()] == ["isolated_cube"] * 2 + ["default_4096"] * 2


def test_sides_of_one_name_are_told_apart(tmp_path: Path, evaluation: Evaluation) -> None:
    other = replace(evaluation, provenance=replace(evaluation.provenance, strategy="other"))
    revised = replace(evaluation, provenance=replace(evaluation.provenance, strategy_sha256="cd" * 32))
    references = [
        Reference("other #1", other),
        Reference("isolated_cube #2", evaluation),
        Reference("isolated_cube #3", evaluation),
        Reference("isolated_cube (a.json)", evaluation),
        Reference("isolated_cube (a.json)", revised),
    ]
    made, _ = compared(references, tmp_path / "history")
    digest = evaluation.provenance.strategy_sha256[:8]
    assert [side.short_name for side in made] == [
        "other",
        "isolated_cube #2",
        "isolated_cube #3",
        f"isolated_cube (a.json) ({digest})",
        "isolated_cube (a.json) (cdcdcdcd)",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("served")
def test_a_failed_audit_is_said_when_it_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cheat = ADVERSARIAL / "seed_of_the_test_set.py"
    compared(resolve([str(cheat), "isolated_cube"], None), tmp_path / "history", 42)
    assert "warning: seed_of_the_test_set fails an audit: overlap: " in capsys.readouterr().err


def test_nothing_is_evaluated_that_cannot_be_compared(tmp_path: Path, evaluation: Evaluation) -> None:
    strategy = resolve(["isolated_cube"], None)
    wide = replace(evaluation, config=replace(evaluation.config, hidden_width=64))
    elsewhere = replace(evaluation, config=replace(evaluation.config, n_features=50))
    broken = replace(evaluation, diverged=[DivergedRun(0, 0, 7)])
    first, *others = (
        Reference(f"#{number}", each) for number, each in enumerate((evaluation, wide, elsewhere, broken))
    )
    cases: list[tuple[list[Reference], type[Exception], str]] = [
        ([*strategy, first, others[0]], UsageError, "same settings, got hidden_width 32 of isolated_cube and 64"),
        ([first, *strategy, others[1]], UsageError, "same configuration, got n32-k8 of #0 and n50-k8 of #2"),
        ([*strategy, others[2]], DivergedError, "isolated_cube with seed 42 has no score"),
    ]
    with recorder(tmp_path / "history") as records:
        for references, error, said in cases:
            with pytest.raises(error, match=said):
                sides(references, [], [], "", Options(), records, lambda configs: pytest.fail("evaluates"))
        with pytest.raises(UsageError, match="each top-level seed once, got 7, 7"):
            sides(strategy, [evaluation.config], [7, 7], "", Options(), records, lambda _: pytest.fail("evaluates"))


def test_a_strategy_is_compared_with_each_on_what_both_have(tmp_path: Path, evaluation: Evaluation) -> None:
    other = evaluate("default_4096", "n32-k8", **SHORT, seed=7)
    references = [*resolve(["isolated_cube"], None), Reference("#1", evaluation), Reference("#2", other)]
    strategy, one, two = (side.evaluations["n32-k8"] for side in compared(references, tmp_path / "history")[0])
    assert [each.provenance.seed for each in strategy] == [7, 42]
    itself = compare(strategy, one)
    assert "(2 of 4 and 2 secrets in common)" in itself.verdict
    assert (itself.accuracy.difference, itself.steps.difference) == (0, 0)
    assert compare(strategy, two).num_common == 2


def test_a_sealed_evaluation_is_not_evaluated_beside(tmp_path: Path, evaluation: Evaluation) -> None:
    sealed = replace(evaluation, provenance=replace(evaluation.provenance, seal="0" * 64))
    serialization.save(sealed, tmp_path / "sealed.json")
    references = resolve([str(tmp_path / "sealed.json"), "isolated_cube"], None)
    with (
        recorder(tmp_path / "history") as records,
        pytest.raises(UsageError, match="a sealed evaluation can be compared"),
    ):
        sides(references, [], [], "", Options(), records, lambda configs: Noting([]))
