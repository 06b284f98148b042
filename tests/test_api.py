"""The names of the package `vecparity` itself: lazy loading, and evaluations with all their methods."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import vecparity
from vecparity import Evaluation


def test_every_public_name_is_there() -> None:
    assert all(getattr(vecparity, name) is not None for name in vecparity.__all__)
    assert set(vecparity.__all__) <= set(dir(vecparity))
    with pytest.raises(AttributeError, match="no attribute 'evaluation_of'"):
        vecparity.evaluation_of  # noqa: B018


ATTACHED = "assert Evaluation.to_dataframe and Evaluation._repr_html_"


@pytest.mark.parametrize(
    "code",
    [
        f"from vecparity import Evaluation; {ATTACHED}",
        f"import vecparity; vecparity.History; from vecparity.evaluation.result import Evaluation; {ATTACHED}",
        f"import pickle; Evaluation = type(pickle.load(open('pickled', 'rb'))); {ATTACHED}",
    ],
    ids=["by its name", "from a history", "pickled"],
)
def test_whoever_has_an_evaluation_can_show_it(evaluation: Evaluation, tmp_path: Path, code: str) -> None:
    (tmp_path / "pickled").write_bytes(pickle.dumps(evaluation))
    subprocess.run([sys.executable, "-W", "ignore::ResourceWarning", "-c", code], cwd=tmp_path, check=True)
