"""Strategies' sources as a report shows them."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vecparity.report.strategy_results import StrategyResult
from vecparity.strategy.source import bundled_digests, load

# A longer source is cut off: a report is to be sent.
_MOST_CHARACTERS = 40_000


@dataclass(frozen=True)
class Listing:
    """One source.

    Attributes:
        names: The strategies that were made of it.
        lines: Its lines, as far as they are shown, or None if the source is not known.
        num_lines: Number of all its lines.
        is_cut: True if the rest is not shown.
    """

    names: list[str]
    lines: list[str] | None
    num_lines: int = 0
    is_cut: bool = False


def listings(results: Sequence[StrategyResult], sources: Collection[bytes]) -> list[Listing]:
    """Returns each strategy's source, once for all strategies that were made of it with different parameters.

    Args:
        results: The report's strategies.
        sources: The sources that are known, besides those of bundled strategies. Others' sources are left out.
    """
    known = {hashlib.sha256(source).hexdigest(): source for source in sources}
    names_by_digest: dict[str, list[str]] = {}
    for result in results:
        digest = result.series[0].evaluation.provenance.strategy_sha256
        names_by_digest.setdefault(digest, []).append(result.name)
    return [_listing(names, known.get(digest) or _bundled_source(digest)) for digest, names in names_by_digest.items()]


def _listing(names: list[str], source: bytes | None) -> Listing:
    if source is None:
        return Listing(names, None)
    text = source.decode(errors="backslashreplace").expandtabs(4)
    return Listing(names, text[:_MOST_CHARACTERS].splitlines(), len(text.splitlines()), len(text) > _MOST_CHARACTERS)


def _bundled_source(sha256: str) -> bytes | None:
    return next((load(name).source for name, digest in bundled_digests().items() if digest == sha256), None)
