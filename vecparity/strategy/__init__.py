"""Strategies: their files, the three functions, and the checks of the values that they return."""
