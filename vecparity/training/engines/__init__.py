"""Engines take an ensemble through a window of steps: one file an engine, one interface."""
