"""The page about a sweep: accuracy and steps along each axis and over each pair of axes, in one file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import prod
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vecparity.report import write_page
from vecparity.report.conclusions import listed
from vecparity.report.embedded import as_script
from vecparity.report.page import environment
from vecparity.report.svg import drawing
from vecparity.strategy.parameters import Value
from vecparity.tuning.embedding import figures_in_brief
from vecparity.tuning.results import Cell, Sweep
from vecparity.tuning.sweep_figures import (
    QUANTITIES,
    CellFigures,
    Quantity,
    figures_of_cells,
    in_words_of_sweep,
    means_along,
    paired,
    varied,
)
from vecparity.tuning.sweep_lines import LinePicture, line_picture
from vecparity.tuning.sweep_maps import ends_of_scale, heat_map
from vecparity.tuning.value_axes import in_short, tell_apart


@dataclass(frozen=True)
class SweepPictures:
    """The pictures of one quantity.

    Attributes:
        lines: One for each axis.
        maps: One for each pair of axes that is drawn, with its caption.
    """

    lines: list[LinePicture]
    maps: list[tuple[str, Markup]]


def write_sweep_report(sweep: Sweep, path: str | Path) -> None:
    """Writes the page about a sweep to one file.

    Args:
        sweep: The sweep.
        path: The file to write. If writing fails, the file keeps its earlier content.

    Raises:
        UsageError: Matplotlib is not installed, or the path names no file.
        MachineError: The file cannot be written.
    """
    write_page(lambda: sweep_page(sweep), path)


def sweep_page(sweep: Sweep) -> str:
    """Returns the page about a sweep, self-contained.

    Raises:
        UsageError: Matplotlib is not installed.
    """
    every, axes = figures_of_cells(sweep), varied(sweep)
    has_score = any(not entry.problem for entry in every)
    chosen = paired(every, axes)
    with drawing():
        pictures = {
            quantity: _pictures(every, axes, chosen, quantity) if has_score else SweepPictures([], [])
            for quantity in QUANTITIES
        }
    return (
        environment()
        .get_template("sweep.html.j2")
        .render(
            sweep=sweep,
            every=every,
            verdict=in_words_of_sweep(sweep, every),
            axes={name: (values, means_along(every, name)) for name, values in axes.items()},
            fixed={name: values[0] for name, values in sweep.axes.items() if len(values) == 1},
            accuracy=pictures["accuracy"],
            steps=pictures["steps"],
            left_out=[name for name in axes if name not in chosen],
            chosen=chosen,
            listed=listed,
            in_short=in_short,
            tell_apart=tell_apart,
            embedded=as_script(_document(sweep)),
        )
    )


def _pictures(
    every: Sequence[CellFigures], axes: Mapping[str, tuple[Value, ...]], chosen: Sequence[str], quantity: Quantity
) -> SweepPictures:
    lines = [line_picture(every, axes, name, quantity, f"{quantity}-along-{index}") for index, name in enumerate(axes)]
    pairs = list(combinations(chosen, 2))
    ends = ends_of_scale(every, pairs, quantity)
    if ends is None:
        return SweepPictures(lines, [])
    maps = [
        (
            _caption(every, axes, pair),
            heat_map(every, axes, pair, quantity, ends, f"{quantity}-over-{index}"),
        )
        for index, pair in enumerate(pairs)
    ]
    return SweepPictures(lines, maps)


def _caption(every: Sequence[CellFigures], axes: Mapping[str, tuple[Value, ...]], pair: tuple[str, str]) -> str:
    rest = [name for name in axes if name not in pair]
    if not rest:
        return listed(pair)
    cells = prod(len(axes[name]) for name in rest)
    return f"{listed(pair)}: means over {listed(rest)}, {cells:,} cells each at most"


def _document(sweep: Sweep) -> Mapping[str, Any]:
    """Returns the sweep as plain values, with figures alone of its evaluations."""
    provenance = next((cell.evaluation.provenance for cell in sweep.cells if cell.evaluation), None)
    return {
        "strategy": sweep.strategy.name,
        "strategy_sha256": sweep.strategy.sha256,
        "axes": {name: list(values) for name, values in sweep.axes.items()},
        "config": asdict(sweep.config),
        "protocol": sweep.protocol,
        "seed": sweep.seed,
        "seconds": sweep.seconds,
        "provenance_of_first": asdict(provenance.without_host) if provenance else None,
        "cells": [{"values": dict(cell.values), **_figures(cell)} for cell in sweep.cells],
    }


def _figures(cell: Cell) -> Mapping[str, Any]:
    if cell.evaluation is None:
        return {"metrics": None, "why_no_score": str(cell.error)}
    return figures_in_brief(cell.evaluation)
