"""The machine of a measurement, and the files of its figures."""

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

RESULTS = Path(__file__).parent / "results"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def describe() -> dict[str, Any]:
    """Processor, versions and commit."""
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
    """The commit measured, marked where the tree differed from it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def save(name: str, content: dict[str, Any], directory: Path = RESULTS) -> Path:
    """Writes ``<directory>/<name>.json``, whole or not at all: whoever writes may be ended at any time."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.json"
    write_whole(path, (json.dumps(content, indent=1) + "\n").encode())
    return path
