"""Strategies: their files, the three functions, and what of their answers is accepted."""
