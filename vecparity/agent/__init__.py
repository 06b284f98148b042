"""Agents: the benchmark's own loop of edits, tests and one submission, for a person, a model or a program."""
