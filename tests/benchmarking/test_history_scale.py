"""The benchmark of large histories, on a small one."""

import json
from pathlib import Path

from benchmarks import history_scale
from vecparity import leaderboard
from vecparity.history.store import History


def test_the_history_is_a_leaderboards(tmp_path: Path) -> None:
    path = tmp_path / "history"
    history_scale.fill(path, 700)
    with History(path) as history:
        assert history.check() == 700
        standings = leaderboard(history.summaries())
    assert len(standings) == 200
    assert {len(standing.configurations) for standing in standings} == {3}
    assert [standing.rank for standing in standings][:1] == [1]


def test_all_commands_are_measured(tmp_path: Path) -> None:
    written = history_scale.main(count=30, repeats=1, output=tmp_path)
    content = json.loads(written.read_text())
    assert (content["evaluations"], content["version"]) == (30, 3)
    assert [each["command"] for each in content["measured"]] == list(history_scale.COMMANDS)
    assert all(each["seconds"] > 0 for each in content["measured"])
