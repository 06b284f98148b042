"""The plan for a million runs, from measured costs."""

from collections.abc import Mapping
from typing import Any

_RUNS, _RUNS_OF_EVALUATION, _EVALUATIONS_OF_BATCH = 1_000_000, 100, 8
_FEATURES, _NODES, _CORES = 32, 16, 64
_MEAN_STEPS = (10_000, 30_000, 100_000)


def table(content: Mapping[str, Any], workers: Mapping[str, Any], gpu: Mapping[str, Any]) -> list[str]:
    """Tabulates what a million runs cost.

    Args:
        content: The costs, as `million_runs` measures them.
        workers: The overhead of tasks, as `workers` measures it.
        gpu: The times of steps on a GPU, as `kernels` measures them.
    """
    machine, evaluation = content["machine"], content["evaluation"]
    evaluations = _RUNS // _RUNS_OF_EVALUATION
    of_core = max(measured["run_steps_per_second"] for measured in content["speed"]) / machine["cores"]
    on_gpu = [
        case["run_steps_per_second"]
        for case in gpu.get("times", ())
        if (case["n_features"], case["num_runs"]) == (_FEATURES, _RUNS_OF_EVALUATION)
    ]
    driver = evaluations * evaluation["driver_milliseconds"] / 3.6e6
    overhead = evaluations / _EVALUATIONS_OF_BATCH * workers["overhead_milliseconds"]["Ray"]["task"] / 3.6e6
    rows = {
        "evaluations of 100 runs; tasks of 8": f"{evaluations:,}; {evaluations // _EVALUATIONS_OF_BATCH:,}",
        "to workers, in all": f"{evaluations * evaluation['bytes_to_a_worker'] / 1e6:,.0f} MB",
        "from workers, in all": f"{evaluations * evaluation['bytes_from_a_worker'] / 1e9:,.1f} GB",
        "history": f"{evaluations * evaluation['history_bytes'] / 1e9:,.1f} GB",
        "the driver reads and records": f"{60 * driver:,.0f} minutes",
        "overhead of all tasks on Ray": f"{3600 * overhead:,.0f} s",
        "run-steps/s of a core": f"{of_core:,.0f}",
    }
    speeds = {f"{_NODES} nodes of {_CORES} cores": of_core * _NODES * _CORES}
    for of_gpu in on_gpu:
        rows[f"run-steps/s of an {gpu['machine']['gpu']}"] = f"{of_gpu:,.0f}"
        speeds[f"{_NODES} of these GPUs"] = of_gpu * _NODES
    for where, speed in speeds.items():
        hours = (f"{_RUNS * steps / speed / 3600:.2f} h" for steps in _MEAN_STEPS)
        rows[f"{where}, {', '.join(f'{steps:,}' for steps in _MEAN_STEPS)} steps a run"] = ", ".join(hours)
    return [
        "| a million runs | |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in rows.items()),
        "",
        f"`random_rows`, N=32, width 512, audits off. Measured: speed with {machine['cores']} contained workers of one "
        f"thread on {machine['cores']} cores ({machine['processor']}), the best of {len(content['speed'])}; bytes and "
        "times of evaluations with all 400 windows of 100 000 steps; steps of 100 runs on a GPU, without preparation. "
        "Multiplied: all else. That the cores share nothing but the driver is assumed, and was not tried.",
    ]
