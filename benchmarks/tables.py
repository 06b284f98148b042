"""Writes the tables of README and guide from the JSON in ``benchmarks/results/``: no figure is typed by hand.

python -m benchmarks.tables
"""

import json
from pathlib import Path
from typing import Any

from benchmarks import gpu_table
from benchmarks.machine import RESULTS

_ROOT = Path(__file__).parent.parent
# The pages that contain tables.
PAGES = [_ROOT / "README.md", _ROOT / "vecparity" / "guide" / "engines.md"]


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def machine_line(machine: dict[str, Any]) -> str:
    return f"{machine['processor']}, {machine['cores']} cores, PyTorch {machine['torch']}"


def evaluation_table(content: dict[str, Any]) -> list[str]:
    """Tabulates configuration, accuracy, steps, and the seconds of both evaluators."""
    by_engine = {each["engine"]: each for each in content["measured"]}
    ours, sequential = by_engine["native"], by_engine["reference"]
    lines = [
        "| configuration | runs | accuracy | steps | one after another | vecparity |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for made, theirs in zip(ours["configurations"], sequential["configurations"], strict=True):
        lines.append(
            f"| N={made['n_features']}, K=8 | {made['num_runs']} | {made['test_accuracy']:.3f} | "
            f"{made['mean_steps']:,.0f} | {theirs['seconds']:.0f} s | {made['seconds']:.1f} s |"
        )
    lines.append(f"| the whole command | | | | {sequential['seconds']:.0f} s | {ours['seconds']:.1f} s |")
    lines += [
        "",
        f"`isolated_cube`, seed 42, protocol `{ours['protocol']}`, on {machine_line(content['machine'])}, no GPU. "
        "The whole command includes its start-up; the strategy runs contained. One after another: the sequential "
        f"evaluator, with as many threads as it is faster with ({sequential['threads']}).",
    ]
    return lines


def throughput_table(content: dict[str, Any]) -> list[str]:
    """Tabulates the medians of every case."""
    names = list(dict.fromkeys(name for case in content["measured"] for name in case["medians"]))
    lines = [
        "| rows | N | runs | " + " | ".join(names) + " |",
        "| --- " * (3 + len(names)) + "|",
    ]
    for case in content["measured"]:
        medians = [f"{case['medians'][name]:,.0f}" if name in case["medians"] else "failed" for name in names]
        lines.append(f"| {case['rows']} | {case['n_features']} | {case['num_runs']} | {' | '.join(medians)} |")
    lines += ["", f"Run-steps per second, medians of {content['repeats']}, on {machine_line(content['machine'])}."]
    return lines


def ratio_table(content: dict[str, Any]) -> list[str]:
    """Tabulates the rate of `native` on 100 runs, relative to its peers and the machine."""
    peers = ["oracle", "oracle sharded", "torch.func", "torch.compile", "JAX", "vmap"]
    limits = content["limits"]
    lines = [
        "| rows, N, 100 runs | " + " | ".join(f"against {peer}" for peer in peers) + " | dense flops | state |",
        "| --- " * (3 + len(peers)) + "|",
    ]
    for case in content["measured"]:
        if case["num_runs"] == 100:
            medians = case["medians"]
            ratios = [f"{medians['native'] / medians[peer]:.1f}x" for peer in peers]
            shares = [f"{share:.0%}" for share in case["share_of_limits"]["native"].values()]
            lines.append(f"| {case['rows']}, {case['n_features']} | {' | '.join([*ratios, *shares])} |")
    lines += [
        "",
        "Dense flops: what matrix products would have to calculate for as many run-steps, as a share of the machine's "
        f"measured {limits['peak_flops'] / 1e9:,.0f} GFLOP/s of fused multiply-adds. State: what AdamW would have to "
        "move, were the parameters and moments not in cache, as a share of the measured "
        f"{limits['copy_bytes_per_second'] / 1e9:,.0f} GB/s of a copy. Above 100% stands what no dense implementation "
        "could reach on this machine.",
    ]
    return lines


def render(text: str) -> str:
    """Replaces the text between the two marks of each table in a page."""
    tables = {
        "evaluation": evaluation_table(load("end_to_end_full")),
        "ratio": ratio_table(load("throughput")),
        "throughput": throughput_table(load("throughput")),
        "gpu": gpu_table.tables(RESULTS),  # empty until `scripts/bench_cuda` has run on a GPU
    }
    for name, lines in tables.items():
        begin, end = f"<!-- {name} table -->", f"<!-- end of {name} table -->"
        if begin not in text:
            continue
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = "\n".join([before + begin, *lines, end + after])
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(render(page.read_text()))
