"""``vecparity compare``: compares other strategies with the first."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from vecparity.cli.arguments import Overrides, Seeds, Switch, given
from vecparity.cli.commands.comparison_columns import CSV, MARKDOWN, SECRETS, TABLE, secret_records, summary_record
from vecparity.cli.messages import warn
from vecparity.cli.output import Format, show, show_json, show_records
from vecparity.cluster.choose import require_workers
from vecparity.errors import UsageError
from vecparity.sandbox.levels import Containment, Level
from vecparity.sandbox.limits import Limits
from vecparity.task.config import CONFIGURATIONS, Protocol, TaskConfig, protocol_name, task_config

if TYPE_CHECKING:
    from vecparity.analysis.comparison import Comparison
    from vecparity.cli.commands.compare_sides import Side
    from vecparity.evaluation.options import Options
    from vecparity.history.references import Reference


def compare(
    *what: str,
    protocol: Protocol | None = None,
    config: Literal["n32-k8", "n50-k8", "n64-k8"] | None = None,
    all_configs: Switch = False,
    smoke: Switch = False,
    seed: Annotated[Seeds, Parameter(show_default=False)] = (),
    per_secret: Switch = False,
    format_: Annotated[Format, Parameter(name="--format")] = "table",
    wide: Switch = False,
    no_reuse: Switch = False,
    history: Path | None = None,
    workers: str | None = None,
    containment: Containment = "auto",
    require_containment: Level | None = None,
    overrides: Overrides = Overrides(),  # type: ignore[valid-type]  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
) -> int:
    """Say whether strategies do better than the first, the baseline, and how sure that is.

    Args:
        what: Two or more: ids of vecparity history, latest for the newest, JSON files of vecparity eval, bundled
            strategies, or strategies' files. Strategies are evaluated unless the history has their evaluations. If
            recorded evaluations are given, strategies are evaluated under the same settings.
        protocol: The protocol for evaluating strategies: full or published. By default full.
        config: One of the benchmark's configurations, by default n32-k8.
        all_configs: All three configurations.
        smoke: Short evaluations, to check that everything works.
        seed: Top-level seeds, whose secrets are pooled. By default 42.
        per_secret: Show each secret.
        format_: The output format. json has everything. In csv, an apostrophe marks texts that look like formulas.
        wide: Show all columns, though the table is wider than the terminal.
        no_reuse: Evaluate strategies even if the history has their evaluations.
        history: The file in which evaluations are recorded; by default one in the user's data directory.
        workers: Evaluate in so many processes of this machine, or on Ray: ray, or ray://HOST:PORT of a cluster. The
            results are the same.
        containment: The sandbox around strategies. auto takes the strongest that the machine has.
        require_containment: Refuse weaker containment.
        overrides: Settings to evaluate strategies under.
        limits: Limits of each worker that runs a strategy.
    """
    from vecparity.evaluation.options import Options
    from vecparity.history.references import resolve

    require_workers(workers)
    if len(what) < 2:
        raise UsageError(f"expected two or more strategies or evaluations to compare, got {len(what)}")
    if all_configs and config:
        raise UsageError(f"--all-configs cannot be combined with --config: got --config {config}")
    references = resolve(what, history)
    settings = given(overrides)
    flags = {"--protocol": protocol, "--config": config, "--all-configs": all_configs, "--smoke": smoke, "--seed": seed}
    flags |= {f"--{name.replace('_', '-')}": True for name in settings}
    _require_own_settings(references, flags)
    labels = list(CONFIGURATIONS) if all_configs else [config or "n32-k8"]
    chosen = protocol or "full"
    sides = _sides(
        references,
        protocol_name(chosen, smoke=smoke),
        [task_config(label, protocol=chosen, smoke=smoke, **settings) for label in labels],
        seed or (42,),
        Options(containment=containment, require_containment=require_containment, limits=limits),
        reuse=not no_reuse,
        history=history,
        workers=workers,
    )
    comparisons = [comparison for other in sides[1:] for comparison in _comparisons(sides[0], other)]
    _show(comparisons, sides[0].name, per_secret, format_, wide)
    return 0


def _require_own_settings(references: Sequence["Reference"], values: Mapping[str, Any]) -> None:
    from vecparity.evaluation.result import Evaluation

    recorded = [reference.name for reference in references if isinstance(reference.subject, Evaluation)]
    flags = [flag for flag, value in values.items() if value]
    if recorded and flags:
        raise UsageError(
            f"recorded evaluations have settings of their own: expected {recorded[0]} without {', '.join(flags)}"
        )


def _sides(
    references: Sequence["Reference"],
    protocol: str,
    configs: Sequence[TaskConfig],
    seeds: Sequence[int],
    options: "Options",
    *,
    reuse: bool,
    history: Path | None,
    workers: str | None,
) -> list["Side"]:
    from vecparity.cli.commands.compare_sides import sides
    from vecparity.cli.display import Display
    from vecparity.cli.interruption import Interruption
    from vecparity.evaluation.result import Evaluation
    from vecparity.history.recorder import recorder

    needs_history = not all(isinstance(reference.subject, Evaluation) for reference in references)
    with Interruption(), recorder(history, enabled=needs_history, reuse=reuse, warn=warn) as records:
        return sides(references, configs, seeds, protocol, options, records, partial(Display, None), workers)


def _comparisons(first: "Side", second: "Side") -> list["Comparison"]:
    from vecparity.analysis.comparing import compare

    names = first.short_name, second.short_name
    return [
        compare(first.evaluations[label], second.evaluations[label], names=names)
        for label in first.evaluations
        if label in second.evaluations
    ]


def _show(comparisons: Sequence["Comparison"], first: str, per_secret: bool, format_: Format, wide: bool) -> None:
    if format_ == "json":
        show_json([comparison.as_json() for comparison in comparisons])
        return
    summaries = [summary_record(comparison) for comparison in comparisons]
    secrets = [record for comparison in comparisons for record in secret_records(comparison)]
    if format_ == "csv":
        show_records(*((secrets, SECRETS) if per_secret else (summaries, CSV)), format_)
        return
    title = f"baseline: {first}; a change is from it"
    show_records(summaries, MARKDOWN if format_ == "markdown" else TABLE, format_, title, wide=wide)
    for comparison in comparisons:
        show("", comparison.verdict)
        if differing := comparison.made_differently_in_words:
            show(differing)
    for name, audits in _failing(comparisons).items():
        show("", f"fails {', '.join(audits)}: {name}")
    if per_secret:
        show("")
        show_records(secrets, SECRETS, format_, wide=wide)


def _failing(comparisons: Sequence["Comparison"]) -> dict[str, list[str]]:
    """Returns the audits that each side failed on any configuration, by the side's name."""
    failed: dict[str, set[str]] = {}
    for comparison in comparisons:
        for side in (comparison.first, comparison.second):
            failed.setdefault(side.name, set()).update(side.failed_audits)
    return {name: sorted(audits) for name, audits in failed.items() if audits}
