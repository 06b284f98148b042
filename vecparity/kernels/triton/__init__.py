"""The Triton kernel: Python that Triton compiles when it is first needed."""
