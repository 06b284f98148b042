"""The contenders: our engines and their peers, one file for each kind."""

from benchmarks.cases import Contender
from benchmarks.contenders import engines, jax_scan, torch_func

CONTENDERS: list[Contender] = [*engines.CONTENDERS, *torch_func.CONTENDERS, *jax_scan.CONTENDERS]
