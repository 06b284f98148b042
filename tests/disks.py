"""Evaluations whose output directory is a file system of its own."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHORT = "--num-hidden-secrets 2 --num-orderings 2 --hidden-width 16 --test-set-size 64"


def mounted(options: str, directory: Path, arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command where a file system in memory, mounted for it alone, is its output directory."""
    command = f"{sys.executable} -m vecparity.eval {SHORT} {arguments} --output-dir {directory}"
    left = f"echo LEFT >&2; find {directory} -type f >&2"
    script = f"mount -t tmpfs -o {options} tmpfs {directory} && {{ {command}; status=$?; {left}; }}"
    unshared = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", f"{script}; exit $status"]
    return subprocess.run(unshared, capture_output=True, text=True, check=False)


def can_mount() -> bool:
    if not shutil.which("unshare"):
        return False
    tried = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /tmp"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="needs user namespaces in which tmpfs can be mounted")
