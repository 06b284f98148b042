"""Tables of the GPU measurements of `scripts/bench_cuda`, from its JSON files; needs only Python."""

import json
from pathlib import Path
from typing import Any

ENGINES = ("cuda", "triton", "vmap")


def load(directory: Path, name: str) -> dict[str, Any]:
    """Reads a stage's JSON; empty if the stage has not run on a GPU."""
    path = directory / f"gpu_{name}.json"
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return content if content.get("machine", {}).get("gpu") else {}


def tables(directory: Path) -> list[str]:
    """Returns the tables as Markdown lines; empty if nothing was measured."""
    parts = [kernel_table(directory), throughput_table(directory), evaluation_table(directory)]
    return [line for part in parts if part for line in ("", *part)][1:]


def where(content: dict[str, Any]) -> str:
    machine = content["machine"]
    return f"{machine['gpu']}, PyTorch {machine['torch']}"


def kernel_table(directory: Path) -> list[str]:
    """Tabulates microseconds per step of the whole ensemble, by engine."""
    contents = {engine: load(directory, f"kernels_{engine}") for engine in ENGINES}
    contents = {engine: content for engine, content in contents.items() if content.get("times")}
    if not contents:
        return []
    medians: dict[tuple[int, int], dict[str, str]] = {}
    for engine, content in contents.items():
        for case in content["times"]:
            median = case.get("median_microseconds_per_step")
            cell = "failed" if median is None else f"{median:,.1f}"
            medians.setdefault((case["n_features"], case["num_runs"]), {})[engine] = cell
    lines = ["| N | runs | " + " | ".join(contents) + " |", "| --- " * (2 + len(contents)) + "|"]
    for (n, num_runs), cells in sorted(medians.items()):
        lines.append(f"| {n} | {num_runs} | " + " | ".join(cells.get(engine, "") for engine in contents) + " |")
    (content, *_) = contents.values()
    return [*lines, "", f"Microseconds a step of all runs, medians, on {where(content)}."]


def throughput_table(directory: Path) -> list[str]:
    """Tabulates the engines' rates relative to the sequential evaluator and to JAX, each pair measured in one run."""
    rows = []
    found = {"oracle": load(directory, "throughput"), "JAX": load(directory, "jax")}
    for peer, content in found.items():
        for case in content.get("measured", []):
            medians = case["medians"]
            if peer in medians:
                ratios = [f"{name} {rate / medians[peer]:,.1f}x" for name, rate in medians.items() if name in ENGINES]
                rows.append(f"| {case['n_features']} | {case['num_runs']} | {peer} | {', '.join(ratios)} |")
    if not rows:
        return []
    content = found["oracle"] or found["JAX"]
    last = f"Run-steps per second of our engines by those of the peer on the same GPU, on {where(content)}."
    return ["| N | runs | peer | ratios |", "| --- | --- | --- | --- |", *rows, "", last]


def evaluation_table(directory: Path) -> list[str]:
    """Tabulates the wall time of whole commands in seconds."""
    found = [content for name in ("isolated_cube", "one_pass") if (content := load(directory, name))]
    if not found:
        return []
    lines = ["| strategy | engine | runs | steps | training | after start-up | whole command |", "| --- " * 7 + "|"]
    for each in (each for content in found for each in content["measured"]):
        runs = sum(made["num_runs"] for made in each["configurations"])
        steps = sum(made["num_runs"] * made["mean_steps"] for made in each["configurations"]) / runs
        training, whole = sum(each["training_seconds"]), each["seconds"]
        times = f"{training:.1f} s | {whole - each['seconds_to_first_window']:.1f} s | {whole:.1f} s"
        lines.append(f"| {each['strategy']} | {each['engine']} | {runs} | {steps:,.0f} | {times} |")
    return [*lines, "", f"`--all-configs`, protocol `full`, on {where(found[0])}."]
