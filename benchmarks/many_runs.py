"""Time and memory of very many short runs: an evaluator trains and tests them group by group.

python -m benchmarks.many_runs

The jobs differ in their seeds. An `Evaluator` trains no more than 800 runs at a time, so that memory does not grow with
the number of jobs: the figures of a part of the jobs tell what all of them would take.
"""

import resource
import time
from pathlib import Path

from cyclopts import App

from benchmarks import machine
from vecparity import Evaluation, Evaluator, Job

app = App(help=__doc__)


@app.default
def main(
    *,
    jobs: int = 1000,
    strategy: str = "isolated_cube",
    config: str = "n32-k8",
    num_steps: int = 64,
    output: str = "many_runs",
    output_dir: Path = machine.OWN,
) -> Path:
    """Evaluates the jobs, of 100 runs each, prints and writes ``<output-dir>/<output>.json``.

    Args:
        jobs: Number of evaluations.
        strategy: A bundled strategy or a file.
        config: The configuration's label.
        num_steps: Steps of every run.
        output: Name of the JSON file.
        output_dir: Directory of the JSON file.
    """
    settings = {"max_steps": num_steps, "log_interval": num_steps, "min_steps_before_stop": num_steps}
    num_runs = 0
    began = time.perf_counter()
    with Evaluator(engine="native", device="cpu") as evaluator:
        listed = [Job(strategy, config, seed, settings=settings) for seed in range(jobs)]
        # Outcomes are counted and dropped, as a search would that keeps scores only.
        for outcome in evaluator.map(listed):
            if not isinstance(outcome, Evaluation):
                raise SystemExit(f"a job failed: {outcome.error}")
            num_runs += outcome.metrics.num_runs
            if num_runs % 4000 == 0:
                print(f"{num_runs} runs, {time.perf_counter() - began:.0f} s, {peak_gigabytes():.2f} GB", flush=True)
    seconds = time.perf_counter() - began
    content = {
        "machine": machine.describe(),
        "strategy": strategy,
        "config": config,
        "num_runs": num_runs,
        "num_steps": num_steps,
        "seconds": seconds,
        "runs_per_second": num_runs / seconds,
        "peak_resident_gigabytes": peak_gigabytes(),
    }
    path = machine.save(output, content, output_dir)
    print(f"{num_runs} runs in {seconds:.0f} s, at most {peak_gigabytes():.2f} GB: written to {path}")
    return path


def peak_gigabytes() -> float:
    """Returns the most memory that this process has held so far, without the sandboxes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # of KiB, on Linux


if __name__ == "__main__":
    app(result_action="return_value")
