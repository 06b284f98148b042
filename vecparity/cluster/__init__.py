"""Evaluations by several processes, of this machine or of others."""
