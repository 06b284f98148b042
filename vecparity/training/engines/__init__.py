"""Engines, which take an ensemble through a window of steps: one file per engine, one interface."""
