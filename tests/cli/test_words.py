"""Words of strangers are only words: in names, paths, tables, CSV, Markdown, titles and errors."""

import csv
import io
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import RunCommand
from made import changed, diverged, made
from rich.table import Table
from rich.text import Text

from vecparity import Evaluation
from vecparity.audits.finding import AuditFinding
from vecparity.cli import messages
from vecparity.cli.main import main
from vecparity.cli.output import Column, cell, show, show_records
from vecparity.errors import InvalidStrategyError, MachineError, UsageError, describe, quoted, visible
from vecparity.evaluation import serialization
from vecparity.history.store import History
from vecparity.report.page import html
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import CONFIGURATIONS

Captured = pytest.CaptureFixture[str]

# An escape sequence, line breaks, a mark that reverses the direction, half a character, and a false metric line.
ODD = "a\x1b[2J\r\n\x0b\x85\u2028\u202eTEST_METRICS\udcff\tz"
SHOWN = r"a\x1b[2J\r\n\x0b\x85\u2028\u202eTEST_METRICS\udcff\tz"
METRICS = "TEST_METRICS secret=0 order=0 steps=1 test_accuracy=1.000000"


def test_what_cannot_be_printed_is_an_escape() -> None:
    assert visible(ODD) == SHOWN
    assert visible("naïve 统 stratégie") == "naïve 统 stratégie"
    assert describe(ValueError("one\x1b[2J\ntwo")) == r"ValueError: one\x1b[2J"


def test_an_error_is_one_line_wherever_it_is_shown() -> None:
    for error in (UsageError(f"got {ODD}"), MachineError(ODD), InvalidStrategyError(ODD)):
        assert str(error).endswith(SHOWN) and str(error).isprintable()


def test_each_line_of_a_strategys_has_a_mark() -> None:
    assert quoted(f"{METRICS}\n\nb\rc") == f"  | {METRICS}\n  | \n  | b\\rc"
    folded = quoted("x" * 76 + METRICS + "y" * 10_000).split("\n")
    assert all(line.startswith("  | ") and len(line) <= 80 for line in folded)
    assert folded[1].startswith(f"  | {METRICS}") and folded[-1].endswith("y...")


def test_messages_and_warnings_are_one_line(capsys: Captured) -> None:
    error = MachineError(ODD)
    error.add_note(f"A note:\n{METRICS}\n\x1b[2J")
    assert messages.fail(error) == 6
    messages.fail(OSError(2, "No such file", ODD))
    messages.fail(RuntimeError(ODD))
    messages.show_warning(UserWarning(ODD), UserWarning, "here.py", 1)
    assert capsys.readouterr().err.split("\n") == [
        f"vecparity: error: {SHOWN}",
        "  A note:",
        f"  {METRICS}",
        r"  \x1b[2J",
        f"vecparity: error: [Errno 2] No such file: '{SHOWN}'",
        f"vecparity: error: unexpected RuntimeError: {SHOWN} (--debug shows where)",
        f"vecparity: warning: {SHOWN}",
        "",
    ]


def test_tables_and_texts_have_no_lines_of_a_strangers(capsys: Captured) -> None:
    table = Table(ODD, title=ODD)
    table.add_row(ODD)
    table.add_row(Text(ODD))
    show(ODD, table, Text(ODD))
    show_records([{"strategy": ODD}], {"strategy": Column(ODD)}, "table", ODD)
    show_records([{"strategy": ODD}], {"strategy": Column("strategy")}, "markdown")
    out = capsys.readouterr().out
    assert all(line.isprintable() and not line.startswith("TEST_METRICS") for line in out.split("\n"))
    assert out.count(SHOWN) == 7
    assert r"a\\x1b\[2J\\r" in out


def test_a_text_is_not_folded(capsys: Captured) -> None:
    show("x" * 995 + f" {METRICS}")
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1+cmd", "'+1+cmd"),
        ("-1+cmd", "'-1+cmd"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", r"'\t=1"),
        ("\r\n =1", r"'\r\n =1"),
        ("\N{NO-BREAK SPACE}=1", r"'\xa0=1"),
        ("＝1", "'＝1"),
        ("a=1", "a=1"),
        ("-7 -1 42", "-7 -1 42"),  # seeds
        ("-1.5e-7", "-1.5e-7"),
        (-7, -7),
        (-0.5, -0.5),
        (None, None),
        (True, True),
    ],
)
def test_csv_has_no_formula(value: object, written: object) -> None:
    assert cell(value) == written


def test_csv_rows_are_lines(capsys: Captured) -> None:
    columns = {name: Column(name) for name in ("strategy", "seed")}
    show_records([{"strategy": f"=1\n{METRICS}", "seed": -7, "more": 1}], columns, "csv")
    out = capsys.readouterr().out
    assert list(csv.DictReader(io.StringIO(out))) == [{"strategy": rf"'=1\n{METRICS}", "seed": "-7"}]
    assert len(out.splitlines()) == 2


def test_markdown_shows_no_entities(capsys: Captured) -> None:
    show_records([{"strategy": "a&#x202e;b"}], {"strategy": Column("strategy")}, "markdown")
    assert r"| a\&#x202e;b |" in capsys.readouterr().out


# --- the commands ---


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "{odd}.py"],
        ["eval", "--no-history", "--strategy", "{odd}.py"],
        ["eval", "--no-history", "--smoke", "--max-steps", "10", "--output-dir", "{odd}/file"],
        ["compare", "{odd}.json", "isolated_cube"],
        ["history", "--history", "{odd}"],
        ["leaderboard", "--history", "{odd}"],
        ["show", "1", "--history", "{odd}"],
        ["report", "{odd}.json"],
        ["new", "{odd}.py"],
        ["guide", "{odd}"],
        ["{odd}"],
        ["eval", "--{odd}"],
        ["eval", "--param", "lr={odd}"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_path_of_odd_characters_gives_a_clear_error(
    run_command: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    status, out, err = run_command(*(argument.format(odd=f"file/{ODD}") for argument in arguments))
    assert (status in (2, 6), out) == (True, "")
    assert err.startswith("vecparity: error: ") and err.count("\n") == 1 and err[:-1].isprintable()


@pytest.fixture
def at(tmp_path: Path) -> str:
    """A history of evaluations whose strategies have the names of metric lines and formulas."""
    ends = [[(1_750, 0.9)] * 3] * 5
    path = tmp_path / "history"
    recorded: list[Evaluation] = []
    for number, name in enumerate((METRICS, f"{METRICS} again", f"{METRICS} broken", "=HYPERLINK(1)", f"x {METRICS}")):
        labels = list(CONFIGURATIONS)[: 1 + number % 3]
        recorded += [made(name, ends, label, seed=-7) for label in labels]
    recorded[0] = replace(recorded[0], findings=[AuditFinding("overlap", False, METRICS, {})])
    recorded[3] = diverged(recorded[3])
    with History(path, create=True) as history:
        for evaluation in recorded:
            name = evaluation.provenance.strategy
            history.add(evaluation, Strategy(name, f"{name}.py", name.encode()), "a")
    return str(path)


def merged(*arguments: str, cwd: Path) -> str:
    """Returns both streams of a command as one."""
    command = [sys.executable, "-m", "vecparity", *arguments]
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


def test_no_command_prints_a_strangers_line(run_command: RunCommand, at: str, tmp_path: Path) -> None:
    with History(at) as history:
        for number in (1, 2):
            serialization.save(history.get(number).evaluation, tmp_path / f"{number}.json")
    files = [str(tmp_path / f"{number}.json") for number in (1, 2)]
    report = str(tmp_path / "report.html")
    commands = [
        *([command, "--format", format_] for command in ("leaderboard", "history") for format_ in FORMATS),
        *(["show", str(number)] for number in range(1, 6)),
        *(["compare", "1", "2", "--format", format_] for format_ in FORMATS),
        ["compare", "1", "2", "--per-secret", "--format", "csv"],
        ["compare", *files],
        ["report", "1", "2", "-o", report],
        ["history", "--check"],
        ["history", "--strategy", METRICS],
    ]
    for command in commands:
        status, out, err = run_command(*command, "--history", at)
        assert (status, err) == (0, "") or command[:2] == ["compare", *files[:1]], command
        assert not any(line.startswith(("TEST_METRICS", "FINAL_METRICS")) for line in out.split("\n")), command
    rows = list(csv.DictReader(io.StringIO(run_command("leaderboard", "--format", "csv", "--history", at)[1])))
    assert {row["strategy"] for row in rows} >= {"'=HYPERLINK(1)", METRICS}
    assert {row["seeds"] for row in rows} <= {"-7", ""}


FORMATS = ("table", "markdown", "csv", "json")


@pytest.mark.slow
def test_no_command_that_calls_a_strategy_prints_its_lines(tmp_path: Path) -> None:
    source = (
        f"print('{METRICS}\\r\\x1b[2J{METRICS}')\nimport torch\ndef init_model(m, c): pass\n"
        "def get_optimizer_config(c): return dict(lr=1e-3, wd=0, beta1=.5, beta2=.5)\n"
        "def make_dataset(s, c, d):\n    return torch.ones(4, c.n_features), torch.ones(4)\n"
    )
    (tmp_path / f"{METRICS}.py").write_text(source)
    (tmp_path / "raises.py").write_text(
        source.replace("return torch", f"raise ValueError('{METRICS}')\n    return torch")
    )
    settings = "--num-hidden-secrets 1 --num-orderings 1 --max-steps 20 --log-interval 10 --test-set-size 64"
    for strategy in (f"./{METRICS}.py", "raises.py"):
        evaluation = ["eval", "--no-history", *settings.split(), "--log", "final", "--strategy", strategy]
        for command in (["check", strategy], ["check", strategy, "--json"], evaluation):
            out = merged(*command, cwd=tmp_path)
            own = [line for line in out.split("\n") if line.startswith(("TEST_METRICS", "FINAL_METRICS"))]
            assert len(own) == (2 if command is evaluation and strategy != "raises.py" else 0), out
            assert all(line.isprintable() for line in out.split("\n"))
            assert "test_accuracy=1.000000" not in "".join(own)


def test_a_source_is_itself_but_on_a_terminal(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, source = str(tmp_path / "history"), b"a = 1\n\tb\x1b[2J\r\xff\n"
    strategy = Strategy("mine", "mine.py", source)
    with History(path, create=True) as history:
        evaluation = changed(made("mine", [[(1, 0.5)] * 3] * 5), strategy_sha256=strategy.sha256)
        history.add(evaluation, strategy, "a")
    command = [sys.executable, "-m", "vecparity", "show", "1", "--source", "--history", path]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == source
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(command[3:]) == 0
    assert b"\n".join(capfdbinary.readouterr().out.split()) == b"a\n=\n1\nb\\x1b[2J\n\\xff"


def test_a_label_can_be_printed(run_command: RunCommand, tmp_path: Path) -> None:
    status, _, err = run_command("eval", "--no-history", "--output-dir", str(tmp_path), "--label", "a\x1b[2J")
    assert status == 2
    assert r"label must be a plain name that can be printed, without separators, got 'a\x1b[2J'" in err


def test_completion_has_no_words_of_a_strangers(run_command: RunCommand) -> None:
    for shell in ("bash", "zsh", "fish"):
        status, out, _ = run_command("completion", shell)
        assert status == 0
        assert all(line.expandtabs().isprintable() for line in out.split("\n"))


def test_a_strategys_name_can_be_printed(tmp_path: Path) -> None:
    """So it can in titles of reports and tables, names of files, and TensorBoard's runs, which are made of it."""
    path = tmp_path / "a\x1b[2Jb.py"
    path.touch()
    with pytest.raises(UsageError, match=r"a file whose name can be printed, got '.*a\\x1b\[2Jb\.py'"):
        load(path)
    with pytest.raises(UsageError, match="name must be letters, digits"):
        Strategy.from_source("", name="a\nb")


def test_a_reports_titles_are_only_words(evaluation: Evaluation) -> None:
    page = html([changed(evaluation, strategy="<b>\u202e\x1b[2J")])
    assert r"<title>vecparity: &lt;b&gt;\u202e\x1b[2J" in page
    assert "\u202e" not in page and "\x1b" not in page


def test_a_history_of_names_that_cannot_be_printed_is_refused(evaluation: Evaluation, tmp_path: Path) -> None:
    odd = Strategy("a\x1b[2J", "odd.py", b"")
    with History(tmp_path / "history", create=True) as history:
        history.add(changed(evaluation, strategy=odd.name, strategy_sha256=odd.sha256), odd, "a")
        with pytest.raises(MachineError, match=r"evaluation 1 is damaged: .* got .*a\\+x1b\[2J") as raised:
            history.entries()
    assert str(raised.value).isprintable()
