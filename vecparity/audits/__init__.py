"""Audits of strategies: what they find, and the runs that they train for it."""
