"""Writes the tables of README and guide from the JSON in ``benchmarks/results/``: no figure is typed by hand.

python -m benchmarks.tables
"""

import json
from pathlib import Path
from typing import Any

from benchmarks import gpu_table, million_runs_table, search_table, sweep_table
from benchmarks.machine import RESULTS

_ROOT = Path(__file__).parent.parent
_WITH_TABLES = ("engines", "search", "slurm", "sweeps", "trust", "workers")
# The pages that contain tables.
PAGES = [_ROOT / "README.md", *(_ROOT / "vecparity" / "guide" / f"{name}.md" for name in _WITH_TABLES)]


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
        f"`isolated_cube`, contained, protocol `{ours['protocol']}`, on {machine_line(content['machine'])}. One after "
        f"another: the sequential evaluator, with its faster number of threads ({sequential['threads']}).",
    ]
    return lines


def gpu_sentence() -> list[str]:
    """Says in a sentence what was measured on a GPU."""
    kernels, throughput, jax = (gpu_table.load(RESULTS, name) for name in ("kernels_cuda", "throughput", "jax"))
    evaluation = gpu_table.load(RESULTS, "isolated_cube")["measured"][0]
    (step,) = (
        case["median_microseconds_per_step"]
        for case in kernels["times"]
        if (case["n_features"], case["num_runs"]) == (64, 100)
    )
    medians = next(
        case["medians"] for case in throughput["measured"] if (case["n_features"], case["num_runs"]) == (64, 100)
    )
    by_jax = jax["measured"][0]["medians"]
    after = evaluation["seconds"] - evaluation["seconds_to_first_window"]
    return [
        f"On one {kernels['machine']['gpu']}, 100 runs at N=64 take {step:.0f} µs a step: "
        f"{medians['cuda'] / medians['oracle']:,.0f} times as fast as one after another on the same GPU, "
        f"{by_jax['cuda'] / by_jax['JAX']:.0f} times as fast as JAX. The whole command takes "
        f"{evaluation['seconds']:.1f} s, {after:.1f} s of it after the first window."
    ]


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


# Kinds of cheats, in the words of the power tables, by the audit that is to find them.
_CHEATS = {
    "fresh-test": "the rows of the test sets, or anything made from them",
    "cross-pairing": "initial weights made for the secret",
    "foresight": "anything that is foreseen, as all secrets in the weights",
}
_LEARNS_NOTHING, _LEARNS_HALF = "overfit their rows", "learn half of the secrets"


def power_table(content: dict[str, Any]) -> list[str]:
    """Tabulates the chance of being caught for a gain of 0.1 on some secrets of a strategy that learns nothing."""
    lines = []
    for protocol in ("full", "published"):
        cells = _power(content, protocol, _LEARNS_NOTHING, 0.1)
        counts = sorted({gained for _, gained in cells})
        heading = f"`{protocol}`: a gain of 0.1 on so many of {max(counts)} secrets, from"
        lines += [f"| {heading} | audit | {' | '.join(map(str, counts))} |", "| --- " * (2 + len(counts)) + "|"]
        for audit, source in _CHEATS.items():
            shares = " | ".join(_percent(cells[audit, gained]) for gained in counts)
            lines.append(f"| {source} | {audit} | {shares} |")
        lines.append("")
    number = content["power"][0]["of"]
    lines.append(f"The chance that `--audit strict` takes the score away, of {number:,} simulated evaluations each.")
    return lines


def power_sentence(content: dict[str, Any]) -> list[str]:
    """Says in a sentence what `power_table` tabulates in full."""
    cells, counts = _power(content, "full", _LEARNS_NOTHING, 0.1), (1, 3, 5)
    chances = {audit: ", ".join(_percent(cells[audit, gained]) for gained in counts) for audit in _CHEATS}
    return [
        f"Chance that `--audit strict` catches a gain of 0.1 on 1, 3, 5 of 10 secrets: from test sets "
        f"{chances['fresh-test']}; from weights made for a secret {chances['cross-pairing']}; from anything foreseen "
        f"{chances['foresight']}."
    ]


def audits_table(content: dict[str, Any]) -> list[str]:
    """Tabulates the power against other cheats, and the false alarms of honest strategies."""
    lines = [
        "| cheat | audit | protocol | on so many secrets | caught |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, kind, gain in (
        ("gains 0.5, would learn nothing", _LEARNS_NOTHING, 0.5),
        ("gains 0.1, learns half of the secrets", _LEARNS_HALF, 0.1),
        ("gains 0.5, learns half of the secrets", _LEARNS_HALF, 0.5),
    ):
        for audit in _CHEATS:
            for protocol in ("full", "published"):
                cells = _power(content, protocol, kind, gain)
                counts = sorted({gained for _, gained in cells})
                shares = ", ".join(_percent(cells[audit, gained]) for gained in counts)
                lines.append(f"| {name} | {audit} | {protocol} | 1 to {max(counts)} | {shares} |")
    lines += ["", "| audit | protocol | honest evaluations | failed | at most |", "| --- | --- | --- | --- | --- |"]
    for cell in content["all_false_alarms"]:
        most = f"1 in {1 / cell['upper']:,.0f}"
        lines.append(f"| {cell['audit']} | {cell['protocol']} | {cell['of']:,} | {cell['failed']} | {most} |")
    kinds = list(dict.fromkeys(cell["kind"] for cell in content["false_alarms"] if cell["audit"] != "overlap"))
    lines += [
        "",
        f"Honest evaluations are drawn from trained networks that {', '.join(kinds[:-1])} or {kinds[-1]}; for overlap, "
        "from uniform rows. At most: the upper end of the exact interval "
        f"of {content['confidence']:.0%} (Clopper and Pearson). The table for each of them is in "
        "`benchmarks/results/audit_power.json`.",
    ]
    return lines


def audit_cost_table(content: dict[str, Any]) -> list[str]:
    """Tabulates the seconds of the whole command without audits and with strict ones."""
    seconds = {(each["protocol"], each["audit"]): each for each in content["measured"]}
    lines = ["| protocol | unaudited | audited strictly | |", "| --- | --- | --- | --- |"]
    for protocol in ("full", "published"):
        off, strict = seconds[protocol, "off"], seconds[protocol, "strict"]
        times = f"{strict['times_unaudited']:.1f}x"
        lines.append(f"| {protocol} | {off['seconds']:.1f} s | {strict['seconds']:.1f} s | {times} |")
    lines += [
        "",
        f"`{content['strategy']}` on all configurations, contained by {content['containment']}, the whole command, on "
        f"{machine_line(content['machine'])}.",
    ]
    return lines


def _power(content: dict[str, Any], protocol: str, kind: str, gain: float) -> dict[tuple[str, int], float]:
    cells = (
        cell for cell in content["power"] if (cell["protocol"], cell["kind"], cell["gain"]) == (protocol, kind, gain)
    )
    return {(cell["audit"], cell["gained"]): cell["share"] for cell in cells}


def _percent(share: float) -> str:
    """Rounds so that only what was always or never seen is 100% or 0%."""
    return f"{share:.0%}" if share in (0, 1) or 0.005 <= share < 0.995 else (">99%" if share > 0.5 else "<1%")


def workers_table(content: dict[str, Any]) -> list[str]:
    """Tabulates the times of the same evaluations by workers, and the overhead of a task."""
    machine, best, medians = content["machine"], content["best"], content["medians"]
    headings = ("evaluated by", "best", "median", "two workers are faster by", "a task costs beyond its work")
    lines = [f"| {' | '.join(headings)} |", "| --- " * len(headings) + "|"]
    for name in medians:
        overhead = content["overhead_milliseconds"].get(name)
        shown = "" if overhead is None else f"{overhead['task']:.1f} ms"
        ratio = f"{best[name] / best['2 workers']:.2f}, {medians[name] / medians['2 workers']:.2f}"
        lines.append(f"| {name} | {best[name]:.2f} s | {medians[name]:.2f} s | {ratio} | {shown} |")
    lines += [
        "",
        f"{content['evaluations']} evaluations, 12 variants of `isolated_cube` under 4 seeds each at `--smoke`, "
        f"contained, once all is started: {content['repeats']} measurements of each kind, in turn, on "
        f"{machine['cores']} cores ({machine['processor']}), of which each worker uses one. Ray has two "
        "workers. All outcomes are equal.",
    ]
    return lines


def render(text: str) -> str:
    """Replaces the text between the two marks of each table in a page."""
    tables = {
        "evaluation": evaluation_table(load("end_to_end_full")),
        "ratio": ratio_table(load("throughput")),
        "power sentence": power_sentence(load("audit_power")),
        "power": power_table(load("audit_power")),
        "audit cost": audit_cost_table(load("audit_cost")),
        "audits": audits_table(load("audit_power")),
        "gpu sentence": gpu_sentence(),
        "throughput": throughput_table(load("throughput")),
        "gpu": gpu_table.tables(RESULTS),
        "map": sweep_table.map_table(load("sweep")),
        "other values sentence": sweep_table.other_sentence(load("sweep")),
        "search sentence": search_table.sentence(load("search")),
        "sweep sentence": sweep_table.time_sentence(load("sweep")),
        "workers": workers_table(load("workers")),
        "million runs": million_runs_table.table(
            load("million_runs"), load("workers"), gpu_table.load(RESULTS, "kernels_cuda")
        ),
    }
    for name, lines in tables.items():
        name = name if name.endswith("sentence") else f"{name} table"
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if begin not in text:
            continue
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = "\n".join([before + begin, *lines, end + after])
    return text


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(render(page.read_text()))
