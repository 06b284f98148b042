"""Evaluations recorded in one SQLite file, found again and repeated."""
