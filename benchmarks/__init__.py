"""Throughput and end-to-end timings, each with a check of correctness before it and its peers beside it."""
