"""How strictly a strategy is audited; nothing here takes time to load."""

from typing import Literal

from vecparity.strategy.source import Strategy

AuditMode = Literal["off", "report", "strict"]


def audit_mode(strategy: Strategy, asked: AuditMode | None, *, is_sealed: bool) -> AuditMode:
    """The audit's mode: as asked for, by default a report where it is not bundled and seeds are public."""
    if asked is not None:
        return asked
    return "off" if is_sealed or strategy.is_bundled else "report"
