"""Tables of the measurements of `benchmarks.sweep`; needs only Python."""

from collections.abc import Mapping
from typing import Any

_INITIALISATIONS = {0: "dense", 2: "2 active inputs"}


def map_table(content: dict[str, Any]) -> list[str]:
    """Tabulates the mean test accuracy by initialisation, width and rows, and the fewest rows that are learnt from."""
    cells, least = content["map"]["cells"], content["map"]["least_rows"]
    rows = sorted({cell["num_examples"] for cell in cells})
    accuracies: dict[tuple[int, int], dict[int, float]] = {}
    for cell in cells:
        key = cell["active_inputs"], cell["hidden_width"]
        accuracies.setdefault(key, {})[cell["num_examples"]] = cell["test_accuracy"]
    headings = [
        "initial weights",
        "width",
        *(f"{number:,}" for number in rows),
        *(f"above {accuracy}" for accuracy in least),
    ]
    lines = [f"| {' | '.join(headings)} |", "| --- " * len(headings) + "|"]
    for (active, width), by_rows in accuracies.items():
        shown = [f"{by_rows[number]:.2f}" for number in rows]
        fewest = [_from(by_width[str(active)][str(width)]) for by_width in least.values()]
        lines.append(f"| {' | '.join([_INITIALISATIONS[active], str(width), *shown, *fewest])} |")
    settings = content["map"]["settings"]
    lines += [
        "",
        f"Mean test accuracy of {settings['num_hidden_secrets']} secrets by training rows; at the end, the fewest of "
        f"these rows that reach more. The sweep of "
        f"{len(cells)} cells took {content['map']['seconds']:.0f} s on {content['machine']['cores']} cores.",
    ]
    return lines


def other_sentence(content: dict[str, Any]) -> list[str]:
    """Says in a sentence how many rows each width needs with other values of the optimiser."""
    other = content["other_values"]
    values = " and ".join(f"{name} {value:g}" for name, value in other["params"].items())
    needs = "; ".join(f"{accuracy} from {_by_width(least)}" for accuracy, least in other["least_rows"].items())
    return [f"With {values}, dense networks pass {needs}."]


def _by_width(least: Mapping[str, int | None]) -> str:
    if len(set(least.values())) == 1:
        return f"{_from(next(iter(least.values())))} rows at every width"
    return ", ".join(f"{_from(rows)} at width {width}" for width, rows in least.items())


def _from(rows: int | None) -> str:
    return "none" if rows is None else f"{rows:,}"


def time_sentence(content: dict[str, Any]) -> list[str]:
    """Says in a sentence how long 32 cells take."""
    machine = content["machine"]
    best = min(content["timed"], key=lambda timed: timed["seconds"])
    return [
        "32 cells of learning rate, width (128 to 1024) and rows, each of 5 secrets x 3 orderings at `--smoke`, "
        f"contained, take {best['seconds']:.0f} s on {machine['cores']} cores ({machine['processor']}), shared with "
        f"other work (load {best['load_before']:.1f} before)."
    ]
