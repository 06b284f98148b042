import csv
import io
import json
from typing import Any, get_args

import pytest

from vecparity.cli.output import Column, Format, show_records

RECORDS: list[dict[str, Any]] = [
    {"strategy": "first", "accuracy": 0.5, "more": [1]},
    {"strategy": "second with a name that is a good deal longer than any terminal is wide, and more", "accuracy": None},
]
COLUMNS = {"strategy": Column("strategy"), "accuracy": Column("accuracy", lambda share: f"{share:.3f}", is_number=True)}

Captured = pytest.CaptureFixture[str]


def test_a_table_is_not_cut_where_there_is_no_terminal(capsys: Captured) -> None:
    show_records(RECORDS, COLUMNS, "table", title="Title")
    out = capsys.readouterr().out
    assert out.splitlines()[0].strip() == "Title"
    assert str(RECORDS[1]["strategy"]) in out
    assert "0.500" in out
    assert "—" in out


def test_markdown(capsys: Captured) -> None:
    show_records(RECORDS[:1], COLUMNS, "markdown", title="Title")
    lines = capsys.readouterr().out.splitlines()
    assert [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[::2]] == [
        ["strategy", "accuracy"],
        ["first", "0.500"],
    ]
    assert set(lines[1]) <= set("|-: ")
    assert len(lines) == 3


def test_csv_has_the_values_as_they_are(capsys: Captured) -> None:
    show_records(RECORDS, COLUMNS, "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == {"strategy": "first", "accuracy": "0.5"}
    assert rows[1]["accuracy"] == ""


def test_json_has_everything(capsys: Captured) -> None:
    show_records(RECORDS, COLUMNS, "json")
    assert json.loads(capsys.readouterr().out) == RECORDS


def test_markup_in_names_is_text(capsys: Captured) -> None:
    for format_ in set(get_args(Format)) - {"markdown"}:
        show_records([{"strategy": "[red]x[/red] [/] :smile:"}], COLUMNS, format_)
        assert "[red]x[/red] [/] :smile:" in capsys.readouterr().out


def test_markdown_in_names_is_text(capsys: Captured) -> None:
    show_records([{"strategy": r"a|b <img src=x> [c](d) \e"}], COLUMNS, "markdown")
    assert r"| a\|b \<img src=x\> \[c\](d) \\e " in capsys.readouterr().out
