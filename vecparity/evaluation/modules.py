"""Modules that an evaluation uses late, imported before the first strategy runs.

A strategy that can write the user's files could put a module where the evaluator, which knows the secrets, would find
it first. What is imported already is not looked for again.
"""

from collections.abc import Collection
from contextlib import suppress
from importlib import import_module

import torch
from einops import rearrange

from vecparity.training.engines.names import EngineName

# What each engine imports when it is made, or first used.
_OF_ENGINES: dict[EngineName, tuple[str, ...]] = {
    "native": (),
    "vmap": ("vecparity.training.engines.vmap", "torch._dynamo"),
    "reference": ("torch._dynamo",),
    "triton": ("vecparity.training.engines.triton",),
    "cuda": ("vecparity.training.engines.cuda", "cuda.core", "cuda.bindings.driver", "cuda.bindings.nvrtc"),
}
# What audits and analyses import when they are first used.
_OF_FIGURES = ("scipy.special",)


def load(engines: Collection[EngineName]) -> None:
    """Imports what is used after the first call of a strategy: by these engines, by audits and by analyses.

    A module that is not installed is left to its user, who says what is missing.
    """
    rearrange(torch.zeros(1, 1), "row column -> column row")  # einops loads what it needs for torch on use
    for name in [*_OF_FIGURES, *(module for engine in engines for module in _OF_ENGINES[engine])]:
        with suppress(ImportError):
            import_module(name)
