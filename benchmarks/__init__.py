"""Throughput and end-to-end timings, each after a correctness check and alongside its peers."""
