"""Writes the README's tables from the JSON in ``benchmarks/results/``, so that no figure is typed by hand.

python -m benchmarks.readme
"""

import json
from pathlib import Path
from typing import Any

from benchmarks.machine import RESULTS

README = Path(__file__).parent.parent / "README.md"


def load(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return content


def machine_line(machine: dict[str, Any]) -> str:
    return f"{machine['processor']}, {machine['cores']} cores, PyTorch {machine['torch']}"


def evaluation_table(content: dict[str, Any]) -> list[str]:
    """Configuration, accuracy, steps, and the seconds of both evaluators."""
    by_engine = {each["engine"]: each for each in content["measured"]}
    ours, sequential = by_engine["vmap"], by_engine["reference"]
    lines = [
        "| configuration | runs | accuracy | steps | sequential | vecparity |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for made, theirs in zip(ours["configurations"], sequential["configurations"], strict=True):
        lines.append(
            f"| N={made['n_features']}, K=8 | {made['num_runs']} | {made['test_accuracy']:.3f} | "
            f"{made['mean_steps']:,.0f} | {theirs['seconds']:.0f} s | {made['seconds']:.0f} s |"
        )
    lines.append(f"| the whole command | | | | {sequential['seconds']:.0f} s | {ours['seconds']:.0f} s |")
    lines += ["", f"`isolated_cube`, seed 42, protocol `{ours['protocol']}`, on {machine_line(content['machine'])}."]
    return lines


def throughput_table(content: dict[str, Any]) -> list[str]:
    """Medians of every case, with the ratios to the peers measured beside them."""
    cores = content["machine"]["cores"]
    lines = [
        f"| rows | N | runs | oracle | oracle in {cores} processes | `vmap` | against oracle | against processes |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in content["measured"]:
        medians, ratios = case["medians"], case["vmap_against"]
        lines.append(
            f"| {case['rows']} | {case['n_features']} | {case['num_runs']} | {medians['oracle']:,.0f} | "
            f"{medians['oracle_sharded']:,.0f} | {medians['vmap']:,.0f} | {ratios['oracle']:.2f}x | "
            f"{ratios['oracle_sharded']:.2f}x |"
        )
    lines += ["", f"Run-steps per second, medians of {content['repeats']}, on {machine_line(content['machine'])}."]
    return lines


def render(text: str) -> str:
    """Replaces what stands between each table's two marks."""
    tables = {
        "evaluation": evaluation_table(load("end_to_end_published")),
        "throughput": throughput_table(load("throughput")),
    }
    for name, lines in tables.items():
        begin, end = f"<!-- {name} table -->", f"<!-- end of {name} table -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = "\n".join([before + begin, *lines, end + after])
    return text


if __name__ == "__main__":
    README.write_text(render(README.read_text()))
