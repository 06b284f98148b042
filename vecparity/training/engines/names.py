"""The names that flags and options accept, in a module that loads quickly."""

import re
from typing import Literal

EngineName = Literal["auto", "native", "cuda", "triton", "vmap", "reference"]
# Besides the fixed names, any text: ``cuda:1`` and so on name one of several GPUs.
DeviceName = Literal["auto", "cpu", "cuda", "cuda:all"] | str
# Raised whenever an engine's results change in any bit, so that no training resumes from, and no evaluation is recalled
# from, results of other roundings. Engines that are not listed are at version 1.
_VERSIONS: dict[EngineName, int] = {"native": 3, "cuda": 2}
DEVICES = "auto, cpu, cuda, cuda:0 (or another number), cuda:all"


def version_of(engine: EngineName) -> int:
    """Returns the version of an engine's roundings."""
    return _VERSIONS.get(engine, 1)


def is_device(name: object) -> bool:
    """Tells whether a value can be the name of a device on some machine."""
    return isinstance(name, str) and re.fullmatch(r"auto|cpu|cuda(:all|:[0-9]{1,3})?", name) is not None
