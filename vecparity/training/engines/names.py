"""The names that flags and options take, and nothing that takes time to load."""

import re
from typing import Literal

EngineName = Literal["auto", "native", "cuda", "triton", "vmap", "reference"]
# Text, beside the names that are always offered: ``cuda:1`` and so on, one of several GPUs.
DeviceName = Literal["auto", "cpu", "cuda", "cuda:all"] | str
DEVICES = "auto, cpu, cuda, cuda:0 (or another number), cuda:all"


def is_device(name: object) -> bool:
    """Tells if that may be a device's name on some machine."""
    return isinstance(name, str) and re.fullmatch(r"auto|cpu|cuda(:all|:[0-9]{1,3})?", name) is not None
