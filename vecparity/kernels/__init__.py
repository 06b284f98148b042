"""Kernels of the engines that do not leave everything to PyTorch."""
