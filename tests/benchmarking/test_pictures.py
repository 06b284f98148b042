"""The README's pictures show what was measured."""

import re
from pathlib import Path

from benchmarks import recording, speed_picture


def texts(picture: Path) -> str:
    return " ".join(re.findall(r">([^<>]+)<", picture.read_text()))


def test_the_picture_of_the_speed_has_the_committed_figures() -> None:
    shown = texts(speed_picture.PICTURE)
    found = speed_picture.panels()
    assert [name in shown for name in found] == [True, True]
    assert {bar.label for bars in found.values() for bar in bars if bar.is_ours} == {
        "vecparity, native",
        "vecparity, cuda",
    }
    for bar in (bar for bars in found.values() for bar in bars):
        assert bar.text in shown and bar.label in shown, bar


def test_the_recording_shows_three_configurations() -> None:
    shown = texts(recording.PICTURE).replace("&#160;", " ")
    for words in (
        "$ vecparity eval isolated_cube --all-configs",
        "n32-k8",
        "done",
        "n64-k8",
        "training",
        "run-steps/s",
    ):
        assert words in shown, words
