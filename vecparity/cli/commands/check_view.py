"""The results of `check`, as text for people."""

from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vecparity.cli.output import show
from vecparity.inspection.checking import Check, Spread
from vecparity.inspection.dataset_facts import DatasetFacts
from vecparity.inspection.network_facts import NetworkFacts
from vecparity.task.config import TaskConfig

# Most features to list; the others are only counted.
_MOST_FEATURES = 12
# Most training sets side by side.
_MOST_COLUMNS = 3
_NAME_WIDTH = len("initial networks")


def show_checks(checks: Sequence[Check]) -> None:
    """Prints checks of one strategy under one or more configurations."""
    show(Group(*(_view(check) for check in checks)))


def _view(check: Check) -> RenderableType:
    config = check.config
    heading = Text.assemble(
        "strategy ",
        (check.strategy, "bold"),
        f" · {config.label} · seed {check.seed} · {config.num_hidden_secrets} secrets × {config.num_orderings} "
        f"orderings · {config.max_steps:,} steps · contained by {check.containment}",
    )
    looked_at = f"{len(check.datasets)} of {config.num_hidden_secrets}"
    return Group(
        heading,
        Text(f"loads and answers; training sets looked at: {looked_at}", style="green"),
        *(
            _dataset_table(check.datasets[first : first + _MOST_COLUMNS], config)
            for first in range(0, len(check.datasets), _MOST_COLUMNS)
        ),
        _network_table(check.networks, config),
        _hyperparameter_table(check),
        Text(_repeatability(check), style="dim"),
        *(Text(f"warning: {sentence}", style="yellow") for sentence in check.warnings),
    )


def _table(num_columns: int = 1) -> Table:
    """Returns an empty table of facts, with a column for names and ``num_columns`` columns for values."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True, min_width=_NAME_WIDTH)
    for _ in range(num_columns):
        table.add_column(overflow="fold")
    return table


def _dataset_table(datasets: Sequence[DatasetFacts], config: TaskConfig) -> Table:
    table = _table(len(datasets))
    table.add_row("training set", *(f"secret {data.secret_index}" for data in datasets), style="bold")
    for name, value in _dataset_rows(config):
        table.add_row(name, *(value(data) for data in datasets))
    return table


def _dataset_rows(config: TaskConfig) -> list[tuple[str, Callable[[DatasetFacts], str]]]:
    return [
        ("secret bits", lambda data: " ".join(map(str, data.secret))),
        ("shape", lambda data: f"{data.num_examples:,} rows × {config.n_features} (made in {data.seconds:.2f} s)"),
        ("distinct rows", lambda data: f"{data.distinct_rows:,} ({data.distinct_rows / data.num_examples:.2%})"),
        ("labels", lambda data: f"{data.positive_rate:.2%} are 1; {data.parity_rate:.2%} are the parity"),
        ("patterns", _patterns),
        ("constant bits", _constant),
        ("test set", _overlap),
        ("an epoch", lambda data: f"{data.batches_per_epoch:,} batches, the last of {data.last_batch}"),
        ("epochs", lambda data: f"{data.epochs:,.1f} in {config.max_steps:,} steps"),
    ]


def _patterns(data: DatasetFacts) -> str:
    patterns = data.patterns
    shares = f"rarest {patterns.rarest:.3%} of rows, commonest {patterns.commonest:.3%}"
    return f"{patterns.covered:,} of {patterns.possible:,}; {shares}"


def _constant(data: DatasetFacts) -> str:
    features = data.constant_features
    if not features:
        return "none"
    listed = " ".join(map(str, features[:_MOST_FEATURES])) + (" …" if len(features) > _MOST_FEATURES else "")
    return f"{len(features)}, of the secret's {len(data.constant_secret_features)}: {listed}"


def _overlap(data: DatasetFacts) -> str:
    equal, *_, near = data.overlaps
    return (
        f"{equal.rows:,} of its {equal.compared:,} rows are in it (by chance {equal.expected:.3g}), "
        f"{near.rows:,} within {near.flips} flips ({near.expected:.3g})"
    )


def _network_table(networks: NetworkFacts, config: TaskConfig) -> Table:
    table = _table()
    table.add_row("initial networks", f"{networks.num_runs} of {config.num_runs} runs", style="bold")
    if outputs := networks.outputs:
        quantiles = (outputs.lowest, outputs.p05, outputs.median, outputs.p95, outputs.highest)
        table.add_row(
            "p on test sets", " · ".join(f"{value:.3g}" for value in quantiles) + "  (min, 5%, 50%, 95%, max)"
        )
        table.add_row("", f"loss {outputs.loss:.4f} nats, accuracy {outputs.accuracy:.4f}")
    table.add_row(
        "hidden units",
        f"{networks.dead_units:.2%} dead, {networks.always_on_units:.2%} always on "
        f"(on {networks.train_rows:,} training rows)",
    )
    return table


def _hyperparameter_table(check: Check) -> Table:
    table = _table()
    table.add_row("hyperparameters", f"{check.config.num_runs} runs", style="bold")
    for name, spread in check.hyperparameters.items():
        table.add_row(name, _spread(spread))
    return table


def _spread(spread: Spread) -> str:
    if spread.distinct == 1:
        return f"{spread.lowest:g}"
    range_ = f"{spread.lowest:g} · {spread.median:g} · {spread.highest:g}  (min, median, max)"
    return f"{range_}, {spread.distinct} distinct values"


def _repeatability(check: Check) -> str:
    repeated = check.repeatability
    summary = "calls made again: none"
    if repeated.calls:
        outcome = (
            f"{len(repeated.differing)} returned something else" if repeated.differing else "all returned the same"
        )
        summary = f"calls made again: {repeated.calls}, {outcome}"
    return summary + (f" (not {', '.join(repeated.left_out)}, which take long)" if repeated.left_out else "")
