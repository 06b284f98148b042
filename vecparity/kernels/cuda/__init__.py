"""A CUDA kernel that keeps a run on the chip through a window of steps; its design is in README.md beside this file."""
