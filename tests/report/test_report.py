"""The report's text; `test_html_report` tests the report in a browser."""

import json
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SHORT
from hypothesis import given
from hypothesis import strategies as st

from vecparity import Evaluation, evaluate
from vecparity.cli.commands.report import report
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation import serialization
from vecparity.evaluation.result import ByFeature
from vecparity.report import html, write_report
from vecparity.report.curves import median, thinned
from vecparity.report.embedded import embedded
from vecparity.report.feature_tables import weight_rows
from vecparity.report.page import medians
from vecparity.report.series import tell_apart
from vecparity.report.words import layer_sentence
from vecparity.task.seeds import new_key
from vecparity.training.curve import Curve


def changed(evaluation: Evaluation, **provenance: Any) -> Evaluation:
    return replace(evaluation, provenance=replace(evaluation.provenance, **provenance))


def ids(text: str) -> Counter[str]:
    return Counter(re.findall(r'\sid="([^"]*)"', text))


def test_pictures_take_the_pages_colours_and_are_told_apart(evaluation: Evaluation, diverged: Evaluation) -> None:
    text = html([evaluation, diverged])
    assert not re.search("#fe0[0-9a-f]{3}", text), "a colour that stands for the page's is left"
    assert {"currentColor", "var(--series-0)", "var(--series-1)"} <= set(
        re.findall(r"currentColor|var\(--series-\d\)", text)
    )
    assert max(ids(text).values()) == 1
    assert set(re.findall(r"url\(#([^)]*)\)|href=\"#([^\"]*)\"", text)) <= {
        pair for name in ids(text) for pair in ((name, ""), ("", name))
    }


def test_many_runs_are_told_by_their_secrets_means(evaluation: Evaluation) -> None:
    first, _, last, _ = evaluation.first_layers
    many = replace(evaluation, first_layers=[first, *(replace(last, order_index=ordering) for ordering in range(30))])
    rows = weight_rows(many)
    assert [row.name for row in rows] == ["0", "1"]
    assert [row.secret for row in rows] == [data.secret for data in evaluation.datasets]
    assert rows[0].values == first.mean_abs_weight.each
    assert rows[1].values == pytest.approx(last.mean_abs_weight.each)
    assert [row.name for row in weight_rows(evaluation)] == ["0/0", "0/1", "1/0", "1/1"]


@pytest.mark.parametrize(
    ("secret", "others", "sentence"),
    [
        (3.1, 0.002, "3.1 on the secret's features, 0.002 on the others: 1,550 times as much"),
        (0.5, 0.5001, "0.5 on the secret's features, 0.5001 on the others: about as much"),
        (0.25, 0.5, "0.25 on the secret's features, 0.5 on the others: 0.5 times as much"),
        (0.5, 0.0, "0.5 on the secret's features, none on the others"),
        (0.0, 0.5, "none on the secret's features, 0.5 on the others"),
        (
            1e-7,
            12_345.6,
            "less than 0.0001 on the secret's features, 12,346 on the others: less than 0.0001 times as much",
        ),
    ],
)
def test_first_layers_are_told_in_plain_words(
    evaluation: Evaluation, secret: float, others: float, sentence: str
) -> None:
    weight = ByFeature(secret, others, None)
    layers = [replace(layer, mean_abs_weight=weight) for layer in evaluation.first_layers]
    assert layer_sentence(replace(evaluation, first_layers=layers)) == sentence


def test_drawing_leaves_no_trace_and_takes_no_style(evaluation: Evaluation) -> None:
    import matplotlib

    had_pyplot = "matplotlib.pyplot" in sys.modules
    with matplotlib.rc_context({"lines.linewidth": 7.5, "svg.fonttype": "path"}):
        before = matplotlib.rcParams.copy()
        text = html([evaluation])
        assert matplotlib.rcParams.copy() == before
    assert text == html([evaluation]), "the caller's style has changed the report"
    assert ("matplotlib.pyplot" in sys.modules) == had_pyplot


def test_runs_without_windows_and_features_of_the_secret_only() -> None:
    one = evaluate("isolated_cube", **SHORT | {"max_steps": 0, "num_hidden_secrets": 1, "num_orderings": 1})
    text = html([one])
    assert "There are no windows to draw: no run has trained" in text
    assert "<svg" in text.partition("Where runs ended")[2]
    all_secret = evaluate("isolated_cube", n_features=3, secret_size=3, **SHORT | {"num_hidden_secrets": 1})
    assert "features; there are no others" in html([all_secret])


def test_one_without_curves_stands_beside_one_that_has_them(evaluation: Evaluation) -> None:
    pruned = [replace(run, curve=Curve([], [], [])) for run in evaluation.curves]
    text = html([evaluation, changed(replace(evaluation, curves=pruned), strategy="pruned")])
    assert "<figcaption>Training loss</figcaption><svg" in text
    assert "pruned, secret 1, ordering 1: accuracy" in text
    assert "pruned, secret 1, ordering 1: loss" not in text


@pytest.mark.usefixtures("can_seal")
def test_a_sealed_evaluation_tells_no_feature() -> None:
    sealed = evaluate("isolated_cube", seal_key=new_key(), **SHORT)
    text = html([sealed])
    assert "Sealed secrets are not told" in text
    assert "density of every feature" not in text
    assert "every run and feature" not in text
    assert "published" not in text and "full, sealed" in text
    assert str(sealed.provenance.seal) in text


def test_differences_of_settings_are_said(evaluation: Evaluation) -> None:
    wider = evaluate("isolated_cube", **SHORT | {"hidden_width": 40})
    text = html([evaluation, wider])
    assert (
        "Not the same settings: hidden_width isolated_cube (hidden_width 32) 32, isolated_cube (hidden_width 40) 40</p>"
        in text
    )
    assert text.count("Not the same settings") == 1
    assert "Not the same settings" not in html([evaluation, evaluation])


def test_names_are_a_strategys_own_over_configurations(evaluation: Evaluation) -> None:
    other = replace(evaluation, config=replace(evaluation.config, n_features=50))
    renamed = changed(evaluation, strategy="second")
    series = tell_apart([evaluation, other, renamed])
    assert [one.name for one in series] == ["isolated_cube", "isolated_cube", "second"]
    assert [one.number for one in series] == [0, 0, 1]
    many = tell_apart([changed(evaluation, strategy=f"strategy {number}") for number in range(48)])
    assert len({one.number for one in many[:12]}) == 12
    assert len({(one.number, one.style) for one in many}) == 48


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"seed": 7}, ["isolated_cube, seed 42", "isolated_cube, seed 7"]),
        ({"strategy_sha256": "0" * 64}, ["isolated_cube ({sha})", "isolated_cube (00000000)"]),
        ({"seal": "ab" * 32}, ["isolated_cube (public)", "isolated_cube (sealed abababab)"]),
        ({}, ["isolated_cube (evaluation 1)", "isolated_cube (evaluation 2)"]),
    ],
)
def test_evaluations_of_one_name_are_told_apart_by_what_differs(
    evaluation: Evaluation, change: dict[str, Any], names: list[str]
) -> None:
    sha = evaluation.provenance.strategy_sha256[:8]
    series = tell_apart([evaluation, changed(evaluation, **change)])
    assert [one.name for one in series] == [name.format(sha=sha) for name in names]
    assert [one.strategy for one in series] == (
        ["isolated_cube"] * 2 if "seed" in change else [one.name for one in series]
    )


def test_long_names_are_shortened_in_the_middle_and_stay_distinct(evaluation: Evaluation) -> None:
    long = [f"a_strategy_{middle}_with_a_long_name" for middle in ("first", "other", "again")]
    series = tell_apart([changed(evaluation, strategy=name) for name in long])
    assert [one.name for one in series] == long
    assert [one.short for one in series] == [
        "a_strategy_f…a_long_name",
        "a_strategy_o…a_long_name",
        "a_strategy_a…a_long_name",
    ]
    alike = tell_apart([changed(evaluation, strategy=f"a_strategy_whose_{middle}_is_long_name") for middle in "ab"])
    assert [one.short for one in alike] == ["a_strategy_w…s_long_name", "a_strategy_w…s_long_name (2)"]
    text = html([one.evaluation for one in series])
    assert f'<span title="{long[0]}">a_strategy_f…a_long_name</span>' in text


def test_params_are_told(evaluation: Evaluation) -> None:
    slow, fast = (
        replace(evaluation, provenance=replace(evaluation.provenance, params={"lr": lr, "name": "<b>"}))
        for lr in (0.01, 0.02)
    )
    text = html([slow, fast])
    assert "isolated_cube lr=0.01 name=&lt;b&gt;" in text
    assert "<td>lr=0.02 name=&lt;b&gt;</td>" in text
    assert "--param lr=0.02 --param &#39;name=&lt;b&gt;&#39;" in text


def test_the_origin_is_told_unless_it_is_a_file(evaluation: Evaluation) -> None:
    digest = f"<code>{evaluation.provenance.strategy_sha256}</code>"
    assert f"{digest}</td>" in html([evaluation])
    text = html([replace(evaluation, provenance=replace(evaluation.provenance, origin="functions"))])
    assert f"{digest}, made of functions</td>" in text


def test_the_data_within_is_rounded_and_its_figures_are_not(evaluation: Evaluation) -> None:
    third = [replace(run, test_accuracy=1 / 3) for run in evaluation.results]
    (content,) = json.loads(embedded([replace(evaluation, results=third)]))
    read = serialization.from_document(content, "the page")
    assert read.results == third
    assert read.metrics.test_accuracy == 1 / 3
    for ours, theirs in zip(read.curves, evaluation.curves, strict=True):
        assert ours.curve.loss == [round(value, 6) for value in theirs.curve.loss]
    for layer, expected in zip(read.first_layers, evaluation.first_layers, strict=True):
        assert expected.mean_abs_weight.each is not None
        assert layer.mean_abs_weight.each == [round(value, 6) for value in expected.mean_abs_weight.each]


@pytest.mark.slow
def test_that_colours_repeat_is_said(evaluation: Evaluation) -> None:
    many = [changed(evaluation, seed=seed) for seed in range(13)]
    assert "There are more evaluations than colours" in html(many)
    assert "There are more evaluations than colours" not in html(many[:12])


def test_medians_are_over_live_runs(evaluation: Evaluation) -> None:
    curves = [Curve([1, 20], [0.5, 0.1], [0.5, 0.9]), Curve([1], [0.7], [0.6]), Curve([1, 20], [0.6, 0.3], [0.4, 0.7])]
    runs = [replace(run, curve=curve) for run, curve in zip(evaluation.curves[:3], curves, strict=True)]
    middle = median(replace(evaluation, curves=runs))
    assert (middle.step, middle.live) == ([1, 20], [3, 2])
    assert middle.loss == pytest.approx([0.6, 0.2])
    assert middle.accuracy == pytest.approx([0.5, 0.8])


@pytest.mark.parametrize(("count", "stride"), [(1, 1), (60, 1), (61, 2), (120, 2), (121, 3), (130, 3)])
def test_the_table_of_medians_leaves_out_evenly(evaluation: Evaluation, count: int, stride: int) -> None:
    steps = [250 * (window + 1) for window in range(count)]
    curve = Curve(steps, [0.1 * (window % 7) for window in range(count)], [0.5] * count)
    rows, every = medians(replace(evaluation, curves=[replace(evaluation.curves[0], curve=curve)]))
    assert every == stride
    assert [row[0] for row in rows] == sorted({*steps[::stride], steps[-1]})


@given(values=st.lists(st.floats(0, 1), max_size=300), most=st.integers(2, 40))
def test_thinned_curves_keep_their_ends_and_extremes(values: list[float], most: int) -> None:
    points = thinned(values, most)
    assert points == sorted(set(points))
    assert len(points) <= most + 2
    if values:
        drawn = np.array(values)[points]
        assert (points[0], points[-1]) == (0, len(values) - 1)
        assert (drawn.min(), drawn.max()) == (min(values), max(values))


def test_wrong_use_is_refused(evaluation: Evaluation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="at least one evaluation, got none"):
        write_report([], tmp_path / "report.html")
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match=r"could not be written to .*report\.html: Not a directory$"):
        write_report(evaluation, tmp_path / "file" / "report.html")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"need Matplotlib, which is not installed: pip install 'vecparity\[report\]'"):
        write_report([evaluation], tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_command(evaluation: Evaluation, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serialization.save(evaluation, tmp_path / "result.json")
    output = tmp_path / "[bold]report.html"
    assert report(str(tmp_path / "result.json"), output=output) == 0
    size = output.stat().st_size
    assert capsys.readouterr().out == f"{output}: 1 evaluation, {size / 1e3:,.0f} kB\n"
    assert output.read_text() == html([serialization.load(tmp_path / "result.json")])
    with pytest.raises(UsageError, match="no evaluations are recorded yet"):
        report(output=output, history=tmp_path / "history.sqlite")
