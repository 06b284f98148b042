"""What the README shows works, and its figures are those of the results beside it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import readme

TEXT = readme.README.read_text()


@pytest.mark.slow
def test_the_walk_through_leads_to_a_better_strategy(tmp_path: Path) -> None:
    """Every command of it, as written, in an empty directory and with an empty history."""
    walk_through = TEXT.partition("<!-- walk-through -->")[2].partition("<!-- end -->")[0]
    blocks = re.findall(r"```bash\n(.*?)```", walk_through, flags=re.DOTALL)
    commands = [line for line in "".join(blocks).splitlines() if line.startswith("vecparity ")]
    assert {command.split()[1] for command in commands} >= {"new", "check", "eval", "compare", "report"}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    said = []
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=os.environ | {"PATH": path, "XDG_DATA_HOME": str(tmp_path / "data")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    begun, improved, shown = said
    (share,) = re.findall(r"FINAL_METRICS test_accuracy=(\S+) ", begun)
    assert float(share) < 0.6, "the strategy to start from is to leave something to do"
    assert "better against mine: accuracy higher" in improved
    assert "fewer steps" in improved
    history, _, leaderboard = shown.partition("report.html: ")
    assert history.index("better") < history.index("mine")
    assert leaderboard.index("better") < leaderboard.index("mine") < leaderboard.index("one_pass")
    (figures,) = re.findall(
        r'<script type="application/json"[^>]*>(.*?)</script>', (tmp_path / "report.html").read_text(), re.DOTALL
    )
    (reported,) = json.loads(figures)
    assert reported["provenance"]["strategy"] == "better"
    assert reported["metrics"]["test_accuracy"] > 0.99

    assert 'vecparity.evaluate("better.py"' in TEXT
    (python,) = re.findall(r"```python\n(import vecparity\n.*?)```", TEXT, flags=re.DOTALL)
    environment = os.environ | {"XDG_DATA_HOME": str(tmp_path / "data")}
    subprocess.run([sys.executable, "-c", python], cwd=tmp_path, env=environment, check=True, timeout=300)


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
