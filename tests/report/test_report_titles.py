"""Values that pictures show while the pointer is on a mark, compared with the evaluations' own figures."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from made import changed, diverged, made

from vecparity import Evaluation
from vecparity.analysis.intervals import interval
from vecparity.report import heat_maps, run_pictures, secret_pictures
from vecparity.report.curves import median
from vecparity.report.learning_curves import learning_curves
from vecparity.report.series import tell_apart
from vecparity.report.strategy_picture import accuracy_by_n
from vecparity.report.strategy_results import strategy_results
from vecparity.report.svg import drawing

# Steps and accuracies of 3 secrets' 2 orderings, all different.
ENDS = [[(1000, 0.91), (1250, 0.92)], [(1500, 0.71), (1250, 0.83)], [(2000, 0.55), (100_000, 0.99)]]


@pytest.fixture(autouse=True)
def in_the_reports_style() -> Iterator[None]:
    with drawing():
        yield


def marks(picture: str | None) -> list[tuple[str, float, float]]:
    """The text and the place (right, up) of every mark that has a text, in points of the picture."""
    assert picture
    return [
        (title.text or "", float(use.get("x", "nan")), -float(use.get("y", "nan")))
        for use in ElementTree.fromstring(picture).iter("use")
        if (title := use.find("title")) is not None
    ]


def check_linear(places: Sequence[float], values: Sequence[float]) -> None:
    """The places are an increasing linear function of the values, within the rounding of a tenth of a point."""
    slope, offset = np.polyfit(values, places, 1)
    assert slope > 0
    assert list(places) == pytest.approx(slope * np.array(values) + offset, abs=0.11)


def test_every_run_has_a_mark_at_its_accuracy_in_its_secrets_column() -> None:
    evaluations = [made("one", ENDS), made("two", [[(250, 0.5), (250, 0.6)]] * 3)]
    shown = marks(secret_pictures.accuracies(tell_apart(evaluations), "p"))
    expected = [(one, run) for one in evaluations for run in one.results]
    assert [text for text, _, _ in shown] == [
        f"{one.provenance.strategy}, secret {run.secret_index}, ordering {run.order_index}: "
        f"accuracy {run.test_accuracy:.6f}, {run.steps:,} steps"
        for one, run in expected
    ]
    check_linear([up for _, _, up in shown], [run.test_accuracy for _, run in expected])
    columns: dict[int, list[float]] = {}
    for (_, right, _), (_, run) in zip(shown, expected, strict=True):
        columns.setdefault(run.secret_index, []).append(right)
    assert max(columns[0]) < min(columns[1]) and max(columns[1]) < min(columns[2])
    assert all(len(set(column)) == 4 for column in columns.values()), "marks of one secret hide each other"


def test_a_run_that_diverged_is_a_cross_without_an_accuracy() -> None:
    series = tell_apart([diverged(made("one", ENDS))])
    shown = [text for text, _, _ in marks(secret_pictures.accuracies(series, "p"))]
    assert len(shown) == 6
    assert shown[-1] == "one, secret 0, ordering 0: diverged at step 7"
    assert shown[-1] in [text for text, _, _ in marks(run_pictures.ends(series, "p"))]


def test_every_run_has_a_mark_at_its_last_loss(evaluation: Evaluation) -> None:
    shown = marks(secret_pictures.losses(tell_apart([evaluation]), "p"))
    last = [run.curve.loss[-1] for run in evaluation.curves]
    assert [text for text, _, _ in shown] == [
        f"isolated_cube, secret {run.secret_index}, ordering {run.order_index}: loss {loss:.4g} at step 60"
        for run, loss in zip(evaluation.curves, last, strict=True)
    ]
    assert np.argsort([up for _, _, up in shown]).tolist() == np.argsort(last).tolist()


def test_ends_are_the_shares_of_runs_that_had_ended() -> None:
    shown = marks(run_pictures.ends(tell_apart([made("one", ENDS)]), "p"))
    steps = [1000, 1250, 1500, 2000, 100_000]
    ended = [1, 3, 4, 5, 6]
    texts = [f"one: {n} of 6 runs had ended by step {step:,}" for n, step in zip(ended, steps, strict=True)]
    assert [text for text, _, _ in shown] == [*texts[:-1], f"{texts[-1]}, 1 of them without stopping"]
    check_linear([up for _, _, up in shown], ended)
    assert np.all(np.diff([right for _, right, _ in shown]) > 0)


def test_medians_and_ends_of_curves_show_their_values(evaluation: Evaluation) -> None:
    shown = [text for text, _, _ in marks(learning_curves(tell_apart([evaluation]), "loss", "p"))]
    middle = median(evaluation)
    assert shown == [
        f"isolated_cube, step {step}: median loss {loss:.4g} of {live} runs"
        for step, loss, live in zip(middle.step, middle.loss, middle.live, strict=True)
    ]
    early = replace(evaluation, config=replace(evaluation.config, max_steps=1000))
    shown = [text for text, _, _ in marks(learning_curves(tell_apart([early]), "accuracy", "p"))]
    assert shown[len(middle.step) :] == [
        f"isolated_cube, secret {run.secret_index}, ordering {run.order_index}: "
        f"accuracy {run.curve.accuracy[-1]:.4g} at step 60"
        for run in evaluation.curves
    ]


def test_first_layers_show_every_runs_weights(evaluation: Evaluation) -> None:
    shown = marks(run_pictures.first_layers(tell_apart([evaluation]), "p"))
    weights = [layer.mean_abs_weight for layer in evaluation.first_layers]
    values = [weight.secret for weight in weights] + [weight.others or 0.0 for weight in weights]
    assert [float(re.findall(r": (\S+) on (?:its|the)", text)[0]) for text, _, _ in shown] == pytest.approx(
        values, rel=1e-3
    )
    check_linear([right for _, right, _ in shown], values)


def test_rows_of_heat_maps_show_their_means(evaluation: Evaluation) -> None:
    picture = heat_maps.density(evaluation, "p")
    assert picture
    assert [title.text for title in ElementTree.fromstring(picture).iter("title")] == [
        f"secret {data.secret_index}: density {data.density.secret:.4g} of its features, "
        f"{data.density.others:.4g} of the others"
        for data in evaluation.datasets
    ]


def test_accuracies_against_n_have_their_intervals() -> None:
    lower = [[(steps, accuracy - 0.2) for steps, accuracy in secret] for secret in ENDS]
    evaluations = [made("one", ENDS), made("one", lower, "n64-k8"), made("two", ENDS)]
    picture = accuracy_by_n(strategy_results(tell_apart(evaluations)), "p")
    shown = marks(picture)
    expected = []
    for n, ends in ((32, ENDS), (64, lower)):
        secrets = [float(np.mean([accuracy for _, accuracy in secret])) for secret in ends]
        between = interval([secrets], [1.0])
        assert between
        low, high = max(between.low, 0.0), min(between.high, 1.0)
        mean = f"{np.mean(secrets):.4f}"
        expected.append(f"one, N = {n}, K = 8: {mean} (95% interval {low:.4f} to {high:.4f}), 6 runs")
    assert [text for text, _, _ in shown] == expected, "two has one configuration, which makes no line"
    check_linear([up for _, _, up in shown], [0.8167, 0.6167])
    assert accuracy_by_n(strategy_results(tell_apart(evaluations[2:])), "p") is None


def test_what_cannot_be_printed_is_an_escape_and_signs_are_no_formula() -> None:
    name = "$\\frac$ <b>\u202e中\x00"
    picture = run_pictures.first_layers(tell_apart([changed(made("one", ENDS), strategy=name)]), "p")
    root = ElementTree.fromstring(picture)
    drawn = [text.text or "" for text in root.iter("text")]
    assert r"$\frac$ <b>\u202e中\x00: the others" in drawn
    assert all(text.startswith(r"$\frac$ <b>\u202e中\x00, secret ") for text, _, _ in marks(picture))
