"""README and guide: commands work as written, figures match the results, links have targets."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest

from benchmarks import tables
from vecparity.cli.commands import guide
from vecparity.cli.main import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES: tuple[guide.Page, ...] = get_args(guide.Page)
MOST_WORDS = 600


@dataclass(frozen=True)
class Shell:
    """Runs what a page shows, in an empty directory and with an empty history."""

    directory: Path

    def run(self, command: list[str]) -> str:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "XDG_DATA_HOME": str(self.directory / "data")}
        done = subprocess.run(command, cwd=self.directory, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run_blocks(self, text: str) -> list[str]:
        """Runs all that is in Bash or Python, each Python block behind the ones before it; returns what is printed."""
        said, python = [], ""
        for language, block in re.findall(r"```(\w+)\n(.*?)```", text, flags=re.DOTALL):
            if language == "bash":
                said.append(self.run(["bash", "-euo", "pipefail", "-c", block]))
            else:
                assert language == "python"
                python += block
        if python:
            said.append(self.run([sys.executable, "-c", python]))
        return said


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


@pytest.mark.slow
def test_the_readmes_walk_through(shell: Shell) -> None:
    walk_through = README.partition("<!-- walk-through -->")[2].partition("## Why")[0]
    assert "isolated_cube against mine: accuracy higher" in shell.run_blocks(walk_through)[0]
    assert embedded(shell.directory / "report.html") == ["mine", "isolated_cube"]


@pytest.mark.slow
def test_the_tutorial_leads_to_a_better_strategy(shell: Shell) -> None:
    begun, improved, shown = shell.run_blocks(guide.read("tutorial"))
    (share,) = re.findall(r"FINAL_METRICS test_accuracy=(\S+) ", begun)
    assert 0.4 < float(share) < 0.6, "the strategy to start from is to leave something to do"
    assert "better against mine: accuracy higher" in improved
    assert "fewer steps" in improved
    history, _, leaderboard = shown.partition("report.html: ")
    assert history.index("better") < history.index("mine")
    assert leaderboard.index("better") < leaderboard.index("mine") < leaderboard.index("one_pass")
    assert embedded(shell.directory / "report.html") == ["mine", "better"]


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page != "tutorial"])
def test_everything_else_that_is_shown_works(page: guide.Page, shell: Shell, request: pytest.FixtureRequest) -> None:
    if "--seal" in guide.read(page):
        request.getfixturevalue("can_seal")
    if page == "search":
        pytest.importorskip("optuna", reason="needs pip install 'vecparity[search]'")
    shell.run_blocks(guide.read(page))


def embedded(report: Path) -> list[str]:
    """The strategies in a report, by the figures behind its pictures."""
    (figures,) = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', report.read_text(), re.DOTALL)
    return [evaluation["provenance"]["strategy"] for evaluation in json.loads(figures)]


def test_the_readme_is_short() -> None:
    shown = re.sub(r"<!--.*?-->", "", README)
    assert len(shown.split()) < MOST_WORDS


@pytest.mark.parametrize("path", tables.PAGES, ids=lambda path: path.name)
def test_figures_are_the_results(path: Path) -> None:
    text = path.read_text()
    assert re.search("(table|sentence) -->", text)
    assert tables.render(text) == text


def test_a_changed_figure_is_seen() -> None:
    changed = README.replace("| N=32, K=8 | 100 | 1.000 |", "| N=32, K=8 | 100 | 0.999 |")
    assert changed != README
    assert tables.render(changed) != changed


def test_the_two_commands_stand_where_they_are_looked_for() -> None:
    block = README.partition("<!-- two commands -->")[2].partition("<!-- end -->")[0]
    assert [line for line in block.splitlines() if line.startswith("pip ")] == [
        "pip install -e . && python -m vecparity.eval --all-configs",
        "pip install -e '.[test]' && pytest",
    ]


def test_links_lead_somewhere_and_to_every_page() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert all((ROOT / link).is_file() for link in links), links
    assert {f"vecparity/guide/{page}.md" for page in PAGES} <= set(links)


def test_every_page_is_listed_and_the_other_way_round() -> None:
    assert {path.stem for path in (ROOT / "vecparity" / "guide").glob("*.md")} == set(PAGES)
    named = re.findall(r"`vecparity guide ([a-z]+)`", "".join(map(guide.read, PAGES)))
    assert set(named) <= set(PAGES)


def test_the_command_lists_the_pages_and_prints_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["guide"]) == 0
    listed = capsys.readouterr().out
    assert all(f"vecparity guide {page}" in listed and guide.title(page) in listed for page in PAGES)
    assert main(["guide", "trust"]) == 0
    assert capsys.readouterr().out == guide.read("trust")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["guide", "trust"]) == 0
    rendered = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "Scores that can be trusted" in rendered
    assert "**" not in rendered and "|" not in rendered
    assert all(len(line) <= 80 for line in rendered.splitlines())


def test_the_page_for_agents_costs_them_little() -> None:
    assert len(guide.read("agents")) < 1_500


def test_a_page_that_there_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guide", "trsut"]) == 2
    assert "trsut" in capsys.readouterr().err
