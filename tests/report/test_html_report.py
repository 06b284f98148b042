"""The report in a browser, on real evaluations."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from browser import OUTSIDE, WIDE, Watched, colour, contrast, luminance, rows, started
from made import changed, made
from playwright.sync_api import Browser, Page

from vecparity import Evaluation, evaluate, task_config
from vecparity.audits.finding import AuditFinding
from vecparity.evaluation import serialization
from vecparity.report import write_report
from vecparity.report.svg import SERIES
from vecparity.task.config import CONFIGURATIONS
from vecparity.training.curve import Curve

# Looked at by people; git ignores it.
ARTEFACTS = Path(__file__).parents[2] / "artefacts"
MEGABYTE = 1_000_000
OVERVIEW = "[aria-label=evaluations] table"
TEXTS = [("h1", "color"), (".soft", "color"), ("thead th", "color"), ("figure text", "fill")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    ARTEFACTS.mkdir(exist_ok=True)
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def published() -> list[Evaluation]:
    return [evaluate("isolated_cube", label, protocol="published") for label in CONFIGURATIONS]


@dataclass(frozen=True)
class Opened:
    path: Path
    watched: Watched

    @property
    def page(self) -> Page:
        return self.watched.page


@pytest.fixture(scope="module")
def opened(browser: Browser, published: list[Evaluation], tmp_path_factory: pytest.TempPathFactory) -> Opened:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(published, path)
    watched = Watched(browser)
    watched.page.goto(path.as_uri())
    return Opened(path, watched)


def milliseconds(page: Page) -> float:
    """From the navigation's start to the end of the load event."""
    taken: float = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert taken > 0
    return taken


def colour_of_series(page: Page, number: int) -> tuple[int, ...]:
    """The colour of an element that has a series' colour for its own."""
    page.locator("footer").evaluate("(one, colour) => one.style.outlineColor = colour", f"var(--series-{number})")
    return colour(page, "footer", "outlineColor")


def test_it_renders_and_asks_for_nothing(opened: Opened) -> None:
    assert opened.page.title() == "vecparity: isolated_cube"
    assert opened.page.locator("h2").all_inner_texts()[:3] == ["N = 32, K = 8", "N = 50, K = 8", "N = 64, K = 8"]
    pictures = opened.page.locator("figure svg")
    assert pictures.count() == 1 + 3 * 8
    for picture in pictures.all():
        box = picture.bounding_box()
        assert box is not None and box["width"] > 300 and box["height"] > 50
        assert picture.get_attribute("aria-label")
    assert opened.watched.requests == [opened.path.as_uri()]
    assert opened.watched.complaints == []


def test_what_watches_the_page_would_see_a_request(browser: Browser, opened: Opened, tmp_path: Path) -> None:
    leaking = tmp_path / "leaking.html"
    image = '<img src="http://127.0.0.1:9/pixel">'
    leaking.write_text(
        opened.path.read_text().replace("img-src data:", "img-src data: *").replace("</h1>", f"</h1>{image}")
    )
    watched = Watched(browser)
    watched.page.goto(leaking.as_uri())
    assert watched.requests[1:] == ["http://127.0.0.1:9/pixel"]
    assert len(watched.complaints) == 1


def test_its_policy_stops_what_should_not_be_there(browser: Browser, opened: Opened, tmp_path: Path) -> None:
    leaking = tmp_path / "leaking.html"
    foreign = '<img src="http://127.0.0.1:9/pixel"><script>alert(1)</script>'
    leaking.write_text(opened.path.read_text().replace("</h1>", f"</h1>{foreign}"))
    watched = Watched(browser)
    watched.page.goto(leaking.as_uri())
    assert len(watched.complaints) == 2
    assert all("Content Security Policy" in complaint for complaint in watched.complaints)


def rounded(values: Any) -> Any:
    """Rounds numbers as the page does."""
    return [rounded(value) for value in values] if isinstance(values, list) else round(values, 6)


def test_numbers_are_those_of_the_json(opened: Opened, published: list[Evaluation]) -> None:
    content: list[dict[str, Any]] = json.loads(opened.page.locator("#figures").text_content() or "")
    for ours, evaluation in zip(content, published, strict=True):
        expected = json.loads(serialization.dumps(evaluation))
        for what in ("loss", "accuracy"):
            expected["curves"][what] = rounded(expected["curves"][what])
        for part, by_feature in (("datasets", "density"), ("first_layers", "mean_abs_weight")):
            for each in expected[part]:
                each[by_feature] = {name: rounded(value) for name, value in each[by_feature].items()}
        assert ours["curves"].pop("every") == 1
        expected["provenance"]["host"] = ""
        assert ours == expected
    overview = rows(opened.page, OVERVIEW)
    for row, ours in zip(overview, content, strict=True):
        metrics, by = ours["metrics"], ours["provenance"]
        label = f"n{ours['config']['n_features']}-k{ours['config']['secret_size']}"
        assert row[:5] == [
            by["strategy"],
            label,
            f"{metrics['test_accuracy']:.6f} ± {metrics['test_accuracy_std']:.6f}",
            f"{metrics['mean_steps']:,.0f}",
            str(by["seed"]),
        ]
        assert row[5:] == [str(metrics["num_runs"]), by["protocol"], by["engine"], f"{by['wall_seconds']:.1f}"]
        shown = [[float(cell.replace(",", "")) for cell in run[1:]] for run in rows(opened.page, f"#runs-{label}-0")]
        names = ("secret_index", "order_index", "steps")
        assert [run[:3] for run in shown] == [[run[name] for name in names] for run in ours["results"]]
        assert [run[3] for run in shown] == pytest.approx([run["test_accuracy"] for run in ours["results"]], abs=5e-7)
        weights = [layer["mean_abs_weight"] for layer in ours["first_layers"]]
        assert [run[4] for run in shown] == pytest.approx([weight["secret"] for weight in weights], abs=5.1e-5)
        assert [run[5] for run in shown] == pytest.approx([weight["others"] for weight in weights], abs=5.1e-5)


@pytest.mark.alone
def test_it_opens_at_once(opened: Opened) -> None:
    assert milliseconds(opened.page) < 2_000
    assert opened.path.stat().st_size < MEGABYTE


def test_colours_follow_the_readers_choice(opened: Opened) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        opened.page.emulate_media(color_scheme=scheme)
        paper = colour(opened.page, "body", "backgroundColor")
        texts = [colour(opened.page, chosen, what) for chosen, what in TEXTS]
        assert min(contrast(text, paper) for text in texts) >= 4.5
        line = colour(opened.page, "figure path[style*='series-0']", "stroke")
        assert all(contrast(colour_of_series(opened.page, number), paper) >= 3 for number in range(len(SERIES)))
        assert line == colour_of_series(opened.page, 0)
        seen[scheme] = [paper, *texts, line]
        opened.page.screenshot(path=ARTEFACTS / f"report-{scheme}.png", full_page=True)
    opened.page.emulate_media(color_scheme="light")
    assert luminance(seen["light"][0]) > 0.9 and luminance(seen["dark"][0]) < 0.02
    assert all(light != dark for light, dark in zip(seen["light"], seen["dark"], strict=True))


def test_a_phone_scrolls_down_only(browser: Browser, opened: Opened) -> None:
    watched = Watched(browser, width=360)
    watched.page.goto(opened.path.as_uri())
    watched.page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert watched.page.evaluate("document.documentElement.scrollWidth") == 360
    watched.page.locator("details").evaluate_all("all => all.forEach(one => one.open = false)")
    watched.page.screenshot(path=ARTEFACTS / "report-phone.png", full_page=True)
    # Were tables not in boxes of their own, this would be seen.
    watched.page.add_style_tag(content=".scroll { overflow: visible !important }")
    assert watched.page.evaluate("document.documentElement.scrollWidth") > 360


def test_nothing_is_cut_off_at_360_pixels(browser: Browser, diverged: Evaluation, tmp_path: Path) -> None:
    names = ["a_strategy_of_a_very_long_name_that_needs_to_be_shortened" + "_again" * 20, "W" * 60, "broken"]
    ends = [[(1_000 * (secret + 1), 0.8 + secret / 20), (100_000, 0.5)] for secret in range(3)]
    evaluations = [made(name, ends, label) for name in names[:2] for label in CONFIGURATIONS]
    write_report([*evaluations, changed(diverged, strategy=names[2])], tmp_path / "report.html")
    watched = Watched(browser, width=360)
    page = watched.page
    page.goto((tmp_path / "report.html").as_uri())
    page.locator("details").evaluate_all("all => all.forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.locator("figure svg text").count() > 200
    assert page.evaluate(OUTSIDE) == []
    assert page.evaluate(WIDE) == []
    # Tables of evaluations and comparisons are lists of their cells: they need no scrolling.
    for name in ("evaluations", "comparisons"):
        assert page.locator(f"[aria-label={name}]").evaluate("box => box.scrollWidth <= box.clientWidth")
    # What looks for it would see it.
    page.locator("figure svg text").first.evaluate("text => text.textContent = 'W'.repeat(99)")
    page.locator("h1").evaluate("title => title.style.width = '400px'")
    assert page.evaluate(OUTSIDE) == ["W" * 99]
    assert "H1" in page.evaluate(WIDE)


def test_a_long_name_is_whole_where_the_pointer_rests(browser: Browser, tmp_path: Path) -> None:
    name = "a_strategy_of_a_very_long_name_that_needs_to_be_shortened"
    write_report(made(name, [[(1_000, 0.9)]] * 3), tmp_path / "report.html")
    page = Watched(browser).page
    page.goto((tmp_path / "report.html").as_uri())
    short = page.locator(f"{OVERVIEW} tbody th").inner_text().strip()
    assert (short, len(short)) == ("a_strategy_o…e_shortened", 24)
    assert page.locator(f"{OVERVIEW} tbody th span").get_attribute("title") == name


@pytest.mark.parametrize(
    "caption", ["Test accuracy of every run", "Share of runs", "Training loss", "density of every feature"]
)
def test_marks_take_the_pointer(opened: Opened, caption: str) -> None:
    """In the middle of every mark, the element under the pointer is a mark with a text."""
    script = """
    picture => [...picture.querySelectorAll("title")].map(title => title.parentElement).map(mark => {
      mark.scrollIntoView({block: "center"});
      const box = mark.getBoundingClientRect();
      const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      const title = top?.querySelector(":scope > title") ?? top?.parentElement.querySelector(":scope > title");
      return title?.textContent ?? top?.outerHTML;
    })
    """
    figure = opened.page.locator("figure", has=opened.page.locator("figcaption", has_text=caption)).first
    shown = figure.locator("svg").evaluate(script)
    assert len(shown) >= 1
    assert [text for text in shown if not text.startswith(("isolated_cube", "secret "))] == []


def test_each_configuration_tells_its_own_seconds(opened: Opened, published: list[Evaluation]) -> None:
    shown = opened.page.locator(".configuration").evaluate_all(
        "all => all.map(one => one.querySelector('.legend + p').textContent)"
    )
    assert shown == [f"Wall time: {one.provenance.wall_seconds:.1f} s." for one in published]


def test_it_prints(opened: Opened) -> None:
    opened.page.emulate_media(media="print", color_scheme="dark")
    assert colour(opened.page, "body", "backgroundColor") == (255, 255, 255)
    assert colour(opened.page, "figure text", "fill") == (0, 0, 0)
    assert not opened.page.locator("nav").is_visible()
    opened.page.emulate_media(media="null", color_scheme="light")
    printed = opened.page.pdf(path=ARTEFACTS / "report.pdf", format="A4")
    assert printed.startswith(b"%PDF")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12


def test_what_is_strange_is_shown_as_it_is(
    browser: Browser, evaluation: Evaluation, diverged: Evaluation, tmp_path: Path
) -> None:
    name = "<script>alert(1)</script>"
    failed = AuditFinding("overlap", False, f"expected none, got 3 in {name}", {})
    strange = replace(
        evaluation,
        findings=[failed],
        provenance=replace(evaluation.provenance, strategy=name, strategy_sha256="0" * 64, audit="strict"),
    )
    reported = replace(
        evaluation,
        findings=[failed, AuditFinding("foresight", False, "", {}), AuditFinding("file", True, "", {})],
        provenance=replace(evaluation.provenance, audit="report"),
    )
    write_report([strange, diverged, evaluation, reported], tmp_path / "report.html")
    watched = Watched(browser, width=360)
    watched.page.goto((tmp_path / "report.html").as_uri())
    assert watched.complaints == []
    assert watched.page.evaluate("document.documentElement.scrollWidth") == 360
    overview = rows(watched.page, OVERVIEW)
    assert [row[0] for row in overview] == [
        "<script>aler…1)</script>",
        "diverges",
        "isolated_cub…aluation 1)",
        "isolated_cub…aluation 2)",
    ]
    assert watched.page.locator(f"{OVERVIEW} th span").first.get_attribute("title") == name
    scores = [row[2] for row in overview]
    assert scores[:2] == ["no score, fails overlap", "no score: 1 of 4 runs diverged"]
    assert scores[3] == f"{scores[2]}, fails overlap, foresight"
    assert (
        watched.page.locator(".configuration .legend li")
        .nth(3)
        .inner_text()
        .endswith(f": {scores[3]}, {overview[3][3]} steps")
    )
    weights = rows(watched.page, "[aria-label='mean |weight| of diverges by feature'] table")
    assert [row[0] for row in weights] == ["0/0", "1/0", "1/1"]
    shades = watched.page.locator(".grid td")
    assert shades.get_by_text("diverged").get_attribute("title") == "secret 0, ordering 1: diverged at step 2"
    assert name in watched.page.locator(".wrap").first.inner_text()
    watched.page.set_viewport_size({"width": 1200, "height": 800})
    watched.page.screenshot(path=ARTEFACTS / "report-overlaid.png", full_page=True)


@pytest.mark.slow
@pytest.mark.alone
def test_300_runs_open_at_once(browser: Browser, published: list[Evaluation], tmp_path: Path) -> None:
    evaluations = [of_100_runs(one) for one in published]
    assert sum(len(one.results) for one in evaluations) == 300
    check_size_and_time(browser, evaluations, tmp_path)


@pytest.mark.slow
@pytest.mark.alone
def test_300_runs_that_never_stop_open_at_once(browser: Browser, published: list[Evaluation], tmp_path: Path) -> None:
    check_size_and_time(browser, [never_stopping(of_100_runs(one)) for one in published], tmp_path)


@pytest.mark.slow
@pytest.mark.alone
def test_two_strategies_of_300_runs_each_can_be_sent(published: list[Evaluation], tmp_path: Path) -> None:
    evaluations = [of_100_runs(one) for one in published]
    write_report([*evaluations, *(changed(one, strategy="second") for one in evaluations)], tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size < 2 * MEGABYTE


def check_size_and_time(browser: Browser, evaluations: list[Evaluation], directory: Path) -> None:
    path = directory / "report.html"
    write_report(evaluations, path)
    assert path.stat().st_size < 2 * MEGABYTE
    watched = Watched(browser)
    watched.page.goto(path.as_uri())
    assert milliseconds(watched.page) < 2_000
    assert (watched.requests, watched.complaints) == ([path.as_uri()], [])
    assert watched.page.locator(".runs tbody tr").count() == 300
    read = json.loads(watched.page.locator("#figures").text_content() or "")
    for content, evaluation in zip(read, evaluations, strict=True):
        assert serialization.from_document(content, "the page").results == evaluation.results


def of_100_runs(evaluation: Evaluation) -> Evaluation:
    """The same runs again and again, as many as under the full protocol."""
    config = task_config(evaluation.config.label)
    num_runs = len(evaluation.results)

    def again(runs: Sequence[Any]) -> list[Any]:
        places = ({"secret_index": number // 10, "order_index": number % 10} for number in range(100))
        return [replace(runs[number % num_runs], **place) for number, place in enumerate(places)]

    datasets = [replace(evaluation.datasets[secret % 5], secret_index=secret) for secret in range(10)]
    return replace(
        evaluation,
        config=config,
        datasets=datasets,
        results=again(evaluation.results),
        curves=again(evaluation.curves),
        first_layers=again(evaluation.first_layers),
    )


def never_stopping(evaluation: Evaluation) -> Evaluation:
    """The same, drawn out to 401 windows that all differ."""
    step = [1, *range(250, 100_001, 250)]

    def curve(run: int) -> Curve:
        wobble = [((step_ + 7) * (run + 3) * 2_654_435_761 % 1_000_003) / 1_000_003 for step_ in step]
        return Curve(step, [0.2 + value / 2 for value in wobble], [0.5 + value / 3 for value in wobble])

    return replace(
        evaluation,
        results=[replace(run, steps=100_000) for run in evaluation.results],
        curves=[replace(each, curve=curve(number)) for number, each in enumerate(evaluation.curves)],
    )
