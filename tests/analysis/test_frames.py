import sys
from dataclasses import replace

import pandas as pd
import pytest

from vecparity import Evaluation
from vecparity.analysis.frames import What
from vecparity.errors import UsageError
from vecparity.evaluation.params import Params


def test_runs(evaluation: Evaluation) -> None:
    frame = evaluation.to_dataframe()
    assert frame["test_accuracy"].tolist() == [run.test_accuracy for run in evaluation.results]
    assert frame["steps"].tolist() == [run.steps for run in evaluation.results]
    assert frame["weight_secret"].tolist() == [layer.mean_abs_weight.secret for layer in evaluation.first_layers]
    assert frame["weight_others"].tolist() == [layer.mean_abs_weight.others for layer in evaluation.first_layers]
    assert frame["test_accuracy"].mean() == pytest.approx(evaluation.metrics.test_accuracy)
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert types.pop("strategy") == types.pop("configuration") == str(pd.Series(["text"]).dtype)
    assert types == {
        "seed": "int64",
        "secret_index": "int64",
        "order_index": "int64",
        "steps": "int64",
        "test_accuracy": "float64",
        "diverged": "bool",
        "weight_secret": "float64",
        "weight_others": "float64",
    }
    assert frame[["strategy", "seed", "configuration"]].drop_duplicates().to_numpy().tolist() == [
        ["isolated_cube", 42, "n32-k8"]
    ]


def test_a_diverged_run_is_a_row_without_accuracy(diverged: Evaluation) -> None:
    frame = diverged.to_dataframe()
    assert frame[["secret_index", "order_index"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert frame["diverged"].tolist() == [False, True, False, False]
    assert frame["test_accuracy"].isna().tolist() == frame["diverged"].tolist()
    assert frame["steps"].tolist() == [30, 2, 30, 30]


def test_curves(diverged: Evaluation) -> None:
    frame = diverged.to_dataframe("curves")
    assert len(frame) == sum(len(run.curve.step) for run in diverged.curves)
    for run in diverged.curves:
        of_run = frame[(frame["secret_index"] == run.secret_index) & (frame["order_index"] == run.order_index)]
        assert of_run["step"].tolist() == run.curve.step
        assert of_run["loss"].tolist() == run.curve.loss
        assert of_run["accuracy"].tolist() == run.curve.accuracy
    assert [str(frame[name].dtype) for name in ("step", "loss", "accuracy")] == ["int64", "float64", "float64"]


def test_wrong_use_is_refused(evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="what must be one of runs, curves, got 'losses'"):
        evaluation.to_dataframe("losses")  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"needs pandas, which is not installed: pip install 'vecparity\[pandas\]'"):
        evaluation.to_dataframe()


@pytest.mark.parametrize("what", ["runs", "curves"])
def test_params_are_columns(evaluation: Evaluation, what: What) -> None:
    params: Params = {"name": "a", "lr": 0.5, "layers": 2, "is_on": True}
    frame = replace(evaluation, provenance=replace(evaluation.provenance, params=params)).to_dataframe(what)
    plain = evaluation.to_dataframe(what)
    columns = ["param_is_on", "param_layers", "param_lr", "param_name"]
    assert list(frame.columns) == [*plain.columns[:3], *columns, *plain.columns[3:]]
    assert frame[columns].drop_duplicates().to_numpy().tolist() == [[True, 2, 0.5, "a"]]
    assert frame.drop(columns=columns).equals(plain)
