"""The types of the lines that commands print with ``--json``; msgspec makes JSON Schemas of them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, TypedDict, get_type_hints

import msgspec
from msgspec import Struct

from vecparity.analysis.comparison import Comparison
from vecparity.analysis.leaderboard import League
from vecparity.analysis.standings import Standing
from vecparity.cluster.nodes import Node
from vecparity.evaluation.params import Params
from vecparity.evaluation.serialization import Content, Curves
from vecparity.history.records import Entry
from vecparity.inspection.checking import Check
from vecparity.inspection.doctor import Diagnosis
from vecparity.task.config import TaskConfig


class ErrorOfCommand(Struct):
    """An error: its kind, one line, the strategy's file and line or None, the exit status, and what else is known."""

    kind: str
    message: str
    where: str | None
    status: int
    notes: list[str]


class ErrorLine(Struct, forbid_unknown_fields=True):
    """The line of an error."""

    error: ErrorOfCommand


class PrintedLine(Struct, forbid_unknown_fields=True):
    """The text for people of a command that has no results of its own."""

    printed: str


class EvaluatedLine(Struct, forbid_unknown_fields=True):
    """One evaluation; None where it has no score, for the reason that ``problem`` gives."""

    strategy: str
    sha256: str
    seed: int
    config: str
    protocol: str
    test_accuracy: float | None
    test_accuracy_std: float | None
    score: float | None
    mean_steps: float | None
    num_runs: int
    seconds: float
    problem: str | None = None


class CheckedLine(Struct, forbid_unknown_fields=True):
    """A strategy's answers under each configuration."""

    ok: Literal[True]
    exit_status: Literal[0]
    configurations: list[Check]


class SearchTrial(Struct):
    """A trial, see `tuning.results.Trial`."""

    number: int
    params: Params
    state: str
    num_runs: int
    accuracy: float | None = None
    mean_steps: float | None = None
    error: str | None = None


class SearchWinner(Struct):
    """A trial that was evaluated anew: evaluations without curves, and errors by configuration."""

    trial: int
    params: Params
    strategy_sha256: str
    evaluations: list[dict[str, Any]]
    errors: dict[str, str]


class SearchedLine(Struct, forbid_unknown_fields=True):
    """A search, see `tuning.results.Search`."""

    strategy: str
    strategy_sha256: str
    config: TaskConfig
    protocol: str
    seed: int
    space: dict[str, str]
    params: Params
    sampler: str
    seconds: float
    importances: dict[str, float]
    winners: list[SearchWinner]
    trials: list[SearchTrial]


class CellLine(TypedDict):
    """A cell of a sweep, beside its value on each axis, by the axis's name; figures are None if it failed."""

    test_accuracy: float | None
    accuracy_low: float | None
    accuracy_high: float | None
    mean_steps: float | None
    share_solved: float | None
    num_runs: int | None
    error: str | None


def _joined(name: str, *types: type, **more: Any) -> type[Struct]:
    """Returns a type with the fields of several dataclasses, and more."""
    hints = {field.name: get_type_hints(type_)[field.name] for type_ in types for field in fields(type_)}
    return _struct(name, hints, **more)


def _struct(name: str, hints: Mapping[str, Any], **more: Any) -> type[Struct]:
    """Returns a type with some fields, and more or others in their place."""
    return msgspec.defstruct(name, list({**hints, **more}.items()), forbid_unknown_fields=True)


LINES: dict[str, Any] = {
    "eval": EvaluatedLine,
    "check": CheckedLine,
    "compare": _joined("ComparisonLine", Comparison, is_paired=bool, made_differently=dict[str, Any], verdict=str),
    "search": SearchedLine,
    "sweep": CellLine,
    "leaderboard": _joined("StandingLine", League, Standing, seeds=list[int]),
    "history": Entry,
    "show": _struct("ShownLine", get_type_hints(Content), format=int, curves=Curves),
    "doctor": _joined("DoctorLine", Diagnosis, workers=dict[str, Node]),
}


def schema(command: str) -> dict[str, Any]:
    """Returns the JSON Schema of a line of a command: a result, or an error."""
    either = [LINES.get(command, PrintedLine), ErrorLine]
    lines, parts = msgspec.json.schema_components(either, ref_template="#/$defs/{name}")
    return {"anyOf": list(lines), "$defs": parts}
