"""Fingerprint of an evaluation: a digest of everything that decides its results, except rounding on other machines."""

import hashlib
import json
from dataclasses import asdict

from vecparity.evaluation.result import Provenance
from vecparity.task.config import TaskConfig

# Fields that do not decide results: names, times, and the containment.
_BESIDES = ("strategy", "protocol", "containment", "wall_seconds", "origin")
# Fields of a job itself.
_OF_JOB = ("strategy_sha256", "params", "seed", "seal", "draw", "audit", "dtype", "init_device")


def fingerprint(config: TaskConfig, provenance: Provenance) -> str:
    """Digests the settings, the strategy's source and parameters, the seed or seal, audits, engine, device, versions.

    Evaluations with the same digest repeat each other.
    """
    decides = asdict(config) | {name: value for name, value in asdict(provenance).items() if name not in _BESIDES}
    for name, former in (("params", {}), ("draw", None), ("engine_version", 1)):
        if decides[name] == former:  # earlier versions recorded none: their digests stay what they are
            del decides[name]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def job_digest(config: TaskConfig, provenance: Provenance) -> str:
    """Digests the job of an evaluation, whatever machine made it: the jobs of a command are told apart by it."""
    job = {name: getattr(provenance, name) for name in _OF_JOB} | asdict(config)
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()
