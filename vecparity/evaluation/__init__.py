"""Evaluations: the path from strategies and seeds to a result, and the result as JSON and metric lines."""
