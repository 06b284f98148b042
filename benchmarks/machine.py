"""Describes the machine of a measurement, and saves the figures."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import vecparity
from vecparity.files import write_whole
from vecparity.machine import cpu_name

# The figures that README and guide show, and where commands write: git ignores the latter.
RESULTS, OWN = (Path(__file__).parent / name for name in ("results", "own"))


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def describe() -> dict[str, Any]:
    """Returns the processor, versions and commit."""
    return {
        "processor": cpu_name(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vecparity": vecparity.__version__,
        "commit": _commit(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    """Returns the measured commit, marked if the working tree differed from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def save(name: str, content: dict[str, Any], directory: Path = OWN) -> Path:
    """Writes ``<directory>/<name>.json`` atomically, because this process may be killed at any time."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
    return path
