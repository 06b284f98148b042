"""The report's pictures: their marks, axes and rows."""

import re
from collections.abc import Iterator
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from conftest import SHORT

from vecparity import Evaluation, evaluate
from vecparity.report import heat_maps, run_pictures, secret_pictures
from vecparity.report.learning_curves import learning_curves
from vecparity.report.series import tell_apart
from vecparity.report.svg import drawing


@pytest.fixture(autouse=True)
def in_the_reports_style() -> Iterator[None]:
    with drawing():
        yield


def texts(picture: str | None) -> list[str]:
    assert picture
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture)


def test_where_runs_stopped_is_drawn_above_the_medians(evaluation: Evaluation, diverged: Evaluation) -> None:
    early = replace(evaluation, config=replace(evaluation.config, max_steps=1000))
    picture = learning_curves(tell_apart([early, diverged]), "loss", "p")
    with_edge = r'style="fill: var\(--series-\d\); stroke: var\(--paper'
    stopped, diverged_at = re.finditer(with_edge, picture)
    assert picture.count("<use", stopped.start(), diverged_at.start()) == 4 + 1
    assert picture[picture.rindex("<", 0, diverged_at.start()) :].startswith("<use")
    assert picture.rindex("stroke-width: 1.9") < stopped.start()


def test_one_run_that_never_trained_has_whole_ticks() -> None:
    settings = SHORT | {"num_hidden_secrets": 1, "num_orderings": 1, "max_steps": 0}
    untrained = evaluate("isolated_cube", **settings)
    assert texts(run_pictures.ends(tell_apart([untrained]), "p"))[:3] == ["0", "1", "training steps"]
    features = ["0", "5", "10", "15", "20", "25", "30"]
    for picture in (heat_maps.density(untrained, "p"), heat_maps.weights(untrained, 1.0, "p")):
        shown = texts(picture)
        assert shown[:7] == features
        assert shown[8:10] == ["0", "secret"]


@pytest.mark.parametrize("longest", [7, 990, 100_000, 10**9])
def test_ticks_of_steps_are_few(evaluation: Evaluation, longest: int) -> None:
    ends = zip(evaluation.results, (5, 7, 7, longest), strict=True)
    config = replace(evaluation.config, max_steps=longest)
    far = replace(evaluation, config=config, results=[replace(run, steps=steps) for run, steps in ends])
    shown = texts(run_pictures.ends(tell_apart([far]), "p"))
    ticks = [text for text in shown if re.fullmatch(r"[\d,]+", text)]
    assert 3 <= len(ticks) <= 6
    assert len(set(ticks)) == len(ticks)


def test_marks_are_not_cut_off(evaluation: Evaluation) -> None:
    for draw in (run_pictures.ends, run_pictures.first_layers, secret_pictures.accuracies, secret_pictures.losses):
        root = ElementTree.fromstring(draw(tell_apart([evaluation]), "p"))
        groups = [
            group for group in root.iter("g") if any("series-0" in use.get("style", "") for use in [group, *group])
        ]
        marks = [group for group in groups if group.find("use") is not None]
        assert marks
        assert not any("clip-path" in group.attrib for group in marks)


def test_rows_of_heat_maps_are_secrets_and_orderings(evaluation: Evaluation) -> None:
    layers = [layer for layer in evaluation.first_layers if (layer.secret_index, layer.order_index) != (0, 1)]
    few = texts(heat_maps.weights(replace(evaluation, first_layers=layers), 1.0, "p"))
    assert [text for text in few if "/" in text] == ["0/0", "1/0", "1/1", "secret/"]
    many = [replace(layers[0], order_index=ordering) for ordering in range(50)] + layers[1:]
    shown = texts(heat_maps.weights(replace(evaluation, first_layers=many), 1.0, "p"))
    assert not any("/" in text for text in shown)
    place = shown.index("secret")
    assert shown[place - 2 : place] == ["0", "1"]


def test_few_features_have_whole_ticks() -> None:
    settings = SHORT | {"n_features": 3, "secret_size": 3, "max_steps": 0, "num_hidden_secrets": 1}
    shown = texts(heat_maps.density(evaluate("isolated_cube", **settings), "p"))
    assert shown[:4] == ["0", "1", "2", "feature (dots: the secret's)"]
