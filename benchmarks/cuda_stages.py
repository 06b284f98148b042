"""Checks and measures everything on a machine with a CUDA GPU that is available only for minutes.

scripts/bench_cuda --wheels 3.12    where there is a network: fetches wheels for that Python into wheelhouse/
scripts/bench_cuda                  on the machine, which needs PyTorch with CUDA, and no network
scripts/bench_cuda --rehearse       anywhere: every stage on a CPU, in tiny sizes

Stages run one after another, each with its own time limit, in less than 9 minutes in all. Each writes its measurements
to its own JSON file as soon as they are available, and its output to logs/. A failure does not stop the rest; the table
at the end and the exit status report it.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks import cuda_packages, gpu_table, stages
from benchmarks.stages import Stage

ENGINES = ("cuda", "triton", "vmap")
ONE_LAUNCH = ("cuda", "triton")  # engines whose window is a single kernel launch, as the tools need
MOST_SECONDS = 540
OWN = cuda_packages.ROOT / "benchmarks" / "own"  # as machine.OWN, which needs packages
REHEARSAL = cuda_packages.ROOT / "build" / "rehearsal"
STAND_INS = cuda_packages.ROOT / "tests" / "stand_ins"
REHEARSAL_SECONDS = 600  # time limit of a stage: this machine may be slow and busy

# Time limits in seconds by stage, and by engine if they differ.
LIMITS: dict[str, float] = {
    "packages": 25,
    "extension": 40,
    "versions": 12,
    "compile": 25,
    "kernels_cuda": 25,
    "kernels_triton": 30,
    "kernels_vmap": 30,
    "traces_cuda": 15,
    "traces_triton": 15,
    "traces_vmap": 15,
    "ncu_cuda": 25,
    "ncu_triton": 18,
    "sanitizer_cuda": 25,
    "sanitizer_triton": 20,
    "tests": 80,
    "throughput": 40,
    "isolated_cube": 25,
    "one_pass": 45,
    "jax": 30,
}

Commands = dict[str, tuple[str, ...]]


def commands(engines: tuple[str, ...], environment: Path) -> Commands:
    """Returns every stage's module and arguments, in order."""
    program, kernels = "benchmarks.cuda_commands", "benchmarks.kernels"
    evaluation = ("benchmarks.end_to_end", "--device", "cuda", "--engine", "auto")
    return {
        "packages": ("benchmarks.cuda_packages", "install", str(environment)),
        "extension": ("benchmarks.cuda_packages", "extension"),
        "versions": (program, "versions"),
        **({"compile": (program, "compile")} if "cuda" in engines else {}),
        **{f"kernels_{engine}": (kernels, "times", engine) for engine in engines},
        **{f"traces_{engine}": (kernels, "traces", engine) for engine in engines},
        **{f"ncu_{engine}": (program, "ncu", engine) for engine in engines if engine in ONE_LAUNCH},
        **{f"sanitizer_{engine}": (program, "sanitizer", engine) for engine in engines if engine in ONE_LAUNCH},
        "tests": (program, "tests"),
        "throughput": (
            *("benchmarks.throughput", "--device", "cuda", "--contender", *engines, "--rows", "uniform"),
            *("--n-features", "64", "--runs", "100", "15", "--repeats", "3"),
        ),
        "isolated_cube": evaluation,
        # The protocol's number of runs and steps, with one dataset for each N: making one takes 10 s on the CPU.
        "one_pass": (
            *(*evaluation, "--strategy", "one_pass"),
            *("--setting", "num-hidden-secrets=1", "num-orderings=100"),
        ),
        "jax": (program, "jax", "--contender", engines[0], "JAX"),
    }


def rehearsed(engines: tuple[str, ...], environment: Path) -> Commands:
    """Returns the same stages for a CPU, in tiny sizes: cuda emulated, triton interpreted."""
    small = ("--device", "cpu", "--n-features", "32", "--runs", "1", "--num-steps", "1")
    tiny: dict[str, tuple[str, ...]] = {
        "versions": ("--device", "cpu"),
        "compile": ("--device", "cpu", "--n-features", "32"),
        **{f"kernels_{engine}": (*small, "--repeats", "1") for engine in engines},
        **{
            f"traces_{engine}": (
                *("--device", "cpu", "--trace", "isolated_cube_n32", "--runs", "1", "--max-steps", "2"),
            )
            for engine in engines
        },
        **{f"ncu_{engine}": small for engine in engines},
        **{f"sanitizer_{engine}": small for engine in engines},
        "jax": ("--device", "cpu", "--contender", "vmap", "JAX", "--runs", "1", "--repeats", "1"),
    }
    evaluation = ("benchmarks.end_to_end", "--device", "cpu", "--engine", "auto", "--setting", "smoke")
    others: Commands = {
        "throughput": (
            *("benchmarks.throughput", "--contender", "vmap", "--rows", "uniform", "--n-features", "32"),
            *("--runs", "1", "--repeats", "1"),
        ),
        "isolated_cube": evaluation,
        "one_pass": (
            *(*evaluation, "max-steps=20", "max-train-examples=1000", "num-hidden-secrets=1"),
            *("--strategy", "one_pass"),
        ),
        "jax": ("benchmarks.cuda_commands", "jax"),
    }
    real = commands(engines, environment)
    return {name: others.get(name, real[name]) + tiny.get(name, ()) for name in real}


def make_stages(chosen: Commands, directory: Path, is_rehearsal: bool) -> list[Stage]:
    """Makes stages that write to a directory; the installing stages write nothing."""
    made = []
    for name, (module, *arguments) in chosen.items():
        if module != "benchmarks.cuda_packages":
            arguments += ["--output", f"gpu_{name}", "--output-dir", str(directory)]
        limit = REHEARSAL_SECONDS if is_rehearsal else LIMITS[name]
        made.append(Stage(f"gpu_{name}", ("-m", module, *arguments), limit))
    return made


def pythons(environment: Path) -> Iterator[str]:
    """Yields the Python of the next stage: the current Python until the environment's exists."""
    while True:
        installed = environment / "bin" / "python"
        yield str(installed) if (environment / "pyvenv.cfg").exists() and installed.exists() else sys.executable


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/bench_cuda", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="where to write; by default benchmarks/own")
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=list(ENGINES), help="by default all")
    parser.add_argument("--stage", nargs="+", metavar="NAME", help="these only, of: " + ", ".join(LIMITS))
    parser.add_argument("--rehearse", action="store_true", help="on a CPU, in tiny sizes; writes to build/rehearsal")
    parser.add_argument("--wheels", metavar="PYTHON", help="fetch wheels for a version of Python, and do nothing else")
    options = parser.parse_args()
    if options.wheels:
        cuda_packages.fetch(options.wheels)
        return 0
    directory = (options.output or (REHEARSAL if options.rehearse else OWN)).absolute()
    os.chdir(cuda_packages.ROOT)
    with tempfile.TemporaryDirectory(prefix="vecparity-gpu-") as scratch:
        where = Path(scratch) / "environment"
        engines = tuple(dict.fromkeys(options.engine))
        chosen = (rehearsed if options.rehearse else commands)(engines, where)
        if unknown := set(options.stage or ()) - set(chosen):
            parser.error(f"--stage must be of {', '.join(chosen)}, got {', '.join(sorted(unknown))}")
        chosen = {name: command for name, command in chosen.items() if not options.stage or name in options.stage}
        return run(make_stages(chosen, directory, options.rehearse), where, directory, options.rehearse)


def run(made: list[Stage], environment: Path, directory: Path, is_rehearsal: bool) -> int:
    """Runs stages, prints the table, and returns the exit status: 1 if one failed."""
    variables = dict(os.environ)
    # NVIDIA's own search for NVRTC does not cover the packages that an environment shares with its parent Python.
    libraries = [*cuda_packages.nvrtc_directories(), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    variables["LD_LIBRARY_PATH"] = ":".join(libraries)
    if is_rehearsal:
        variables["PATH"] = f"{STAND_INS}{os.pathsep}{variables.get('PATH', os.defpath)}"
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [str(STAND_INS.parent), variables.get("PYTHONPATH")]))
        variables["CUDA_VISIBLE_DEVICES"] = ""
        variables["XDG_CACHE_HOME"] = str(environment.parent / "cache")  # an empty cache, so that kernels recompile
    before = cuda_packages.extensions()
    try:
        with stages.terminable():
            outcomes = stages.run_all(made, pythons(environment), directory, variables, "gpu_stages")
    finally:
        for extension in cuda_packages.extensions() - before:  # a leftover build would hide later source changes
            extension.unlink()
    if (versions := directory / "gpu_versions.json").exists():
        ended = [asdict(outcome) for outcome in outcomes]
        stages.save("gpu_stages", {"machine": json.loads(versions.read_text())["machine"], "stages": ended}, directory)
    print("\n" + "\n".join(gpu_table.tables(directory)))
    print(f"\n{stages.table(outcomes)}\nwritten to {directory}")
    return int(any(outcome.status == "failed" for outcome in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
