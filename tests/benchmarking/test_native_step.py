import json
from pathlib import Path

import pytest

from benchmarks import native_step
from vecparity.kernels.cpu import native

pytestmark = pytest.mark.skipif(not native.is_available(), reason="the extension was not built")


def test_it_measures_every_case_and_compares_with_what_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = native_step.main(num_steps=3, repeats=1, output_dir=tmp_path)
    assert path is not None
    content = json.loads(path.read_text())
    assert list(content["cases"]) == [case.name for case in native_step.CASES]
    for case in content["cases"].values():
        assert case["steps_per_gigaflop"] == pytest.approx(
            1e9 * case["steps_per_second"] / content["multiply_add_flops"]
        )
    for case in content["cases"].values():
        case["steps_per_gigaflop"] /= 1e6
    path.write_text(json.dumps(content))
    assert native_step.main(num_steps=3, repeats=1, against=path) is None
    assert "no case is slower" in capsys.readouterr().out
    content["cases"]["uniform N=64"]["steps_per_gigaflop"] *= 1e12
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match=r"^uniform N=64: \d+ steps per gigaflop, \d+ before$"):
        native_step.main(num_steps=3, repeats=1, against=path)


def test_an_old_kernel_is_measured_in_turn(tmp_path: Path) -> None:
    """The installed extension stands for it, whose number of threads per run is optional."""
    extension = native.extension()

    class Old:
        advance = staticmethod(lambda *given: extension.advance(*given[:-1], level=given[-1]))

    measured = native_step.measure(3, 2, Old)  # type: ignore[arg-type]
    for case in measured["cases"].values():
        assert case["old_over_new"] == pytest.approx(case["old_microseconds_per_step"] / case["microseconds_per_step"])


def test_an_old_kernel_needs_a_name() -> None:
    with pytest.raises(SystemExit, match="--old and --old-commit belong together"):
        native_step.main(old=Path("old.so"))
