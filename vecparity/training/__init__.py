"""Runs and their training: the ensemble, the order of batches, the loop over windows."""
