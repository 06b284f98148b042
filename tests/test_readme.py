"""What the README shows works, and its figures are those of the results beside it."""

import re
from pathlib import Path

import pytest
from test_eval import SHORT

from benchmarks import readme
from vecparity.eval import main

TEXT = readme.README.read_text()


def test_the_readmes_strategy_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source,) = re.findall(r"```python\n(# mine\.py\n.*?)```", TEXT, flags=re.DOTALL)
    (tmp_path / "mine.py").write_text(source)
    assert main(["--strategy", str(tmp_path / "mine.py"), *SHORT.split()]) == 0
    assert "FINAL_METRICS" in capsys.readouterr().out


def test_the_readmes_figures_are_the_results() -> None:
    assert readme.render(TEXT) == TEXT


def test_a_changed_figure_is_seen() -> None:
    changed = TEXT.replace("| N=32, K=8 | 100 | 1.000 |", "| N=32, K=8 | 100 | 0.999 |")
    assert changed != TEXT
    assert readme.render(changed) != changed


def test_the_two_commands_stand_where_they_are_looked_for() -> None:
    block = TEXT.partition("<!-- two commands -->")[2].partition("<!-- end -->")[0]
    assert [line for line in block.splitlines() if line.startswith("pip ")] == [
        "pip install -e . && python -m vecparity.eval --all-configs",
        "pip install -e '.[test]' && pytest",
    ]
