"""Inspection without training: a strategy's answers, and the engines that this machine can run."""
