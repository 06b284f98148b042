"""Two files of one benchmark set against each other."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare, machine


def rates(native: list[float], oracle: list[float], processor: str = "one") -> dict[str, Any]:
    case = {"rows": "uniform", "num_runs": 100, "run_steps_per_second": {"native": native, "oracle": oracle}}
    return {"machine": {"processor": processor, "cores": 2}, "repeats": 3, "measured": [case]}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setenv("COLUMNS", "120")
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(rates([100.0, 110.0, 105.0], [4.0, 5.0, 6.0])))
    new.write_text(json.dumps(rates([120.0, 126.0, 130.0], [5.0, 6.0, 4.5], "another")))
    return [old, new]


def test_medians_and_whether_all_measurements_differ(files: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    compare.main(*files)
    lines = capsys.readouterr().out.splitlines()
    (native,) = (line for line in lines if "native" in line)
    assert [cell.strip() for cell in native.split("│")[2:6]] == ["105", "126", "1.200", "yes"]
    (oracle,) = (line for line in lines if "oracle" in line)
    assert [cell.strip() for cell in oracle.split("│")[2:6]] == ["5", "5", "1.000", "no"]
    assert "processor: one, then another" in lines
    assert not any("repeats" in line or "cores" in line for line in lines)


def test_small_differences_and_other_figures_are_left_out(
    files: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    compare.main(*files, least=0.1)
    assert "oracle" not in capsys.readouterr().out
    compare.main(*files, only="oracle")
    assert "native" not in capsys.readouterr().out
    with pytest.raises(SystemExit, match="have no figure in common with 'cuda' in its place"):
        compare.main(*files, only="cuda")


def test_entries_that_no_name_tells_apart_are_numbered() -> None:
    content = {"kernels": [{"blocks": 1, "seconds": 1.0}, {"blocks": 2, "seconds": 9.0}]}
    assert {place: figure.median for place, figure in compare.figures(content)} == {
        ("kernels", "#0", "seconds"): 1.0,
        ("kernels", "#1", "seconds"): 9.0,
    }


def test_every_committed_figure_has_a_place_of_its_own() -> None:
    paths = sorted(machine.RESULTS.glob("*.json"))
    assert len(paths) > 20
    for path in paths:
        found = [place for place, _ in compare.figures(json.loads(path.read_text()))]
        assert len(found) == len(set(found)), path
        assert found or path.name in ("gpu_versions.json", "gpu_sanitizer_cuda.json"), path


@pytest.mark.parametrize("text", ["not json", "[1.0]"])
def test_what_no_benchmark_wrote_is_one_error(text: str, files: list[Path]) -> None:
    files[1].write_text(text)
    with pytest.raises(SystemExit, match=r"new\.json is no JSON that a benchmark wrote: "):
        compare.main(*files)
