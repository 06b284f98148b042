"""A description of the machine, stored in checkpoints and evaluations."""

import platform
from pathlib import Path

import torch

from vecparity import _version
from vecparity.errors import printable


def cpu_name() -> str:
    """Returns the processor's model if the system reports it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def host() -> str:
    """Returns the machine's name in its network, as one printable line."""
    return printable(platform.node())


def capability() -> str:
    """Names the vector instructions that torch uses: ``AVX512``, ``AVX2``, ``DEFAULT`` or another architecture's."""
    return torch.backends.cpu.get_cpu_capability()


def draws() -> str:
    """Names the kind of torch's draws: processors with AVX2 and more agree, others with their own kind only."""
    return f"{platform.machine()} {'AVX2' if capability().startswith('AVX') else capability()}"


def versions() -> str:
    """Names the versions that decide results. Builds of torch, as +cpu and +cu130, draw and round alike on a CPU."""
    python = ".".join(platform.python_version_tuple()[:2])
    return f"vecparity {_version.__version__}, torch {torch.__version__.partition('+')[0]} and Python {python}"


def words_of_draws(host: str, draws: str, own: str) -> str | None:
    """Returns the warning that initial weights on a host are not those here, or None if they are."""
    if draws == own:
        return None
    return (
        f"torch draws other initial weights on {host} ({draws}) than here ({own}): its evaluations are not bitwise "
        "those of this machine"
    )


def stamp() -> dict[str, str]:
    """Returns the system, the processor, the vector instructions that torch uses, and versions."""
    return {
        "system": platform.platform(),
        "processor": cpu_name(),
        "capability": capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
