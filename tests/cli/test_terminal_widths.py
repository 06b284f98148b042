"""Tables on terminals of several widths: names and scores stay whole, and nothing is broken over lines."""

import io
import re

import pytest
from made import audited, made
from rich.cells import cell_len
from screens import Screen, screens

from vecparity.cli.commands import guide
from vecparity.cli.fitted_table import Column, FittedTable, shortened
from vecparity.cli.output import PlainConsole, show_records
from vecparity.history.store import History
from vecparity.strategy.source import Strategy
from vecparity.task.config import CONFIGURATIONS

WIDTHS = (60, 80, 100, 120, 200)
SIXTY = "sixty_characters_of_a_name_of_which_the_last_tell_it_apart_x"
ACCURACIES = {"isolated_cube": 0.998, "custom_strategy_with_a_rather_long_name": 0.988, SIXTY: 0.978}
COMMANDS = {
    "history": ["history"],
    "leaderboard": ["leaderboard"],
    "compare": ["compare", "1", "4", "7"],
    "per secret": ["compare", "1", "7", "--per-secret"],
    "show": ["show", "10"],
    "check": ["check", "isolated_cube", "--secrets", "3", "--protocol", "published", "--containment", "none"],
    "doctor": ["doctor"],
    "guide": ["guide"],
    "guide engines": ["guide", "engines"],
    "guide threats": ["guide", "threats"],
    "history --wide": ["history", "--wide"],
    "leaderboard --wide": ["leaderboard", "--wide"],
    "show --wide": ["show", "10", "--wide"],
    "compare --wide": ["compare", "1", "4", "7", "--wide"],
}
WIDE = ["history --wide", "leaderboard --wide", "compare --wide"]

Shown = dict[tuple[str, int], Screen]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """The screen of each command at each width."""
    path = tmp_path_factory.mktemp("widths") / "history"
    with History(path, create=True) as history:
        for name, accuracy in ACCURACIES.items():
            evaluations = [made(name, _ends(accuracy, 3), label) for label in CONFIGURATIONS]
            if name == "isolated_cube":
                evaluations = [audited(evaluation) for evaluation in evaluations]
            for evaluation in [*evaluations, *([made(name, _ends(accuracy, 12))] if name == SIXTY else [])]:
                history.add(evaluation, Strategy(name, f"{name}.py", name.encode()), name)
    commands = [
        words if words[0] in ("check", "doctor", "guide") else [*words, "--history", str(path)]
        for words in COMMANDS.values()
    ]
    names = list(COMMANDS)
    return {(names[number], width): screen for (number, width), screen in screens(commands, WIDTHS).items()}


def _ends(accuracy: float, num_orderings: int) -> list[list[tuple[int, float]]]:
    return [[(1_750, accuracy + change)] * num_orderings for change in (-0.002, -0.001, 0.0, 0.001, 0.002)]


def rows(screen: Screen) -> list[list[str]]:
    """Returns the cells of the rows of a table with lines around its cells."""
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in screen.lines if line.startswith("│")]


def is_name(cell: str, name: str) -> bool:
    """Returns True for the name, whole or shortened in the middle."""
    head, ellipsis, tail = cell.partition("…")
    return cell == name if not ellipsis else bool(head and tail) and name.startswith(head) and name.endswith(tail)


def folded(screen: Screen) -> list[str]:
    """Returns the beginnings of the lines that the terminal had no room for."""
    return [screen.lines[row - 1] for row in sorted(screen.folded) if row - 1 not in screen.folded]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", [name for name in COMMANDS if "--wide" not in name])
def test_no_line_of_a_table_is_longer_than_the_screen(shown: Shown, command: str, width: int) -> None:
    screen = shown[command, width]
    assert screen.status == 0, screen.lines
    # Sentences below a table go on in the next line, as the commands in them are to be copied whole.
    assert [line for line in folded(screen) if not re.match("no rank: |n32-k8, ", line)] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("command", "counts", "written"),
    [("history", (3, 3, 4), "{:.6f}"), ("leaderboard", (1, 1, 1), "{:.4f}"), ("compare", (0, 1, 1), "{:.4f}")],
)
def test_each_name_stands_beside_its_accuracy(
    shown: Shown, command: str, counts: tuple[int, ...], written: str, width: int
) -> None:
    cells = rows(shown[command, width])
    for count, (name, accuracy) in zip(counts, ACCURACIES.items(), strict=True):
        found = [row for row in cells if any(is_name(cell, name) for cell in row)]
        assert len(found) == count
        assert all(written.format(accuracy) in row for row in found)


@pytest.mark.parametrize("width", WIDTHS)
def test_one_evaluation_is_whole_on_every_screen(shown: Shown, width: int) -> None:
    lines = [line.split() for line in shown["show", width].lines]
    (found,) = (words for words in lines if " ".join(words).find("0.978000 ± 0.001414") > 0)
    assert any(is_name(word, SIXTY) for word in found[:2])
    # Each of five secrets has a number for each of twelve orderings, in as many tables as the width needs.
    assert _of_fourth_secret(shown["show", width]) == {60: [4] * 3, 80: [6] * 2, 100: [6] * 2}.get(width, [12])
    assert _of_fourth_secret(shown["show --wide", width]) == [12]


def _of_fourth_secret(screen: Screen) -> list[int]:
    """Returns the numbers of accuracies of the fourth secret in each table of runs."""
    lines = [line.split() for line in _unfolded(screen)]
    return [words.count("0.979") for words in lines if words[:3] == ["3", "100", "1,750"]]


@pytest.mark.parametrize("command", ["check", "doctor", "guide"])
def test_no_word_is_broken_over_lines_or_cut(shown: Shown, command: str) -> None:
    words = {width: sorted(" ".join(shown[command, width].lines).split()) for width in WIDTHS}
    assert all(words[width] == words[200] for width in WIDTHS if width >= 80)
    # Only what is wider than its column is broken: a path, and the name of a function of torch's.
    unbroken = [word for word in words[200] if "/vecparity/history." not in word and "kaiming" not in word]
    assert [word for word in unbroken if word not in words[60]] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", ["engines", "threats"])
def test_a_pages_tables_are_whole(shown: Shown, page: guide.Page, width: int) -> None:
    screen = shown[f"guide {page}", width]
    assert not any("…" in line for line in screen.lines)
    words = {word.strip(":") for line in screen.lines for word in line.split()}
    cells = [
        word.strip("`:")
        for line in guide.read(page).splitlines()
        if line.startswith("|") and "`" not in line
        for word in line.replace("|", " ").split()
    ]
    assert len(cells) > 20
    assert [cell for cell in cells if cell not in words and not set(cell) <= set("-:")] == []


@pytest.mark.parametrize("command", ["history", "leaderboard", "compare"])
def test_names_are_shortened_only_when_all_minor_columns_have_gone(shown: Shown, command: str) -> None:
    are_shortened = {}
    for width in WIDTHS:
        screen = shown[command, width]
        are_shortened[width] = any("…" in cell for row in rows(screen) for cell in row)
        (headings,) = (line.split("┃")[1:-1] for line in screen.lines if line.startswith("┃"))
        assert not are_shortened[width] or len(headings) == 3
    assert are_shortened[60] and not are_shortened[100]


@pytest.mark.parametrize("command", ["history", "leaderboard", "compare"])
def test_what_is_left_out_is_said(shown: Shown, command: str) -> None:
    whole = _headings(shown[f"{command} --wide", 200])
    for width in WIDTHS:
        said = re.search(r"left out: (.*?) \(--wide shows all\)", " ".join(shown[command, width].lines))
        left_out = said[1].split(", ") if said else []
        assert set(left_out) <= set(whole)
        assert [heading for heading in whole if heading not in left_out] == _headings(shown[command, width])


@pytest.mark.parametrize("command", WIDE)
def test_wide_tables_have_the_same_lines_on_every_screen(shown: Shown, command: str) -> None:
    assert folded(shown[command, 60])
    tables = {width: [line.split() for line in _unfolded(shown[command, width]) if "│" in line] for width in WIDTHS}
    assert all(lines == tables[200] for lines in tables.values())
    assert not any("…" in line or "left out" in line for line in _unfolded(shown[command, 200]))


def _headings(screen: Screen) -> list[str]:
    (line,) = (line for line in screen.lines if line.startswith("┃"))
    return [heading.strip() for heading in line.split("┃")[1:-1]]


def _unfolded(screen: Screen) -> list[str]:
    """Returns the lines as they were written."""
    lines: list[str] = []
    for number, line in enumerate(screen.lines):
        if number in screen.folded:
            lines[-1] += line
        else:
            lines.append(line)
    return lines


# --- the table itself ---


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [("isolated_cube", 13, "isolated_cube"), ("isolated_cube", 12, "isolat…_cube"), ("一二三四五", 7, "一 … 五")],
)
def test_a_text_is_shortened_in_the_middle(text: str, width: int, short: str) -> None:
    assert shortened(text, width) == short
    assert cell_len(short) <= width


def test_a_table_without_records_has_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    show_records([], {"strategy": Column("strategy"), "seed": Column("seed", rank=1)}, "table")
    assert capsys.readouterr().out == "strategy  seed\n"


def test_without_a_terminal_readers_pay_for_no_lines_and_no_empty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    columns = {
        "strategy": Column("strategy"),
        "note": Column("notes", rank=2),
        "seed": Column("seed", is_number=True, rank=1),
    }
    show_records([{"strategy": "a b", "note": "", "seed": 7}, {"strategy": "c", "seed": 42}], columns, "table")
    assert capsys.readouterr().out == "strategy  seed\na b          7\nc           42\n"
    show_records([{"strategy": "a b", "seed": 7}, {"strategy": "c", "seed": 7}], columns, "table")
    assert capsys.readouterr().out == "all: seed 7\nstrategy\na b\nc\n"
    show_records([{"strategy": "a b", "seed": 7}, {"strategy": "c", "seed": 7}], columns, "table", wide=True)
    assert capsys.readouterr().out == "strategy  notes  seed\na b       —         7\nc         —         7\n"
    posing = [{"strategy": name, "note": "x, accuracy 1.0", "seed": 7} for name in ("mine  1.000", "other")]
    show_records(posing, columns, "table")
    assert capsys.readouterr().out == (
        "all: seed 7\nstrategy    notes\nmine 1.000  x, accuracy 1.0\nother       x, accuracy 1.0\n"
    )
    show_records([{"strategy": "a b", "seed": 7}], columns, "table")
    assert capsys.readouterr().out == "strategy  seed\na b          7\n"


def test_numbers_are_never_shortened() -> None:
    columns = {"strategy": Column("strategy"), "accuracy": Column("accuracy", is_number=True)}
    (line,) = (
        line
        for line in lines(FittedTable([{"strategy": "a" * 50, "accuracy": "0.123456"}], columns), 30)
        if "0." in line
    )
    assert line == f"│ {'a' * 7}…{'a' * 7} │ 0.123456 │"


def test_a_long_note_is_shown_in_part() -> None:
    columns = {"id": Column("id", is_number=True), "notes": Column("notes", rank=1), "seed": Column("seed", rank=2)}
    table = FittedTable([{"id": 1, "notes": "n" * 50 + "m" * 50, "seed": 42}], columns)
    assert "│  1 │ nnnnnnnnnn…mmmmmmmmm │ 42   │" in lines(table, 60)
    assert any("n" * 50 + "m" * 50 in line for line in lines(table, 130))
    assert "left out: notes (--wide shows all)" in " ".join(" ".join(lines(table, 24)).split())


def test_a_table_without_texts_is_shown() -> None:
    table = FittedTable([{"a": "0.123456"}], {"a": Column("a", is_number=True)})
    assert "│ 0.123456 │" in lines(table, 60)
    assert all(len(line) <= 8 for line in lines(table, 8))


def lines(table: FittedTable, width: int) -> list[str]:
    """Returns the lines of a table in a width."""
    console = PlainConsole(width=width, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    return captured.get().split("\n")
