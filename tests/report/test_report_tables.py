"""Every table and sentence of the report's page, compared with the JSON within it."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import Watched, rows, started
from conftest import SHORT
from playwright.sync_api import Page

from vecparity import Evaluation, evaluate
from vecparity.report import write_report

# Columns of the table of provenance, before the parameters and the digest of the source.
MADE = ("vecparity", "torch", "python", "engine", "device", "capability", "dtype", "containment", "audit")
NAMES = ["multi_epoch", "default_4096"]


@pytest.fixture(scope="module")
def varied() -> list[Evaluation]:
    """Evaluations whose figures are not all alike: one that is audited, and one that is not."""
    settings = SHORT | {"max_steps": 400}
    return [evaluate("multi_epoch", audit="report", **settings), evaluate("default_4096", **settings)]


def test_every_table_is_the_jsons(varied: list[Evaluation], tmp_path: Path) -> None:
    assert len({run.test_accuracy for one in varied for run in one.results}) > 3
    write_report(varied, tmp_path / "report.html")
    with started() as browser:
        watched = Watched(browser)
        watched.page.goto((tmp_path / "report.html").as_uri())
        content: list[dict[str, Any]] = json.loads(watched.page.locator("#figures").text_content() or "")
        assert [one["curves"].pop("every") for one in content] == [1, 1]
        sets = table(watched.page, "training sets")
        sentences = watched.page.locator(".measured li").all_inner_texts()
        made = table(watched.page, "provenance")
        for number, (name, ours) in enumerate(zip(NAMES, content, strict=True)):
            check_medians(table(watched.page, f"medians of {name}"), ours)
            check_accuracies(table(watched.page, f"test accuracies of {name}"), ours)
            check_training_sets(sets[number], table(watched.page, f"training sets of {name}"), ours)
            check_features(watched.page, name, ours)
            check_sentence(sentences[number], name, ours)
            by = ours["provenance"]
            assert made[number] == [name, "n32-k8", *(by[column] for column in MADE), "—", by["strategy_sha256"]]
        words = {True: "passed", False: "failed", None: "undecided"}
        found = [
            ["multi_epoch", "n32-k8", each["name"], words[each["passed"]], each["summary"]]
            for each in content[0]["audit"]
        ]
        assert len(found) > 3
        assert table(watched.page, "audits") == found
        assert watched.page.locator("section[aria-labelledby=audits] p").all_inner_texts() == [
            "multi_epoch, n32-k8: unverified (audits not made or undecided: fresh-test, cross-pairing, foresight)",
            "default_4096, n32-k8: unverified (not audited)",
        ]


def table(page: Page, name: str) -> list[list[str]]:
    return rows(page, f"[aria-label='{name}'] table")


def check_medians(shown: list[list[str]], ours: dict[str, Any]) -> None:
    curves = ours["curves"]
    losses, accuracies = (np.median(curves[what], axis=0) for what in ("loss", "accuracy"))
    assert [int(row[1]) for row in shown] == curves["step"]
    assert [float(row[2]) for row in shown] == pytest.approx(losses, abs=1.1e-6)
    assert [float(row[3]) for row in shown] == pytest.approx(accuracies, abs=5.2e-5)
    assert {row[4] for row in shown} == {str(len(ours["results"]))}


def check_accuracies(shown: list[list[str]], ours: dict[str, Any]) -> None:
    expected = {(run["secret_index"], run["order_index"]): f"{run['test_accuracy']:.4f}" for run in ours["results"]}
    assert [row[0] for row in shown] == ["secret 0", "secret 1"]
    assert {(i, j): cell for i, row in enumerate(shown) for j, cell in enumerate(row[1:])} == expected


def check_training_sets(over_all: list[str], shown: list[list[str]], ours: dict[str, Any]) -> None:
    sets = ours["datasets"]
    assert [row[2] for row in shown] == [", ".join(map(str, data["secret"])) for data in sets]
    assert [row[3] for row in shown] == [f"{data['num_examples']:,}" for data in sets]
    assert [row[5] for row in shown] == [f"{data['patterns_covered']} of 256" for data in sets]
    assert [float(row[4]) for row in shown] == pytest.approx([data["positive_rate"] for data in sets], abs=5.1e-5)
    for column, of in ((6, "secret"), (7, "others")):
        assert [float(row[column]) for row in shown] == pytest.approx([d["density"][of] for d in sets], abs=5.1e-5)
    assert over_all[1:3] == ["2", f"{sets[0]['num_examples']:,}"]
    densities = [[data["density"][of] for data in sets] for of in ("secret", "others")]
    for cell, values in zip(
        [over_all[3], *over_all[5:]], [[data["positive_rate"] for data in sets], *densities], strict=True
    ):
        ends = [float(part) for part in cell.split(" to ")]
        assert [ends[0], ends[-1]] == pytest.approx([min(values), max(values)], abs=5.1e-4)


def check_features(page: Page, strategy: str, ours: dict[str, Any]) -> None:
    """The tables beneath the heat maps."""
    secrets = [data["secret"] for data in ours["datasets"]]
    densities = [(str(data["secret_index"]), data["secret"], data["density"]["each"]) for data in ours["datasets"]]
    weights = [
        (
            f"{layer['secret_index']}/{layer['order_index']}",
            secrets[layer["secret_index"]],
            layer["mean_abs_weight"]["each"],
        )
        for layer in ours["first_layers"]
    ]
    for what, expected in (("densities", densities), ("mean |weight|", weights)):
        name = f"{what} of {strategy} by feature"
        shown = table(page, name)
        assert [row[0] for row in shown] == [place for place, _, _ in expected]
        for row, (_, _, values) in zip(shown, expected, strict=True):
            assert [float(cell) for cell in row[1:]] == pytest.approx(values, abs=5.1e-4)
        bold = page.locator(f"[aria-label='{name}'] tbody tr").evaluate_all(
            "all => all.map(row => [...row.querySelectorAll('b')].map(one => one.parentElement.cellIndex - 1))"
        )
        assert bold == [sorted(secret) for _, secret, _ in expected]


def check_sentence(shown: str, name: str, ours: dict[str, Any]) -> None:
    weights = [layer["mean_abs_weight"] for layer in ours["first_layers"]]
    secret, others = (np.mean([weight[of] for weight in weights]) for of in ("secret", "others"))
    told = re.fullmatch(rf"{name}: (\S+) on the secret's features, (\S+) on the others: (\S+)( times)? as much", shown)
    assert told
    assert [float(told[1]), float(told[2])] == pytest.approx([secret, others], rel=6e-4)
    assert 1 if told[3] == "about" else float(told[3]) == pytest.approx(secret / others, rel=6e-3)
