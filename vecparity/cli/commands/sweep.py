"""``vecparity sweep``: evaluates a strategy at every point of a grid."""

import csv
import io
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vecparity.cli.arguments import Integer, Overrides, Switch, Whole, given
from vecparity.cli.messages import fail, interrupted, say
from vecparity.cli.output import Column, Format, cell, show_records
from vecparity.cli.places import require_places
from vecparity.cluster.choose import opened_workers, require_workers
from vecparity.errors import MachineError, VecparityError
from vecparity.files import write_whole
from vecparity.sandbox.levels import Containment, Level
from vecparity.sandbox.limits import Limits
from vecparity.strategy import parameters
from vecparity.task.config import Protocol
from vecparity.training.engines.names import DeviceName, EngineName

if TYPE_CHECKING:
    from vecparity.tuning.results import Cell, Sweep
    from vecparity.tuning.sweeping import SweepPlan

# Different errors that are shown; the tables and files have all of them.
_MOST_ERRORS = 5
_RESUMABLE, _INTERRUPTED = 75, 130


def sweep(
    strategy: str,
    /,
    *,
    over: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable=())],
    random: Integer = None,
    config: Literal["n32-k8", "n50-k8", "n64-k8"] = "n32-k8",
    protocol: Protocol = "full",
    smoke: Switch = False,
    seed: Whole = 42,
    param: Annotated[tuple[str, ...], Parameter(consume_multiple=True, negative_iterable=())] = (),
    csv_file: Annotated[Path | None, Parameter(name="--csv")] = None,
    report: Path | None = None,
    format_: Annotated[Format, Parameter(name="--format")] = "table",
    wide: Switch = False,
    history: Path | None = None,
    reuse: Switch = False,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    threads: Integer = None,
    workers: str | None = None,
    containment: Containment = "auto",
    require_containment: Level | None = None,
    overrides: Overrides = Overrides(),  # type: ignore[valid-type]  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
) -> int:
    """Evaluate a strategy at every point of a grid of its parameters and the settings, each cell on several secrets.

    Args:
        strategy: A bundled strategy's name, or a file.
        over: An axis: a parameter of the strategy, one of AdamW's numbers (lr, wd, beta1, beta2), or a setting.
            lr=0.001,0.01 has these values, lr=0.001:0.1:5 has 5 evenly spaced ones, and lr=0.001:0.1:5:log has 5 at
            equal factors.
        random: Evaluate so many cells of the grid only, drawn without replacement by the seed.
        config: One of the benchmark's configurations.
        protocol: full: 10 secrets x 10 orderings, 100 000 steps. published: 5 x 3, 30 000 steps.
        smoke: Short evaluations, to check that everything works.
        seed: The top-level seed of every cell.
        param: Values for parameters that are no axes, as in --param wd=0.3.
        csv_file: A file for a table with a row for each run.
        report: A file for heat maps and lines: one HTML page.
        format_: The output format of the cells' table. json and csv have errors, too. In csv, an apostrophe marks texts
            that look like formulas.
        wide: Show all columns, though the table is wider than the terminal.
        history: A file in which the cells' evaluations are recorded. By default none are.
        reuse: Take evaluations of the same source, settings, engine and versions from the history: a sweep that was
            interrupted goes on.
        engine: The training engine.
        device: The training device.
        threads: CPU threads; of each worker, if there are any.
        workers: Evaluate in so many processes of this machine, or on Ray: ray, or ray://HOST:PORT of a cluster. The
            results are the same.
        containment: The sandbox around strategies. auto takes the strongest that the machine has.
        require_containment: Refuse weaker containment.
        overrides: Settings of every cell.
        limits: Limits of each worker that runs a strategy.
    """
    require_places({"--csv": csv_file, "--report": report}, {"--history": history})
    require_workers(workers)

    from vecparity.evaluation.job import Job
    from vecparity.report.svg import drawing
    from vecparity.tuning.grid import parse_axes
    from vecparity.tuning.sweeping import plan_sweep

    base = Job(strategy, config, seed, parameters.parse(param), protocol, smoke, given(overrides))
    plan = plan_sweep(base, parse_axes(over), random)
    if report is not None:
        with drawing():  # without Matplotlib there is none
            pass
    options = {
        "engine": engine,
        "device": device,
        "threads": threads,
        "audit": "off",
        "containment": containment,
        "require_containment": require_containment,
        "limits": limits,
        "history": history,
        "reuse": reuse,
    }
    swept, is_whole = _evaluate(plan, options, workers)
    status = 0 if is_whole else _RESUMABLE if reuse else _INTERRUPTED
    if swept.cells:
        _show(swept, format_, wide=wide)
        status = status or _report_failures(swept)
        status = _write(swept, csv_file, report) or status
    if not is_whole:
        missing = f"{len(plan.jobs) - len(swept.cells):,} of {len(plan.jobs):,} cells are missing"
        remedy = "the same command with --reuse" if history else "with --history FILE, --reuse"
        interrupted(f"interrupted: {missing} ({remedy} goes on)", status)
    return status


def _evaluate(plan: "SweepPlan", options: Mapping[str, Any], workers: str | None) -> tuple["Sweep", bool]:
    """Returns the sweep and True, or what is done of it and False if it was interrupted."""
    from vecparity.cli.cell_display import CellDisplay
    from vecparity.cli.interruption import Interruption
    from vecparity.cli.recorded_cells import RecordedCells
    from vecparity.evaluator import Evaluator
    from vecparity.tuning.sweeping import evaluate_cells

    began = time.monotonic()
    cells: dict[int, Cell] = {}
    interruption = Interruption()
    recorded = RecordedCells(interruption)
    try:
        with (
            interruption,
            CellDisplay(len(plan.jobs)) as display,
            opened_workers(workers, options["threads"], options["engine"], options["device"], say) as executor,
            Evaluator(followers=[display, recorded], executor=executor, **options) as evaluator,
        ):
            for place, done in evaluate_cells(plan, evaluator):
                cells[place] = done
                display.add_cell()
                if done.evaluation is not None:
                    recorded.shown()
    except KeyboardInterrupt:
        pass
    return plan.sweep_of(cells, time.monotonic() - began), len(cells) == len(plan.jobs)


def _show(swept: "Sweep", format_: Format, *, wide: bool) -> None:
    from vecparity.tuning.frames import SUMMARY_COLUMNS, axis_names, summary_records
    from vecparity.tuning.value_axes import are_numbers

    records = summary_records(swept)
    names = axis_names(swept, SUMMARY_COLUMNS)
    if format_ == "csv":
        show_records(records, {name: Column(name) for name in (*names, *SUMMARY_COLUMNS)}, format_)
        return
    if format_ != "json":
        for record in records:
            ends = record["accuracy_low"], record["accuracy_high"]
            record["accuracy_interval"] = None if None in ends else ends
    headings = {column.heading for column in _FIGURES.values()}
    axes = {
        name: Column(f"param_{axis}" if axis in headings else axis, is_number=are_numbers(values))
        for name, (axis, values) in zip(names, swept.axes.items(), strict=True)
    }
    is_one = not {"n_features", "secret_size"} & set(swept.axes)
    size = f"{swept.config.label}, " if is_one else ""
    title = (
        f"{swept.strategy.name}: {size}protocol {swept.protocol}, seed {swept.seed}, "
        f"{len(swept.cells):,} cell{'s' * (len(swept.cells) != 1)} in {swept.seconds:,.1f} s"
    )
    show_records(records, {**axes, **_FIGURES}, format_, title, wide=wide)


_FIGURES = {
    "test_accuracy": Column("accuracy", lambda share: f"{share:.4f}", is_number=True),
    "accuracy_interval": Column("95% interval", lambda ends: f"{ends[0]:.4f} to {ends[1]:.4f}", is_number=True, rank=1),
    "mean_steps": Column("steps", lambda steps: f"{steps:,.0f}", is_number=True, rank=2),
    "share_solved": Column("solved", lambda share: f"{share:.0%}", is_number=True, rank=3),
    "num_runs": Column("runs", is_number=True, rank=4),
}


def _report_failures(swept: "Sweep") -> int:
    """Reports each error once, with the first of its cells; returns the exit status of the first failure, or 0."""
    failed = [(failure.values, failure.error) for failure in swept.cells if failure.error is not None]
    counts = Counter(str(error) for _, error in failed)
    first = {str(error): values for values, error in reversed(failed)}
    for message, count in list(counts.items())[:_MOST_ERRORS]:
        where = ", ".join(f"{name}={value}" for name, value in first[message].items())
        others = f" and {count - 1:,} other cell{'s' * (count > 2)}" if count > 1 else ""
        say(f"no score at {where}{others}: {message}")
    if len(counts) > _MOST_ERRORS:
        say(f"no score: {len(counts) - _MOST_ERRORS:,} more errors (--format json has all)")
    return failed[0][1].exit_status if failed else 0


def _write(swept: "Sweep", csv_file: Path | None, report: Path | None) -> int:
    """Writes the files, and returns an error's exit status or 0."""
    try:
        if csv_file is not None:
            write_whole(csv_file, _as_csv(swept).encode())
        if report is not None:
            from vecparity.tuning.sweep_page import write_sweep_report

            write_sweep_report(swept, report)
    except OSError as error:
        return fail(MachineError(f"{error.filename or csv_file} could not be written: {error.strerror or error}"))
    except VecparityError as error:
        return fail(error)
    return 0


def _as_csv(swept: "Sweep") -> str:
    from vecparity.tuning.frames import RUN_COLUMNS, axis_names, run_records

    text = io.StringIO()
    writer = csv.DictWriter(text, [*axis_names(swept, RUN_COLUMNS), *RUN_COLUMNS], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in record.items()} for record in run_records(swept))
    return text.getvalue()
