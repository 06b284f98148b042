"""Kernels for accelerators: sources as package data, compiled when they are first needed."""
