import hashlib
import os
from pathlib import Path

import pytest

from vecparity.errors import UsageError
from vecparity.strategy import source


def test_the_eight_bundled_strategies() -> None:
    assert source.bundled() == [
        "clean_noisy_cube",
        "default_4096",
        "isolated_cube",
        "isolated_cube_1",
        "multi_epoch",
        "no_weight_decay",
        "one_pass",
        "random_rows",
    ]


def test_a_strategy_is_its_files_bytes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_bytes(b"print('never executed here')\r\n")
    loaded = source.load(path)
    assert (loaded.name, loaded.path, loaded.source) == ("mine", str(path), path.read_bytes())
    assert loaded.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_such_strategy(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"one of clean_noisy_cube, .*, got 'nowhere\.py': No such file"):
        source.load("nowhere.py")
    with pytest.raises(UsageError, match="Is a directory"):
        source.load(tmp_path)


def test_what_never_ends_is_no_strategy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    for path in (tmp_path / "pipe.py", Path("/dev/zero")):
        with pytest.raises(UsageError, match=f"strategy must be a Python file or .*, got '{path}': Not a regular file"):
            source.load(path)
    monkeypatch.setattr(source, "_MOST_BYTES", 3 << 20)
    large = tmp_path / "large.py"
    large.write_bytes(bytes(3 << 20))
    assert len(source.load(large).source) == 3 << 20
    large.write_bytes(bytes((3 << 20) + 1))
    with pytest.raises(UsageError, match=f"strategy must be a Python file or .*, got '{large}': Larger than 3 MiB"):
        source.load(large)


@pytest.mark.parametrize("name", ["\x1b[31mred.py", "two\nlines.py", os.fsdecode(b"\xff.py")])
def test_a_name_that_cannot_be_printed_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="strategy must be a file whose name can be printed, got ") as raised:
        source.load(tmp_path / name)
    assert str(raised.value).isprintable()


def test_files_of_one_name_are_named_after_as_many_directories_as_tell_them_apart(tmp_path: Path) -> None:
    for place in ("a/lab/mine", "b/lab/mine", "b/other"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{place}.py").write_text(place)
    (tmp_path / "b" / "other.txt").write_text("another suffix")
    (tmp_path / "link.py").symlink_to(tmp_path / "b" / "other.py")
    files = ["a/lab/mine.py", "b/lab/mine.py", "b/other.py", "b/other.txt"]
    loaded = source.load_all([tmp_path / file for file in files])
    assert [strategy.name for strategy in loaded] == ["a-lab-mine", "b-lab-mine", "other.py", "other.txt"]
    assert [strategy.name for strategy in source.load_all([tmp_path / "link.py", "multi_epoch"])] == [
        "link",
        "multi_epoch",
    ]
    twice = [tmp_path / "link.py", tmp_path / "b" / "other.py"]
    with pytest.raises(UsageError, match=r"each strategy once, got .*other\.py' twice"):
        source.load_all(twice)
    assert [strategy.name for strategy in source.load_all(twice, each_once=False)] == ["link", "other"]
