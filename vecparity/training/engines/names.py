"""The names that flags and options take, and nothing that takes time to load."""

from typing import Literal

EngineName = Literal["auto", "native", "cuda", "triton", "vmap", "reference"]
DeviceName = Literal["auto", "cpu", "cuda"]
