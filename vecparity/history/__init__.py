"""The history: evaluations recorded in one SQLite file, to look up and reproduce."""
