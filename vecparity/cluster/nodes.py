"""The machines of a cluster: what each evaluates with, and whether their evaluations are those of this one."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass

from vecparity import machine
from vecparity.errors import MachineError
from vecparity.sandbox import levels
from vecparity.sandbox.limits import num_cpus


@dataclass(frozen=True)
class Node:
    """One machine, as a worker on it finds it.

    Attributes:
        host: Its name.
        versions: The versions that decide results, see `machine.versions`.
        python: The version of Python.
        capability: The vector instructions that torch uses.
        draws: The kind of torch's draws, see `machine.draws`.
        cpus: The number of CPUs that its processes may use.
        containment: The strongest containment, which strategies get by default.
        shared_memory: Bytes of /dev/shm, where Ray has its store of objects; None without one.
    """

    host: str
    versions: str
    python: str
    capability: str
    draws: str
    cpus: int
    containment: levels.Level
    shared_memory: int | None


def this_node() -> Node:
    """Describes the machine of this process."""
    return Node(
        host=machine.host(),
        versions=machine.versions(),
        python=platform.python_version(),
        capability=machine.capability(),
        draws=machine.draws(),
        cpus=num_cpus(),
        containment=levels.choose("auto"),
        shared_memory=_shared_memory(),
    )


def _shared_memory() -> int | None:
    try:
        place = os.statvfs("/dev/shm")
    except OSError:
        return None
    return place.f_blocks * place.f_frsize


def require_alike(nodes: Mapping[str, Node], own: Node) -> list[str]:
    """Checks that machines evaluate as this one does.

    Args:
        nodes: The machines by their addresses.
        own: This one.

    Returns:
        Warnings of those whose initial weights are others.

    Raises:
        MachineError: A machine has another version of vecparity or torch.
    """
    others = {address: node for address, node in nodes.items() if node.versions != own.versions}
    if others:
        named = "; ".join(f"{node.versions} on {node.host} ({address})" for address, node in others.items())
        raise MachineError(
            f"every machine of a cluster must have {own.versions}, as this one has, got {named}: install the same there"
        )
    words = [machine.words_of_draws(node.host, node.draws, own.draws) for node in nodes.values()]
    return list(dict.fromkeys(text for text in words if text))
