"""Reproduction of an evaluation: its command line, and notes on the conditions that a command line cannot express."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict

from vecparity.evaluation.params import param_words
from vecparity.evaluation.result import Evaluation, Provenance
from vecparity.evaluation.summary import Summary
from vecparity.strategy.source import bundled_digests
from vecparity.task.config import CONFIGURATIONS, NAMED_PROTOCOLS, task_config

_DEFAULT = "n32-k8"


def command(evaluation: Evaluation) -> str:
    """Returns the ``vecparity eval`` command that repeats the evaluation, with the flags that are not the default."""
    config, provenance = evaluation.config, evaluation.provenance
    protocol, smoke = NAMED_PROTOCOLS.get(provenance.protocol, ("full", False))
    label = config.label if config.label in CONFIGURATIONS else _DEFAULT
    of_protocol = asdict(task_config(label, protocol=protocol, smoke=smoke))
    words = ["vecparity", "eval", "--strategy", _strategy(provenance), "--seed", str(provenance.seed)]
    for word in param_words(provenance.params):
        words += ["--param", word]
    words += ["--config", label] if label == config.label else []
    words += ["--protocol", protocol, *(["--smoke"] if smoke else [])]
    for name, value in asdict(config).items():
        if value != of_protocol[name]:
            words += [f"--{name.replace('_', '-')}", str(value)]
    words += ["--engine", provenance.engine, "--device", provenance.device_type]
    words += ["--init-device", provenance.init_device] if provenance.init_device != "cpu" else []
    words += ["--audit", provenance.audit]
    if provenance.seal:
        draw = ["--draw", provenance.draw] if provenance.draw else ["--same-draw", "--log", "final"]
        words += ["--seal-key", "leaderboard.key", *draw]
    return shlex.join(words)


def auditing_command(summary: Summary, seeds: Sequence[int]) -> str:
    """Returns the ``vecparity eval`` command that has all audits decide about a strategy on all configurations.

    Args:
        summary: An evaluation under a protocol, with none of its settings overridden.
        seeds: The top-level seeds.
    """
    words = ["vecparity", "eval", "--strategy", _strategy(summary), "--seed", *map(str, seeds)]
    for word in param_words(summary.params):
        words += ["--param", word]
    words += ["--all-configs", "--protocol", str(summary.protocol)]
    words += ["--init-device", summary.init_device] if summary.init_device != "cpu" else []
    return shlex.join([*words, "--audit", "strict"])


def notes(evaluation: Evaluation) -> list[str]:
    """Returns the conditions, besides the versions, under which the command repeats the evaluation."""
    provenance = evaluation.provenance
    sentences = []
    if not _is_bundled(provenance):
        sentences.append(f"{_strategy(provenance)} is the file whose SHA-256 is {provenance.strategy_sha256}.")
    if provenance.seal:
        sentences.append(f"leaderboard.key is the file of the key whose digest is {provenance.seal}.")
    if provenance.dtype != "float32":
        dtype = f"dtype=torch.{provenance.dtype}"
        sentences.append(f"It was trained in {provenance.dtype}, which only vecparity.evaluate(..., {dtype}) does.")
    if evaluation.config.max_steps == 0:
        sentences.append("It has no training step, which only vecparity.evaluate(..., max_steps=0) does.")
    return sentences


def _strategy(evaluated: Provenance | Summary) -> str:
    return evaluated.strategy if _is_bundled(evaluated) else f"{evaluated.strategy}.py"


def _is_bundled(evaluated: Provenance | Summary) -> bool:
    """Checks that the name alone identifies a bundled strategy here, byte for byte."""
    return bundled_digests().get(evaluated.strategy) == evaluated.strategy_sha256
