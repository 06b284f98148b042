"""Strategies' sources in a report."""

import hashlib
import html as entities
import re
from pathlib import Path

from made import changed, made

from vecparity import Evaluation
from vecparity.cli.commands.report import report
from vecparity.history.store import History
from vecparity.report import html
from vecparity.strategy.source import Strategy, load

ENDS = [[(1750, 1.0)]] * 3


def of_source(source: bytes, name: str = "mine") -> Evaluation:
    return changed(made(name, ENDS), strategy_sha256=hashlib.sha256(source).hexdigest())


def shown(text: str) -> list[str]:
    """The sources on the page, as a reader sees them."""
    found = re.findall(r'<details class="source">.*?<pre>(.*?)</pre>', text, re.DOTALL)
    return [entities.unescape(source) for source in found]


def test_a_bundled_strategys_source_is_shown_folded(evaluation: Evaluation) -> None:
    text = html([evaluation])
    assert shown(text) == [load("isolated_cube").source.decode()]
    assert not re.search(r'<details class="source"[^>]*\bopen\b', text)


def test_a_known_source_is_shown_as_text(evaluation: Evaluation) -> None:
    source = "# </pre><script>alert(1)</script>\n\tx = 'a\u202eb'\n".encode()
    text = html([of_source(source), evaluation], [source, b"of no evaluation"])
    escaped = "# </pre><script>alert(1)</script>\n    x = 'a\\u202eb'\n"
    assert shown(text) == [escaped, load("isolated_cube").source.decode()]
    assert "<script>alert" not in text
    assert "of no evaluation" not in text


def test_what_is_not_known_is_said() -> None:
    text = html([of_source(b"elsewhere")])
    assert shown(text) == []
    assert "<p>mine: the source is not known here.</p>" in text


def test_strategies_of_one_source_share_it() -> None:
    one = of_source(b"x = 1\n")
    slow, fast = (changed(one, params={"lr": lr}) for lr in (0.1, 0.2))
    text = html([slow, fast], [b"x = 1\n"])
    assert shown(text) == ["x = 1\n"]
    assert "<summary>mine lr=0.1; mine lr=0.2: 1 line</summary>" in text


def test_a_long_source_is_cut_off() -> None:
    source = b"x = 1\n" * 100_000
    text = html([of_source(source)], [source])
    (cut,) = shown(text)
    assert len(cut) < 40_010
    assert ("x = 1\n" * 100_000).startswith(cut.rstrip("\n"))
    assert "mine: 100000 lines</summary>" in text
    assert text.count("The rest is left out") == 1


def test_the_command_shows_the_historys_sources(tmp_path: Path) -> None:
    source = b"# mine\n"
    at = tmp_path / "history"
    with History(at, create=True) as history:
        history.add(of_source(source), Strategy("mine", "mine.py", source), "a")
    for words in ((), ("1",)):
        report(*words, output=tmp_path / "report.html", history=at)
        assert shown((tmp_path / "report.html").read_text()) == ["# mine\n"]
