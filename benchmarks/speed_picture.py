"""Draws the README's picture of the speed from the committed figures.

python -m benchmarks.speed_picture
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from benchmarks import gpu_table
from benchmarks.machine import RESULTS

PICTURE = Path(__file__).parent.parent / "vecparity" / "guide" / "speed.svg"
_OURS, _OTHERS = "#0b7285", "#868e96"
_LABELS = {
    "oracle": "one run after another",
    "oracle sharded": "one after another in each of {cores} processes",
    "torch.func": "stacked by hand, torch.func",
    "torch.compile": "stacked by hand, torch.compile",
    "JAX": "JAX, jit(vmap(scan))",
    "native": "vecparity, native",
    "cuda": "vecparity, cuda",
}


@dataclass(frozen=True)
class Bar:
    """One bar of the picture.

    Attributes:
        label: What was measured.
        rate: Run-steps per second.
        is_ours: True for an engine of this package.
    """

    label: str
    rate: float
    is_ours: bool

    @property
    def text(self) -> str:
        return f"{self.rate:,.0f}"


def panels(directory: Path = RESULTS) -> dict[str, list[Bar]]:
    """Returns the bars for each machine, by its name: medians for 100 runs of uniform rows at N=64."""
    on_cpu = json.loads((directory / "throughput.json").read_text())
    on_gpu, jax = gpu_table.load(directory, "throughput"), gpu_table.load(directory, "jax")
    rates = _rates(on_gpu) | {"JAX": _rates(jax)["JAX"]}
    cores = on_cpu["machine"]["cores"]
    return {
        f"{on_cpu['machine']['processor']}, {cores} cores": _bars(_rates(on_cpu), cores),
        on_gpu["machine"]["gpu"]: _bars({name: rates[name] for name in ("oracle", "JAX", "cuda")}, cores),
    }


def _rates(content: dict[str, Any]) -> dict[str, float]:
    (case,) = (
        case["medians"]
        for case in content["measured"]
        if (case["rows"], case["n_features"], case["num_runs"]) == ("uniform", 64, 100)
    )
    return dict(case)


def _bars(rates: dict[str, float], cores: int) -> list[Bar]:
    chosen = {name: rate for name, rate in rates.items() if name in _LABELS}
    return [
        Bar(_LABELS[name].format(cores=cores), rate, name in ("native", "cuda"))
        for name, rate in sorted(chosen.items(), key=lambda item: item[1])
    ]


def draw(found: dict[str, list[Bar]]) -> Figure:
    """Draws a panel for each machine, on one logarithmic axis."""
    figure = Figure(figsize=(8.6, 3.6), layout="constrained")
    heights = [len(bars) for bars in found.values()]
    axes = figure.subplots(len(found), 1, sharex=True, height_ratios=heights)
    for axis, (name, bars) in zip(axes, found.items(), strict=True):
        colours = [_OURS if bar.is_ours else _OTHERS for bar in bars]
        drawn = axis.barh([bar.label for bar in bars], [bar.rate for bar in bars], color=colours, height=0.7)
        axis.bar_label(drawn, [bar.text for bar in bars], padding=4)
        axis.set_title(name, loc="left", fontsize=10, fontweight="bold")
        axis.set_xscale("log")
        axis.set_xlim(100, 60_000_000)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False)
    axes[-1].set_xlabel("steps of a run per second: 100 runs, N=64, W=512, batches of 128 uniform rows")
    return figure


def main() -> None:
    """Writes the picture."""
    # Text stays text, and the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vecparity", "font.family": "sans-serif"}):
        draw(panels()).savefig(PICTURE, metadata={"Date": None}, facecolor="white")


if __name__ == "__main__":
    main()
