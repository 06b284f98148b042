"""The Triton kernel: Python that Triton compiles on first use."""
