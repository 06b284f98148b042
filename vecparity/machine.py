"""The machine, in words: what a checkpoint and an evaluation are stamped with."""

import platform
from pathlib import Path

import torch


def cpu_name() -> str:
    """The processor's model where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def stamp() -> dict[str, str]:
    """The system, the processor with the vector instructions that torch uses of it, and versions."""
    return {
        "system": platform.platform(),
        "processor": cpu_name(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
