"""A description of the machine, stored in checkpoints and evaluations."""

import platform
from pathlib import Path

import torch


def cpu_name() -> str:
    """Returns the processor's model if the system reports it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def draws() -> str:
    """Names the kind of torch's draws: processors with AVX2 and more agree, others with their own kind only."""
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()} {'AVX2' if capability.startswith('AVX') else capability}"


def stamp() -> dict[str, str]:
    """Returns the system, the processor, the vector instructions that torch uses, and versions."""
    return {
        "system": platform.platform(),
        "processor": cpu_name(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
