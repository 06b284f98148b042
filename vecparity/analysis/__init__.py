"""Comparisons and rankings of strategies, with their uncertainty; evaluations as data frames."""
