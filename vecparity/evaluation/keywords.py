"""The keyword arguments of `evaluate` and `Evaluator`: options and settings, by name.

Checkers and editors read the types here; names and defaults are those of `Options` and `TaskConfig`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, get_type_hints

import torch

from vecparity.audits.mode import AuditMode
from vecparity.errors import UsageError, brief
from vecparity.evaluation.options import Options
from vecparity.sandbox.levels import Containment, Level
from vecparity.sandbox.limits import Limits
from vecparity.task.config import TaskConfig
from vecparity.training.engines.names import DeviceName, EngineName

Function = TypeVar("Function", bound=Callable[..., Any])


class OptionKeywords(TypedDict, total=False):
    """The fields of `Options`, with all types that they accept."""

    engine: EngineName
    device: DeviceName
    init_device: Literal["cpu", "cuda"]
    chunk_runs: int | None
    threads: int | None
    dtype: torch.dtype | Literal["float32", "float64"]
    containment: Containment
    require_containment: Level | None
    limits: Limits
    strategy_log: Path | str | None
    seal_key: bytes | None
    draw: str | None
    same_draw: bool
    audit: AuditMode | None
    checkpoint: Path | str | None
    checkpoint_if_possible: bool
    checkpoint_seconds: float
    resume: bool


class _OfConfiguration:
    """The default of a setting, as a signature shows it."""

    def __repr__(self) -> str:
        return "<as in config>"


class EvaluationKeywords(OptionKeywords, total=False):
    """The fields of `Options` and of `TaskConfig`."""

    n_features: int
    secret_size: int
    hidden_width: int
    batch_size: int
    max_steps: int
    max_train_examples: int
    num_hidden_secrets: int
    num_orderings: int
    test_set_size: int
    log_interval: int
    min_steps_before_stop: int
    early_stop_acc: float
    early_stop_windows: int


def shows(keywords: type) -> Callable[[Function], Function]:
    """Returns a decorator that lists the keywords in a function's signature, as `help` and notebooks show it.

    Args:
        keywords: `OptionKeywords` or `EvaluationKeywords`, the function's ``**`` argument.
    """
    options = {field.name: field for field in fields(Options)}

    def default(name: str) -> object:
        if name not in options:
            return _OfConfiguration()
        factory = options[name].default_factory
        return options[name].default if factory is MISSING else factory()

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        listed = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default(name), annotation=kind)
            for name, kind in get_type_hints(keywords).items()
        ]
        function.__signature__ = signature.replace(parameters=[*own, *listed])  # type: ignore[attr-defined]
        return function

    return decorate


def divided(keywords: Mapping[str, Any], function: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Divides a function's keyword arguments into options and settings.

    Raises:
        UsageError: The function has no such argument.
    """
    require_known(keywords, function)
    names = {option.name for option in fields(Options)}
    settings = {name: value for name, value in keywords.items() if name not in names}
    return {name: value for name, value in keywords.items() if name in names}, settings


def require_known(keywords: Mapping[str, Any], function: Callable[..., Any]) -> None:
    """Checks that a public function, or a class, has all of these arguments.

    Raises:
        UsageError: It has not; the message names a likely one.
    """
    known = inspect.signature(function).parameters
    for name in keywords:
        if name in known:
            continue
        if name in {field.name for field in fields(TaskConfig)}:
            meant = f" (a setting belongs to a Job: settings={{{name!r}: ...}})"
        else:
            likely = get_close_matches(name, known, n=1)
            meant = f" (is {likely[0]} meant?)" if likely else ""
        whose = function.__name__
        raise UsageError(f"{whose} has no argument {brief(name)}{meant}; help(vecparity.{whose}) lists all")
