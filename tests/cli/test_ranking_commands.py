"""The commands ``compare`` and ``leaderboard``, on a history of the original evaluator's evaluations."""

import csv
import io
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import ADVERSARIAL
from cyclopts import App
from made import audited, changed, diverged, made, published

from vecparity import Evaluation
from vecparity.audits.finding import AuditFinding
from vecparity.cli.arguments import parse
from vecparity.cli.commands.compare import compare
from vecparity.cli.commands.leaderboard import leaderboard
from vecparity.cli.main import main
from vecparity.errors import DivergedError, UsageError
from vecparity.evaluation import serialization
from vecparity.history.store import History
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import CONFIGURATIONS

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command and returns what it printed."""

    def run_command(command: Callable[..., int], *arguments: str) -> str:
        app = App()
        app.default(command)
        assert app(arguments, exit_on_error=False, print_error=False, result_action="return_value") == 0
        return capsys.readouterr().out

    return run_command


def record(path: Path, *evaluations: Evaluation) -> None:
    with History(path, create=True) as history:
        for evaluation in evaluations:
            name = evaluation.provenance.strategy
            history.add(evaluation, Strategy(name, f"{name}.py", name.encode()), "a")


@pytest.fixture
def at(tmp_path: Path) -> str:
    """1 to 3 multi_epoch, 4 to 6 isolated_cube; one that diverged; one that ranks nowhere."""
    path = tmp_path / "history"
    record(
        path,
        *(audited(published(name, label)) for name in ("multi_epoch", "isolated_cube") for label in CONFIGURATIONS),
    )
    broken = diverged(made("broken", [[(1_750, 1.0)] * 3] * 5))
    record(path, broken, made("wide", [[(1_750, 1.0)] * 3] * 5, hidden_width=1_024))
    return str(path)


def table(out: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(out)))


def cells(line: str) -> list[str]:
    """Splits a line of a table where there is no terminal."""
    return re.split(r" {2,}", line.strip())


def test_compare_says_what_is_real(run: Run, at: str) -> None:
    out = run(compare, "1", "4", "--history", at)
    assert "n32-k8, isolated_cube against multi_epoch: accuracy higher (+0.4837, " in out
    assert out.startswith("baseline: multi_epoch #1; a change is from it\n")
    (row,) = (cells(line) for line in out.splitlines() if line.startswith("n32-k8  "))
    assert row == [
        *("n32-k8", "isolated_cube", "5", "1.0000", "+0.4837", "5 / 0 / 0"),
        *("1,750", "-17,133", "5 / 0 / 0"),
    ]
    markdown = run(compare, "1", "4", "--history", at, "--format", "markdown")
    assert "| isolated_cube | multi_epoch | 5, the same |   1.0000 | +0.4837 (+0.4" in markdown


def test_every_other_is_compared_with_the_first(run: Run, at: str, tmp_path: Path) -> None:
    serialization.save(made("mine", [[(2_000, 0.9)] * 3] * 5), tmp_path / "mine.json")
    given = "1", "4", str(tmp_path / "mine.json")
    rows = table(run(compare, *given, "--history", at, "--format", "csv"))
    assert [(row["strategy"], row["against"]) for row in rows] == [
        ("isolated_cube", "multi_epoch"),
        ("mine", "multi_epoch"),
    ]
    assert [row["accuracy_is_real"] for row in rows] == ["True", "True"]
    assert float(rows[1]["accuracy"]) == 0.9
    assert float(rows[1]["accuracy_low"]) < float(rows[1]["accuracy_difference"]) < float(rows[1]["accuracy_high"])
    content = json.loads(run(compare, *given, "--history", at, "--format", "json"))
    assert [each["second"]["name"] for each in content] == ["isolated_cube", "mine"]
    assert len(content[0]["secrets"]) == 5


def test_each_secret_can_be_shown(run: Run, at: str) -> None:
    rows = table(run(compare, "1", "4", "--history", at, "--per-secret", "--format", "csv"))
    assert [row["secret"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert float(rows[0]["steps_against"]) == 19_500
    out = run(compare, "1", "4", "--history", at, "--per-secret", "--format", "markdown")
    assert "| n32-k8 | isolated_cube | multi_epoch |   42 |      0 |           0.5052 |   1.0000 |" in out


def test_too_few_secrets_are_named_in_the_table(run: Run, tmp_path: Path) -> None:
    for name, share in (("first", 0.5), ("second", 0.75)):
        serialization.save(made(name, [[(1_750, share)]] * 2), tmp_path / f"{name}.json")
    out = run(compare, str(tmp_path / "first.json"), str(tmp_path / "second.json"), "--format", "markdown")
    assert "+0.2500 (no interval)" in out
    assert "too few secrets to tell, 2 of at least 3" in out


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (["1"], UsageError, "two or more strategies or evaluations to compare, got 1"),
        (["1", "5"], UsageError, "same configuration, got n32-k8 of multi_epoch #1 and n50-k8 of isolated_cube #5"),
        (["1", "8"], UsageError, "same settings, got hidden_width 512 of multi_epoch and 1024 of wide"),
        (["1", "7"], DivergedError, "broken with seed 42 has no score"),
        (["1", "4", "--seed", "7"], UsageError, "settings of their own: expected multi_epoch #1 without --seed"),
        (
            ["1", "4", "--all-configs", "--config", "n50-k8"],
            UsageError,
            "--all-configs cannot be combined with --config: got --config n50-k8",
        ),
    ],
)
def test_what_compare_refuses(run: Run, at: str, arguments: list[str], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        run(compare, *arguments, "--history", at)


def failing(evaluation: Evaluation, *audits: str) -> Evaluation:
    return replace(evaluation, findings=[AuditFinding(name, False, "found out", {}) for name in audits])


def test_compare_names_who_fails_audits_and_what_was_made_differently(run: Run, at: str) -> None:
    cheat = failing(changed(published("isolated_cube"), engine="vmap", audit="report"), "overlap", "foresight")
    record(Path(at), changed(cheat, strategy="cheat", strategy_sha256=sha256(b"cheat").hexdigest()))
    out = run(compare, "1", "4", "9", "--history", at)
    assert out.count("fails ") == 1
    assert out.endswith("\nfails foresight, overlap: cheat\n")
    assert out.count("made differently: ") == 1
    assert "\nmade differently: engine vmap against native; audit report against strict\n" in out
    rows = table(run(compare, "9", "4", "--history", at, "--format", "csv"))
    assert (rows[0]["failed_audits"], rows[0]["failed_audits_against"]) == ("", "foresight overlap")


def test_rows_of_one_name_are_told_apart(run: Run, at: str) -> None:
    record(Path(at), changed(published("isolated_cube"), seed=43))
    rows = table(run(compare, "1", "4", "9", "--history", at, "--format", "csv"))
    assert [row["strategy"] for row in rows] == ["isolated_cube #4", "isolated_cube #9"]
    assert [(row["seeds"], row["seeds_against"], row["num_common"]) for row in rows] == [
        ("42", "42", "5"),
        ("43", "42", "0"),
    ]
    assert rows[0]["sha256"] == rows[1]["sha256"] == sha256(b"isolated_cube").hexdigest()
    assert (rows[0]["seal"], rows[0]["seal_against"]) == ("", "")


def test_compare_explains_its_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "intervals over secrets are Student's (Welch's between samples)" in said
    assert "either is in about 1 of 10" in said


FIGURES = ("accuracy", "steps")


@pytest.mark.slow
def test_strategies_are_evaluated_once(run: Run, tmp_path: Path) -> None:
    path = str(tmp_path / "history")
    arguments = "isolated_cube_1", "isolated_cube", "--protocol", "published", "--history", path
    first = json.loads(run(compare, *arguments, "--format", "json"))
    with History(Path(path)) as history:
        assert len(history.entries()) == 2
    assert json.loads(run(compare, *arguments, "--format", "json")) == first
    with History(Path(path)) as history:
        assert len(history.entries()) == 2
    assert ["no worse" in each["verdict"] for each in first] == [True]
    assert all(each[figure]["interval"]["low"] <= each[figure]["difference"] for each in first for figure in FIGURES)
    assert ["as many steps" in each["verdict"] or "fewer steps" in each["verdict"] for each in first] == [True]


def test_compare_tells_files_of_one_name_apart(run: Run, tmp_path: Path) -> None:
    files = [tmp_path / directory / "mine.py" for directory in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        file.write_text(load("default_4096").source.decode() + f"# {file.parent.name}\n")
    flags = "--smoke --max-steps 30 --hidden-width 8 --num-orderings 1 --test-set-size 32 --format json"
    out = run(compare, *map(str, files), *flags.split(), "--history", str(tmp_path / "history"))
    assert [json.loads(out)[0][side]["name"] for side in ("first", "second")] == ["a-mine", "b-mine"]
    with History(tmp_path / "history") as history:
        assert sorted(entry.strategy for entry in history.entries()) == ["a-mine", "b-mine"]


def test_compare_takes_every_setting(run: Run, tmp_path: Path) -> None:
    flags = "--smoke --max-steps 30 --hidden-width 8 --num-orderings 1 --test-set-size 32 --format json"
    out = run(compare, "isolated_cube", "default_4096", *flags.split(), "--history", str(tmp_path / "history"))
    assert json.loads(out)[0]["config"] == "n32-k8"
    with History(tmp_path / "history") as history:
        configs = [recorded.evaluation.config for recorded in map(history.get, (1, 2))]
        protocols = {entry.protocol for entry in history.entries()}
    assert {(c.max_steps, c.hidden_width, c.num_orderings, c.num_hidden_secrets) for c in configs} == {(30, 8, 1, 2)}
    assert protocols == {"custom"}
    with pytest.raises(UsageError, match="expected isolated_cube #1 without --smoke, --max-steps"):
        run(compare, "1", "2", "--smoke", "--max-steps", "30", "--history", str(tmp_path / "history"))


def test_leaderboard_ranks_what_is_recorded(run: Run, at: str) -> None:
    out = run(leaderboard, "--history", at)
    assert out.startswith("protocol published, public seeds")
    rows = table(run(leaderboard, "--history", at, "--format", "csv"))
    assert [(row["rank"], row["strategy"]) for row in rows] == [
        ("1", "isolated_cube"),
        ("2", "multi_epoch"),
        ("", "broken"),
    ]
    assert float(rows[1]["accuracy_low"]) < float(rows[1]["accuracy"]) < float(rows[1]["accuracy_high"])
    assert float(rows[1]["n64-k8_steps"]) == pytest.approx(6_716.667, abs=1e-3)
    assert re.search(r"^no score +broken ", out, re.MULTILINE)
    assert "\nno rank: broken with seed 42 has no score: expected finite losses" in out


def test_who_is_unverified_stands_below_with_the_command_that_verifies(run: Run, at: str) -> None:
    record(Path(at), *(made("unaudited", [[(1_500, 1.0)] * 3] * 5, label, seed=-7) for label in CONFIGURATIONS))
    command = "vecparity eval --strategy unaudited.py --seed -7 --all-configs --protocol published --audit strict"
    parsed = parse(shlex.split(command)[2:])
    assert parsed is not None
    assert (parsed[0].strategy, parsed[0].seed, parsed[0].audit) == (("unaudited.py",), (-7,), "strict")
    out = run(leaderboard, "--history", at)
    lines = [cells(line) for line in out.splitlines()[2:6]]
    assert [(line[0], line[1], line[-1]) for line in lines] == [
        ("1", "isolated_cube", "audited"),
        ("2", "multi_epoch", "audited"),
        ("unverified", "unaudited", "—"),
        ("no score", "broken", "—"),
    ]
    assert f"\nno rank: unaudited: not audited ({command} verifies it)\n" in out
    markdown = run(leaderboard, "--history", at, "--format", "markdown")
    assert "| unverified | unaudited " in markdown and command in markdown
    row = table(run(leaderboard, "--history", at, "--format", "csv"))[2]
    assert (row["rank"], row["verified"], row["why_unverified"], row["verify_with"]) == ("", "", "not audited", command)
    best, _, unverified, _ = json.loads(run(leaderboard, "--history", at, "--format", "json"))["standings"]
    assert (best["verified"], best["why_unverified"], best["verify_with"]) == ("audited", None, None)
    assert (unverified["rank"], unverified["verified"], unverified["verify_with"]) == (None, None, command)


def test_who_fails_audits_is_not_ranked(run: Run, at: str) -> None:
    cheat = [failing(made("cheat", [[(1_500, 1.0)] * 3] * 5, label), "foresight") for label in CONFIGURATIONS]
    record(Path(at), *cheat)
    out = run(leaderboard, "--history", at)
    assert [cells(line)[:2] for line in out.splitlines()[2:5]] == [
        ["1", "isolated_cube"],
        ["2", "multi_epoch"],
        ["fails foresight", "cheat"],
    ]
    rows = table(run(leaderboard, "--history", at, "--format", "csv"))
    assert [(row["rank"], row["strategy"], row["failed_audits"]) for row in rows] == [
        ("1", "isolated_cube", ""),
        ("2", "multi_epoch", ""),
        ("", "cheat", "foresight"),
        ("", "broken", ""),
    ]
    content = json.loads(run(leaderboard, "--history", at, "--format", "json"))
    assert content["standings"][2]["failed_audits"] == ["foresight"]


def test_no_interval_is_a_dash(run: Run, at: str) -> None:
    out = run(leaderboard, "--history", at)
    (row,) = (cells(line) for line in out.splitlines() if line.startswith("1  "))
    assert row[5:7] == ["1.0000", "—"]
    (best,) = json.loads(run(leaderboard, "--history", at, "--format", "json"))["standings"][:1]
    assert best["interval"] is None


def test_seeds_and_init_devices_can_be_chosen(run: Run, at: str) -> None:
    record(Path(at), *(changed(published("multi_epoch", label), seed=7) for label in CONFIGURATIONS))
    arguments = leaderboard, "--history", at, "--format", "csv"
    assert [(row["strategy"], row["seeds"]) for row in table(run(*arguments, "--seed", "7"))] == [("multi_epoch", "7")]
    assert {row["strategy"]: row["seeds"] for row in table(run(*arguments))} == {
        "isolated_cube": "42",
        "multi_epoch": "7 42",
        "broken": "",
    }
    record(Path(at), changed(made("drawn", [[(1_750, 1.0)] * 3] * 5), init_device="cuda"))
    assert [row["strategy"] for row in table(run(*arguments))] == ["drawn"]
    assert len(table(run(*arguments, "--init-device", "cpu"))) == 3


def test_published_results_stand_below_with_the_digits_that_were_published(run: Run, at: str) -> None:
    arguments = leaderboard, "--history", at, "--published"
    out = run(*arguments, "--format", "markdown")
    lines = [[cell.strip() for cell in line.split("|")[1:7]] for line in out.splitlines() if line.startswith("|")]
    assert lines[2][:3] == ["1", "isolated_cube", "1.0000 / 1,750"]
    assert lines[5:7] == [
        ["published", "one_pass", "0.747 / 30,000", "0.500 / 30,000", "0.502 / 30,000", "0.583"],
        ["published", "multi_epoch", "0.506 / 18,817", "0.498 / 8,933", "0.504 / 6,650", "0.503"],
    ]
    rows = {row["strategy"]: row for row in table(run(*arguments, "--format", "csv")) if row["is_published"] == "True"}
    assert [rows["one_pass"][f"{label}_accuracy"] for label in CONFIGURATIONS] == ["0.747", "0.500", "0.502"]
    assert rows["isolated_cube"]["n32-k8_accuracy"] == "1.000"
    content = json.loads(run(*arguments, "--format", "json"))
    (decayless,) = (each for each in content["standings"] if each["strategy"] == "no_weight_decay")
    figures = decayless["configurations"]["n32-k8"]
    assert (figures["accuracy"], figures["as_published"]) == (0.861, ["0.861", "29517"])


def test_the_newest_evaluation_says_what_is_ranked(run: Run, tmp_path: Path) -> None:
    seal = "ab" * 32
    ends = [[(1_750, 0.9)] * 3] * 5
    record(tmp_path / "history", audited(made("public", ends)), changed(made("sealed", ends), seal=seal))
    arguments = leaderboard, "--history", str(tmp_path / "history")
    content = json.loads(run(*arguments, "--format", "json"))
    assert (content["protocol"], content["seal"]) == ("published", seal)
    assert [each["strategy"] for each in content["standings"]] == ["sealed"]
    assert run(*arguments, "--seal", "abab").startswith("protocol published, sealed abababababababab")
    out = run(*arguments, "--seal", "public")
    assert re.search(r"^incomplete +public ", out, re.MULTILINE)
    assert "no rank: public: no evaluation of n50-k8, n64-k8 (vecparity eval --all-configs makes all)" in out


def saved(directory: Path, *evaluations: Evaluation) -> list[str]:
    """Writes each evaluation to a file, and returns the files."""
    paths = [directory / f"{number}.json" for number in range(len(evaluations))]
    for evaluation, path in zip(evaluations, paths, strict=True):
        serialization.save(evaluation, path)
    return list(map(str, paths))


def test_files_are_ranked_alone_or_beside_the_history(run: Run, at: str, tmp_path: Path) -> None:
    ends = [[(1_500, 0.75)] * 3] * 5
    files = saved(tmp_path, *(audited(made("of files", ends, label)) for label in CONFIGURATIONS))
    arguments = leaderboard, *files
    assert [(row["rank"], row["strategy"]) for row in table(run(*arguments, "--format", "csv"))] == [("1", "of files")]
    both = table(run(*arguments, "--history", at, "--format", "csv"))
    assert [(row["rank"], row["strategy"]) for row in both] == [
        ("1", "isolated_cube"),
        ("2", "of files"),
        ("3", "multi_epoch"),
        ("", "broken"),
    ]
    out = run(*arguments)
    assert out.endswith("\n\n3 evaluations from files: whether they are verified is what their files say\n")
    assert main(["history", "export", str(tmp_path / "export"), "1", "2", "3", "--history", at]) == 0
    rows = table(run(leaderboard, str(tmp_path / "export"), *files, "--format", "csv").partition("kB\n")[2])
    assert [row["strategy"] for row in rows] == ["of files", "multi_epoch"]


def test_imported_evaluations_are_told_of(run: Run, at: str, tmp_path: Path) -> None:
    files = saved(tmp_path, *(audited(made("new", [[(1_500, 0.75)] * 3] * 5, label)) for label in CONFIGURATIONS))
    assert "what their files say" not in run(leaderboard, "--history", at)
    assert main(["history", "import", *files, "--history", at]) == 0
    out = run(leaderboard, "--history", at)
    assert out.endswith("\n3 that were imported: whether they are verified is what their files say\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "expected a file that can be read, got .*file.json: No such file"),
        (b"{}", "file.json: expected the JSON of an evaluation"),
        (b"\xff", "file.json: expected the JSON of an evaluation"),
        (b'{"history": 1}', "file.json, line 1: "),
    ],
)
def test_strangers_files_are_refused(run: Run, tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "file.json").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        run(leaderboard, str(tmp_path / "file.json"))


def test_files_without_what_ranks_are_refused(run: Run, tmp_path: Path) -> None:
    ends = [[(1_500, 0.75)] * 3] * 5
    (path,) = saved(tmp_path, made("wide", ends, hidden_width=1_024))
    with pytest.raises(UsageError, match=r"an evaluation in the files with no setting .* none among 0 of 1 that can"):
        run(leaderboard, path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seed", "7", "8"], "expected a recorded evaluation under seed 7, 8, got none that can be ranked"),
        (
            ["--protocol", "full"],
            "under protocol full with no setting overridden, got none among 7 of 7 that can be ranked",
        ),
        (["--init-device", "cuda"], "with weights drawn on cuda with no setting overridden"),
        (["--seal", "abc"], "recorded evaluation of seal abc with no setting overridden"),
        (["--published", "--protocol", "full"], "expected protocol published, .* got full"),
    ],
)
def test_what_leaderboard_refuses(run: Run, at: str, arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(leaderboard, *arguments, "--history", at)


@pytest.mark.slow
def test_strategies_that_are_compared_have_limits(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    endless = ADVERSARIAL / "endless_loop.py"
    arguments = ["compare", str(endless), "isolated_cube", "--strategy-seconds", "1", "--history", str(tmp_path / "h")]
    assert main(arguments) == 4
    assert "did not finish within 1 s (raise it with --strategy-seconds)" in capsys.readouterr().err
