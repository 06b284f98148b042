"""Shapes and types of every annotated function behind the border are checked while the tests run."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import install_import_hook

# `spec` and `evaluation` are the border: they check what they are given themselves, with errors of their own.
_BEHIND_THE_BORDER = [
    "adamw",
    "checkpoint_file",
    "data",
    "engines",
    "ensemble",
    "machine",
    "native",
    "network",
    "orderings",
    "progress",
    "reference",
    "runs",
    "schedule",
    "snapshot",
    "strategy",
    "train",
]
install_import_hook([f"vecparity.{module}" for module in _BEHIND_THE_BORDER], "beartype.beartype")

# Triton decides when it is first imported whether kernels are compiled or interpreted.
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

GOLDEN = Path(__file__).parent / "golden"
CPU = torch.device("cpu")


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
