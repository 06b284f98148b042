"""The page about a sweep: its figures, pictures, tables and data, as text and in a browser."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import OUTSIDE, WIDE, Watched, contrast, rows, started
from conftest import SHORT
from playwright.sync_api import Browser
from sweeps import AXES, LRS, cell, sweep, with_failures

import vecparity
from vecparity.analysis.intervals import interval
from vecparity.errors import MachineError, UsageError
from vecparity.report.heat_maps import COLOUR
from vecparity.report.svg import drawing
from vecparity.strategy.parameters import Value
from vecparity.strategy.source import Strategy
from vecparity.tuning import value_axes
from vecparity.tuning.results import Cell, Sweep
from vecparity.tuning.sweep_figures import (
    Quantity,
    figures_of_cells,
    grouped,
    in_words,
    in_words_of_sweep,
    paired,
    point,
    varied,
)
from vecparity.tuning.sweep_lines import LinePicture, line_picture
from vecparity.tuning.sweep_maps import FULL, ends_of_scale, heat_map
from vecparity.tuning.sweep_page import sweep_page, write_sweep_report

MEGABYTE = 1_000_000
NAME = "<script>alert(1)</script>"


def marks(picture: str) -> list[tuple[str, float, float]]:
    """The text and the place (right, up) of every mark that has a text."""
    return [
        (title.text or "", float(use.get("x", "nan")), -float(use.get("y", "nan")))
        for use in ElementTree.fromstring(picture).iter("use")
        if (title := use.find("title")) is not None
    ]


def lines_of(of: Sweep, name: str, quantity: Quantity = "accuracy") -> LinePicture:
    with drawing():
        return line_picture(figures_of_cells(of), varied(of), name, quantity, "p")


def map_of(of: Sweep, pair: tuple[str, str], quantity: Quantity = "accuracy") -> list[str]:
    """The texts of a map's cells, row by row."""
    every, axes = figures_of_cells(of), varied(of)
    ends = ends_of_scale(every, [pair], quantity)
    assert ends
    with drawing():
        picture = heat_map(every, axes, pair, quantity, ends, "p")
    return [title.text or "" for title in ElementTree.fromstring(picture).iter("title")]


def mean_of(one: Cell) -> float:
    assert one.evaluation is not None
    return one.evaluation.metrics.test_accuracy


def secrets_of(one: Cell) -> list[float]:
    assert one.evaluation is not None
    results = one.evaluation.results
    return [fmean(run.test_accuracy for run in results[i : i + 2]) for i in range(0, len(results), 2)]


def test_one_cell_is_its_evaluation() -> None:
    given = sweep()
    for one, entry in zip(given.cells, figures_of_cells(given), strict=True):
        for quantity, values in (("accuracy", secrets_of(one)), ("steps", entry.by_secret["steps"])):
            found = point([entry], quantity)  # type: ignore[arg-type]
            between = interval([values], [1.0])
            assert between and found.interval and found.interval.low == pytest.approx(between.low)
            assert found.mean == pytest.approx(fmean(values)) and found.num_cells == 1
        assert one.evaluation and point([entry], "steps").mean == pytest.approx(one.evaluation.metrics.mean_steps)


def test_cells_of_the_same_secrets_share_them_and_others_do_not() -> None:
    axes: dict[str, tuple[Value, ...]] = {"lr": LRS[:2], "seed": (1, 2, 3), "config": ("n32-k8", "n50-k8")}
    given = sweep(axes)
    every = figures_of_cells(given)
    assert len({entry.secrets for entry in every}) == 6
    same = [one for one in given.cells if one.values["seed"] == 1 and one.values["config"] == "n32-k8"]
    found = point([entry for entry in every if entry.cell in same], "accuracy")
    of_secrets = [fmean(pair) for pair in zip(*map(secrets_of, same), strict=True)]
    expected = interval([of_secrets], [1.0])
    assert expected and found.interval and found.interval.low == pytest.approx(expected.low)
    whole = point(every, "accuracy")
    samples = [
        [fmean(pair) for pair in zip(secrets_of(one), secrets_of(other), strict=True)]
        for one, other in zip(given.cells[:6], given.cells[6:], strict=True)
    ]
    expected = interval(samples, [1 / 6] * 6)
    assert expected and whole.interval and whole.interval.high == pytest.approx(expected.high)
    assert whole.mean == pytest.approx(fmean(map(mean_of, given.cells)))
    assert whole.interval.high - whole.interval.low < found.interval.high - found.interval.low


def test_failures_are_counted_and_none_is_an_interval() -> None:
    failed, diverged, *rest = figures_of_cells(with_failures(sweep()))
    both = point([failed, diverged], "accuracy")
    assert (both.mean, both.interval, both.num_cells) == (None, None, 0)
    assert in_words(both, "accuracy") == "2 cells without a score: memory ran out: <b>no</b>"
    assert "1 diverged of 10 runs" in diverged.problem
    some = point([failed, *rest], "steps")
    assert in_words(some, "steps").endswith("; 1 cell without a score: memory ran out: <b>no</b>")
    assert some.num_cells == len(rest)
    assert in_words(point([], "steps"), "steps") == "not evaluated"
    few = figures_of_cells(sweep({"lr": LRS}, num_secrets=2))[0]
    assert in_words(point([few], "accuracy"), "accuracy") == f"accuracy {few.mean('accuracy'):.4f} (no interval)"


def test_a_second_axis_of_a_few_values_has_a_line_for_each() -> None:
    given = sweep()
    shown = lines_of(given, "lr")
    assert shown.about == "one line for each value of wd"
    assert [name for _, name in shown.legend] == ["wd 0", "wd 0.1", "wd 0.3", "wd 1"]
    expected = {
        (f"{lr:g}", f"{wd:g}"): mean_of(one) for (lr, wd), one in zip(product(*AXES.values()), given.cells, strict=True)
    }
    found = [
        re.match(r"lr (\S+), wd (\S+): accuracy (\S+) \(95% interval (\S+) to (\S+)\)$", text)
        for text, _, _ in marks(shown.picture)
    ]
    assert {match.group(1, 2): float(match[3]) for match in found if match} == pytest.approx(expected, abs=5.1e-5)
    heights = [up for _, _, up in marks(shown.picture)]
    values = [expected[lr, wd] for wd in ("0", "0.1", "0.3", "1") for lr in map("{:g}".format, LRS)]
    slope, offset = np.polyfit(values, heights, 1)
    assert slope > 0 and heights == pytest.approx(slope * np.array(values) + offset, abs=0.11)
    assert "lr (log scale)" in shown.picture


@pytest.mark.parametrize(
    ("axes", "about"),
    [
        ({"lr": LRS}, "one cell a value"),
        ({"lr": LRS, "wd": (0.3,)}, "one cell a value"),
        ({"lr": LRS, "wd": tuple(number / 20 for number in range(13))}, "the mean over all values of wd"),
        ({"lr": LRS, "wd": (0.0, 0.3), "config": ("n32-k8", "n50-k8")}, "the mean over all values of wd and config"),
    ],
)
def test_other_axes_are_averaged(axes: dict[str, tuple[Value, ...]], about: str) -> None:
    given = sweep(axes)
    shown = lines_of(given, "lr")
    assert (shown.about, shown.legend) == (about, [])
    found = marks(shown.picture)
    assert len(found) == len(LRS)
    for (text, _, _), lr in zip(found, LRS, strict=True):
        cells = [one for one in given.cells if one.values["lr"] == lr]
        assert text.startswith(f"lr {lr:g}: accuracy {fmean(map(mean_of, cells)):.4f} (95% interval ")
        assert ("mean of" in text) == (len(cells) > 1)
    assert about in sweep_page(given)


def test_a_line_breaks_and_a_cross_shows_where_cells_failed() -> None:
    given = with_failures(sweep())
    found = marks(lines_of(given, "wd").picture)
    crosses = [text for text, _, _ in found if "without a score" in text]
    assert crosses[0] == "wd 0, lr 0.001: 1 cell without a score: memory ran out: <b>no</b>"
    assert len(crosses) == 2 and crosses[1].startswith("wd 0.1, lr 0.001: 1 cell without a score: ")
    assert len(found) == len(given.cells), "a mark for each cell, whether it has a score or not"
    steps = [text for text, _, _ in marks(lines_of(given, "wd", "steps").picture)]
    assert sum(" steps (95% interval" in text for text in steps) == len(given.cells) - 2


def test_a_map_has_every_cell_of_the_grid() -> None:
    given = with_failures(sweep())
    texts = map_of(given, ("lr", "wd"))
    assert len(texts) == 20
    assert texts[0] == "wd 0, lr 0.001: 1 cell without a score: memory ran out: <b>no</b>"
    assert texts[10] == "wd 0.3, lr 0.001: not evaluated"
    best = given.cells[9]
    assert texts[12].startswith(f"wd 0.3, lr 0.01: accuracy {mean_of(best):.4f} (95% interval ")
    assert best.values == {"lr": 0.01, "wd": 0.3}
    assert "mean of 3 cells" in map_of(sweep({**AXES, "seed": (1, 2, 3)}), ("lr", "wd"))[0]


@pytest.mark.parametrize(("paper", "text"), [("#ffffff", "#1b1f24"), ("#14171b", "#e6e9ec")])
def test_numbers_can_be_read_on_the_fullest_cells(paper: str, text: str) -> None:
    assert f"--paper:{paper.replace('#ffffff', '#fff')};--text:{text};" in sweep_page(sweep({"lr": LRS[:2]}))
    below, letters = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in (paper, text))
    cell = tuple(round((1 - FULL) * one + FULL * 255 * own) for one, own in zip(below, COLOUR, strict=True))
    assert contrast(tuple(letters), cell) >= 4.5


def test_the_pairs_of_the_axes_that_matter_most_are_drawn() -> None:
    axes: dict[str, tuple[Value, ...]] = {
        "b": (True, False),
        "lr": LRS,
        "seed": (1, 2),
        "wd": (0.0, 0.3),
        "x": ("a", "b", "c"),
    }
    given = sweep(axes)
    chosen = paired(figures_of_cells(given), varied(given))
    assert len(chosen) == 4 and {"lr", "wd"} <= set(chosen)
    text = sweep_page(given)
    assert (
        f"Of the 5 axes, the pairs of the 4 whose means differ most are drawn: {', '.join(chosen[:3])} and {chosen[3]};"
        in text
    )
    captions = re.findall(r"<figcaption>(\w+ and \w+): means over", text)
    assert len(captions) == 12, "six maps of accuracy and six of steps"
    assert "Of the 4 axes" not in sweep_page(sweep({name: axes[name] for name in ("b", "lr", "seed", "wd")}))


@pytest.mark.parametrize(
    ("values", "is_log", "is_category"),
    [
        ((0.001, 0.01, 0.1), True, False),
        ((1, 2, 5, 10), True, False),
        ((16, 256), True, False),
        (tuple(0.001 * 1.06**number for number in range(80)), True, False),
        ((32, 50, 64), False, False),
        (tuple(range(1, 100, 10)), False, False),
        ((0.0, 0.1, 1.0), False, False),
        ((-1, 10), False, False),
        ((True, False), False, True),
        (("a", 1), False, True),
    ],
)
def test_the_values_ask_for_their_scale(values: tuple[Value, ...], is_log: bool, is_category: bool) -> None:
    axis = value_axes.of_grid("x", values)
    assert (axis.is_log, axis.is_category) == (is_log, is_category)
    places = [axis.at(value) for value in values]
    assert axis.ends[0] < min(places) and max(places) < axis.ends[1]
    assert len(set(places)) == len(values)


def test_equal_values_of_different_types_are_told_apart() -> None:
    values: tuple[Value, ...] = (1, 1.0, True, "1")
    given = sweep({"x": values, "wd": (0.1, 0.3)})
    assert len(grouped(figures_of_cells(given), "x")) == 4
    assert [name for _, name in lines_of(given, "wd").legend] == ["x 1", "x 1.0", "x True", "x '1'"]


def test_the_verdict_names_the_best_cell() -> None:
    given = with_failures(sweep())
    first, best = in_words_of_sweep(given, figures_of_cells(given))
    assert first == "mine on n32-k8, over lr (5) × wd (4): 19 cells of a grid of 20, 2 without a score."
    assert best.startswith("The best cell is lr=0.01 wd=0.3: accuracy 0.9910 (95% interval ")
    tied = sweep({**AXES, "config": ("n32-k8", "n50-k8")})
    assert in_words_of_sweep(tied, figures_of_cells(tied))[1].endswith("; 2 cells share this accuracy.")
    failed = replace(given, cells=given.cells[:2])
    assert in_words_of_sweep(failed, figures_of_cells(failed))[1] == "No cell has a score."
    assert "There is nothing to draw" in sweep_page(failed)
    assert "There is nothing to draw" in sweep_page(sweep({"lr": (0.1,)}))


def data(text: str) -> Any:
    (found,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def test_the_pages_data_is_the_sweep() -> None:
    given = with_failures(sweep())
    content = data(sweep_page(given))
    assert content["axes"] == {name: list(values) for name, values in AXES.items()}
    assert [one["values"] for one in content["cells"]] == [one.values for one in given.cells]
    assert content["cells"][0] == {
        "values": {"lr": 0.001, "wd": 0.0},
        "metrics": None,
        "why_no_score": "memory ran out: <b>no</b>",
    }
    assert "diverged" in content["cells"][1]["why_no_score"]
    for one, read in zip(given.cells[2:], content["cells"][2:], strict=True):
        assert read["metrics"]["test_accuracy"] == mean_of(one)
        assert read["accuracy_by_secret"] == pytest.approx(secrets_of(one))


def test_real_evaluations_are_cells() -> None:
    given = vecparity.sweep("isolated_cube", {"lr": [0.003, 0.03], "n_features": [16, 24]}, **SHORT)
    text = sweep_page(given)
    assert len(given.cells) == 4
    for one in given.cells:
        lr, n_features = one.values.values()
        assert f"lr {lr}, n_features {n_features}: accuracy {mean_of(one):.4f} (" in text


TEN_EACH: dict[str, tuple[Value, ...]] = {
    "lr": tuple(1e-3 * 1.15**i for i in range(32)),
    "wd": tuple(i / 31 for i in range(32)),
}
TWELVE_LINES: dict[str, tuple[Value, ...]] = {
    "lr": tuple(1e-3 * 1.05**i for i in range(84)),
    "wd": tuple(i / 11 for i in range(12)),
}


@pytest.mark.slow
@pytest.mark.parametrize("axes", [TEN_EACH, TWELVE_LINES, {"lr": tuple(1e-3 * 1.005**i for i in range(1_000))}])
def test_it_can_be_sent(axes: dict[str, tuple[Value, ...]]) -> None:
    given = sweep(axes, num_secrets=10)
    assert len(given.cells) >= 1_000
    text = sweep_page(given)
    assert len(text.encode()) < 2 * MEGABYTE
    assert len(data(text)["cells"]) == len(given.cells)


def test_wrong_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="the report must be written to a file, got '/'"):
        write_sweep_report(sweep({"lr": LRS[:2]}), "/")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="need Matplotlib, which is not installed"):
        write_sweep_report(sweep({"lr": LRS[:2]}), tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


def test_it_asks_for_nothing_and_its_table_is_the_sweep(browser: Browser, tmp_path: Path) -> None:
    given = with_failures(sweep())
    path = tmp_path / "page.html"
    write_sweep_report(given, path)
    watched = Watched(browser)
    page = watched.page
    page.goto(path.as_uri())
    assert (watched.requests, watched.complaints) == ([path.as_uri()], [])
    assert page.title() == "vecparity: sweep of mine"
    assert page.locator("figure svg.plot").count() == 2 * (2 + 1)
    shown = rows(page, "[aria-label=cells] table")
    assert [row[:2] for row in shown] == [[f"{value:g}" for value in one.values.values()] for one in given.cells]
    assert shown[0][2:] == ["—", "—", "memory ran out: <b>no</b>"]
    assert shown[2][2].startswith(f"{mean_of(given.cells[2]):.6f} ± ")
    # In the middle of every cell of the map, the element under the pointer is the cell's.
    script = """
    picture => [...picture.querySelectorAll("path > title")].map(title => title.parentElement).map(mark => {
      mark.scrollIntoView({block: "center"});
      const box = mark.getBoundingClientRect();
      const top = document.elementFromPoint(box.x + box.width / 2 + 3, box.y + box.height / 2 + 5);
      return top === mark;
    })
    """
    found = page.locator("#maps ~ .pair svg.plot").first.evaluate(script)
    assert found == [True] * 20


def test_strange_names_are_shown_as_they_are_at_360_pixels(browser: Browser, tmp_path: Path) -> None:
    long = "a_parameter_of_a_very_long_name_that_needs_to_be_shortened"
    axes: dict[str, tuple[Value, ...]] = {
        long: (NAME, "W" * 200, *(f"a choice of some length {number}" for number in range(30))),
        "lr": LRS,
        "flag": (True, False),
    }
    named = replace(Strategy.from_source("x = 1"), name=NAME)
    given = sweep(axes, strategy=named)
    given = replace(
        given,
        cells=[
            cell({name: axes[name][0] for name in axes}, 0),
            Cell(given.cells[1].values, None, MachineError(NAME)),
            *given.cells[2:],
        ],
    )
    write_sweep_report(given, tmp_path / "page.html")
    watched = Watched(browser, width=360)
    page = watched.page
    page.goto((tmp_path / "page.html").as_uri())
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert watched.complaints == []
    assert page.locator("h1").inner_text() == f"Sweep of {NAME}"
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(WIDE) == []
    assert rows(page, "[aria-label=cells] table")[1][-1] == NAME
    assert len(rows(page, "[aria-label=cells] table")) == 32 * 5 * 2
