"""The benchmark of very many runs, on one job."""

import json
from pathlib import Path

import pytest

from benchmarks import many_runs
from vecparity.kernels.cpu import native


@pytest.mark.slow
@pytest.mark.skipif(not native.is_available(), reason="the extension was not built")
def test_all_runs_are_counted(tmp_path: Path) -> None:
    content = json.loads(many_runs.main(jobs=1, num_steps=2, output_dir=tmp_path).read_text())
    assert (content["num_runs"], content["num_steps"]) == (100, 2)
    assert content["runs_per_second"] == pytest.approx(100 / content["seconds"])
    assert 0.05 < content["peak_resident_gigabytes"] < 100
