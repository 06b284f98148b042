"""Runs and how they train: the ensemble, batches in order, the loop over windows."""
