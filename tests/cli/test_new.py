"""The command ``vecparity new``."""

import resource
from pathlib import Path

import pytest
from conftest import SHORT
from in_process import InThisProcess

import vecparity
from vecparity.cli.main import main
from vecparity.inspection import checking
from vecparity.strategy.source import bundled, load

IDEAS = (
    "    #   others = [feature for feature in range(config.n_features) if feature not in secret]",
    "    #   x[:, others] *= torch.randint(0, 8, (len(x), len(others)), generator=generator) == 0",
)


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    assert main(["new", str(path)]) == 0
    return path


def test_the_next_command_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my [bold]idea.py"
    assert main(["new", str(path)]) == 0
    assert capsys.readouterr() == (f"wrote {path}; next:\n  vecparity check '{path}'\n", "")


def test_the_starter_is_no_bundled_strategy(starter: Path) -> None:
    assert "starter" not in bundled()
    assert not load(starter).is_bundled


def test_the_starter_works_as_it_is(starter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert vecparity.evaluate(starter, audit="off", **SHORT).metrics.num_runs == 4
    monkeypatch.setattr(checking, "Sandbox", InThisProcess)
    check = vecparity.check(starter)
    assert check.warnings == []
    assert check.datasets[0].parity_rate == 1


def test_the_starters_first_idea_works_too(starter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "Sandbox", InThisProcess)
    source = starter.read_text()
    for idea in IDEAS:
        assert idea in source
        source = source.replace(idea, idea.replace("#   ", ""))
    starter.write_text(source)
    check = vecparity.check(starter)
    assert check.warnings == []
    assert check.datasets[0].distinct_rows < 20_000


def test_a_bundled_strategy_is_copied_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    assert main(["new", str(path), "--from", "isolated_cube"]) == 0
    assert load(path).sha256 == load("isolated_cube").sha256


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.py"
    path.write_text("mine")
    dangling = tmp_path / "link.py"
    dangling.symlink_to(tmp_path / "elsewhere.py")
    directory = tmp_path / "directory.py"
    directory.mkdir()
    for taken in (path, dangling, directory):
        assert main(["new", str(taken)]) == 2
        assert capsys.readouterr().err == f"vecparity: error: FILE must not exist yet, got {taken}\n"
    assert path.read_text() == "mine"
    assert not (tmp_path / "elsewhere.py").exists()


def test_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", str(tmp_path / "mine.txt")]) == 2
    assert "FILE must be a name that ends in .py, got" in capsys.readouterr().err
    assert main(["new", str(tmp_path / "mine.py"), "--from", "starter"]) == 2
    assert "--from must be one of clean_noisy_cube, " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "nowhere" / "mine.py"
    assert main(["new", str(path)]) == 6
    assert capsys.readouterr().err == f"vecparity: error: {path} cannot be written: No such file or directory\n"


def test_no_torn_file_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        assert main(["new", str(tmp_path / "mine.py")]) == 6
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "mine.py cannot be written: File too large" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
