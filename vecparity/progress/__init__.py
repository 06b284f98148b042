"""The progress of evaluations that are running, for people."""
