"""A leaderboard: the standings of one league, as a list that shows itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vecparity.analysis.standings import Standing
from vecparity.analysis.text_table import Heading, TextTable
from vecparity.task.config import CONFIGURATIONS, Protocol


@dataclass(frozen=True)
class League:
    """The conditions that evaluations must share to be ranked together.

    Attributes:
        protocol: The protocol, with no setting overridden.
        seal: Digest of the seal, or None for public seeds.
        dtype: Type of parameters, moments and gradients.
        init_device: Device on which ``init_model`` drew.
    """

    protocol: Protocol
    seal: str | None
    dtype: str = "float32"
    init_device: str = "cpu"

    @property
    def in_words(self) -> str:
        """One line that names the conditions."""
        secrets = f"sealed {self.seal[:16]}" if self.seal else "public seeds"
        return f"protocol {self.protocol}, {secrets}, {self.dtype}, weights drawn on {self.init_device}"


class Leaderboard(list[Standing]):
    """The standings of a league, best first, which show themselves as a table.

    Args:
        standings: The standings.
        league: The conditions that the ranked evaluations share.
    """

    __module__ = "vecparity"  # the public module, from which pickle imports the class with its attached method

    def __init__(self, standings: Iterable[Standing], league: League) -> None:
        super().__init__(standings)
        self.league = league

    def __repr__(self) -> str:
        return str(self.as_table())

    def as_table(self) -> TextTable:
        """Returns a row for each standing, and what those without a rank lack."""
        columns = [Heading("rank"), Heading("strategy"), *(Heading(label, is_number=True) for label in CONFIGURATIONS)]
        columns += [Heading("accuracy", is_number=True), Heading("steps", is_number=True), Heading("verified")]
        return TextTable(
            title=self.league.in_words,
            columns=columns,
            rows=[_cells(standing) for standing in self],
            notes=[standing.why_no_rank for standing in self if standing.why_no_rank],
        )

    if TYPE_CHECKING:
        # `api` attaches this: reports import standings, not the reverse.
        def _repr_html_(self, /) -> str: ...


def _cells(standing: Standing) -> list[str]:
    figures = (standing.configurations.get(label) for label in CONFIGURATIONS)
    steps = "" if standing.mean_steps is None else f"{standing.mean_steps:,.0f}"
    on_each = [each.text if each else "" for each in figures]
    return [standing.place, standing.strategy, *on_each, standing.accuracy_text or "", steps, standing.verified or ""]
