"""``vecparity doctor``: shows what this machine can run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table

from vecparity.cli.arguments import Switch
from vecparity.cli.output import show, show_json

if TYPE_CHECKING:
    from vecparity.cluster.nodes import Node
    from vecparity.inspection.doctor import Diagnosis, EngineDiagnosis


def doctor(*, workers: str | None = None, json: Switch = False) -> int:
    """Say what this machine can run, how fast, and what is missing.

    Args:
        workers: Ask the machines of a Ray cluster, too: ray://HOST:PORT.
        json: Print JSON.
    """
    from vecparity.cluster.choose import asked
    from vecparity.cluster.nodes import this_node
    from vecparity.cluster.ray_instance import token_in_words
    from vecparity.inspection.doctor import diagnose

    nodes = {"here": this_node()} | asked(workers)
    found = diagnose()
    if json:
        show_json(asdict(found) | {"workers": {name: asdict(node) for name, node in nodes.items()}})
        return 0
    facts = _facts(found)
    facts.add_row("Ray's token", token_in_words())
    tables = [_engines(found.engines), _containment(found), _workers(nodes), _streams(found), _extras(found)]
    show(Group(facts, *(part for table in tables for part in ("", table))))
    return 0


def _facts(found: "Diagnosis") -> Table:
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("versions", ", ".join(f"{name} {version}" for name, version in found.versions.items()))
    rows.add_row("system", found.system)
    rows.add_row("processor", f"{found.processor} ({found.capability}), {found.threads} threads")
    rows.add_row("GPUs", ", ".join(found.gpus) or "none that PyTorch can use")
    rows.add_row("auto", found.auto)
    rows.add_row("history", found.history)
    return rows


def _engines(engines: "Sequence[EngineDiagnosis]") -> Table:
    rows = _table("engine", "", "on")
    for heading in ("run-steps/s", "±", "runs"):
        rows.add_column(heading, justify="right", no_wrap=True)
    rows.add_column("", overflow="fold")
    for engine in engines:
        speed = ["—", "", ""]
        if (found := engine.speed) is not None:
            median = found.run_steps_per_second
            spread = max(found.fastest - median, median - found.slowest) / median
            speed = [f"{median:,.0f}", f"{spread:.0%}", str(found.num_runs)]
        note = engine.why_not or ", ".join(engine.levels)
        rows.add_row(engine.name, _auto(engine.is_auto), engine.device, *speed, note)
    return rows


def _containment(found: "Diagnosis") -> Table:
    rows = _table("containment", "", "")
    for level in found.containment:
        rows.add_row(level.name, _auto(level.is_auto), level.why_not or "available")
    rows.add_row("system calls", "", found.why_no_filter or "filtered at every level")
    return rows


def _workers(nodes: "Mapping[str, Node]") -> Table:
    """Tabulates what workers find: on this machine, and on those of a cluster."""
    own = nodes["here"]
    rows = _table("workers", "host", "draws", "CPUs", "contain by", "/dev/shm", "")
    for name, node in nodes.items():
        memory = "none" if node.shared_memory is None else f"{node.shared_memory / 2**30:.1f} GiB"
        versions = "" if node.versions == own.versions else f"other versions: {node.versions}"
        draws = node.draws if node.draws == own.draws else f"{node.draws} (other weights)"
        rows.add_row(name, node.host, draws, str(node.cpus), node.containment, memory, versions)
    return rows


def _streams(found: "Diagnosis") -> Table:
    words = {
        "same": "as the original's",
        "rounded": f"as the original's but for rounding ({found.capability})",
        "other": "other than the original's: compare only with evaluations of this machine",
    }
    rows = _table("random", "", "")
    for stream in found.streams:
        rows.add_row(stream.name, stream.how, words[stream.likeness])
    return rows


def _extras(found: "Diagnosis") -> Table:
    rows = _table("optional", "")
    for extra in found.extras:
        rows.add_row(extra.name, extra.version or f"not installed: {extra.install}")
    return rows


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for index, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", no_wrap=index == 0)
    return table


def _auto(is_auto: bool) -> str:
    return "auto" if is_auto else ""
