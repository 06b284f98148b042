"""Audits of strategies: their findings, and the runs that they train."""
