"""The audit mode: how strictly a strategy is audited. This module loads quickly."""

from typing import Literal

from vecparity.strategy.source import Strategy

AuditMode = Literal["off", "report", "strict"]


def audit_mode(strategy: Strategy, requested: AuditMode | None, *, is_sealed: bool) -> AuditMode:
    """Returns the requested mode; by default ``report`` if the strategy is not bundled and the seeds are public."""
    if requested is not None:
        return requested
    return "off" if is_sealed or strategy.is_bundled else "report"
