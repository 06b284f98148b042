"""`check`: a strategy's answers before training, and warnings about them."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from vecparity.errors import InvalidStrategyError, StrategyFailedError, UsageError
from vecparity.inspection.concerns import concerns
from vecparity.inspection.dataset_facts import DatasetFacts, dataset_facts
from vecparity.inspection.network_facts import NetworkFacts, network_facts, propagate
from vecparity.inspection.probe import Networks, Repeatability, ask_dataset, ask_networks
from vecparity.sandbox import levels
from vecparity.sandbox.levels import Containment, Level
from vecparity.sandbox.limits import CheckLimits, Limits
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.pool import Pool, Sandbox
from vecparity.strategy.source import Strategy, load
from vecparity.task.config import OptimizerConfig, Protocol, TaskConfig, task_config
from vecparity.task.dataset import make_test_set
from vecparity.task.seeds import PublicSeeds
from vecparity.training.runs import Author


@dataclass(frozen=True)
class Spread:
    """One hyperparameter's distribution over all runs."""

    lowest: float
    median: float
    highest: float
    distinct: int


@dataclass(frozen=True)
class Check:
    """One strategy's answers under one configuration.

    Attributes:
        strategy: Its name.
        strategy_sha256: Digest of its file's bytes.
        path: The file.
        config: The settings.
        seed: The top-level seed.
        containment: The level in force while the strategy's functions ran.
        datasets: Training sets of the requested number of first secrets, of ``config.num_hidden_secrets``.
        networks: Initial networks of these secrets' runs.
        hyperparameters: Hyperparameters of all runs, by name.
        repeatability: Calls that were made twice.
        printed: The last lines that the strategy printed, under all requested configurations.
        warnings: Probable mistakes, one sentence each.
    """

    strategy: str
    strategy_sha256: str
    path: str
    config: TaskConfig
    seed: int
    containment: Level
    datasets: list[DatasetFacts]
    networks: NetworkFacts
    hyperparameters: dict[str, Spread]
    repeatability: Repeatability
    printed: str
    warnings: list[str]


def check(
    strategy: str | Path | Strategy,
    config: str | TaskConfig = "n32-k8",
    *,
    protocol: Protocol = "full",
    seed: int = 42,
    secrets: int = 1,
    containment: Containment = "auto",
    require_containment: Level | None = None,
    limits: Limits | None = None,
) -> Check:
    """Examines a strategy's networks, hyperparameters and first training sets; trains nothing.

    Args:
        strategy: A bundled strategy's name, a file, or a loaded strategy.
        config: A label (``n32-k8``, ``n50-k8``, ``n64-k8``), or settings taken as they are.
        protocol: ``full`` or ``published``; only with a label.
        seed: The top-level seed.
        secrets: Number of secrets whose training sets are made.
        containment: Containment of the strategy. ``auto`` takes the strongest that the machine has.
        require_containment: The weakest acceptable containment.
        limits: Limits of each of its workers.

    Raises:
        UsageError: An argument is invalid.
        InvalidStrategyError: The strategy does not load or returned something that the contract refuses.
        StrategyFailedError: A function of the strategy raised, hit a limit, or ended its process.
        MachineError: The machine cannot contain the strategy as requested.
    """
    if isinstance(config, TaskConfig):
        if protocol != "full":
            raise UsageError("protocol needs a label as config (n32-k8, n50-k8 or n64-k8), got a TaskConfig")
        settings = config
    else:
        settings = task_config(config, protocol=protocol)
    level = levels.choose(containment, require_containment)
    return check_all(strategy, [settings], seed, secrets, level, limits or CheckLimits())[0]


def check_all(
    strategy: str | Path | Strategy,
    configs: Sequence[TaskConfig],
    seed: int,
    secrets: int,
    level: Level,
    limits: Limits,
) -> list[Check]:
    """Checks one strategy under several configurations, in sandboxes of its own; see `check_in`.

    Args:
        strategy: See `check`.
        configs: The settings of each configuration.
        seed: See `check`.
        secrets: See `check`.
        level: Containment of the strategy.
        limits: See `check`.

    Raises:
        UsageError: See `check`.
        InvalidStrategyError: See `check`.
        StrategyFailedError: See `check`.
        MachineError: See `check`.
    """
    loaded = strategy if isinstance(strategy, Strategy) else load(strategy)
    with StrategyLog() as log, Pool(level, limits, log) as pool:
        return check_in(pool, log, loaded, configs, seed, secrets, level)


def check_in(
    pool: Pool,
    log: StrategyLog,
    strategy: Strategy,
    configs: Sequence[TaskConfig],
    seed: int,
    secrets: int,
    level: Level,
) -> list[Check]:
    """Checks one strategy under several configurations, one after the other.

    As in an evaluation, all networks of all configurations are made before the strategy sees any secret.

    Args:
        pool: Sandboxes of the level, whose output goes to the log. Another thread may interrupt them.
        log: The log.
        strategy: The strategy.
        configs: See `check_all`.
        seed: See `check`.
        secrets: See `check`.
        level: Containment of the strategy.

    Raises:
        UsageError: See `check`.
        InvalidStrategyError: See `check`.
        StrategyFailedError: See `check`.
        MachineError: See `check`.
    """
    seeds = PublicSeeds(seed)
    for config in configs:
        if not 1 <= secrets <= config.num_hidden_secrets:
            raise UsageError(f"secrets must be between 1 and {config.num_hidden_secrets}, got {secrets}")
    with log.noted(strategy.sha256):
        author, repeater = Sandbox(pool, strategy, {}), Sandbox(pool, strategy, {}, again=True)
        networks = _ask_for_all_networks(author, repeater, seeds, configs, secrets)
        checks = [
            _check_one(strategy, author, repeater, seeds, config, level, answered)
            for config, answered in zip(configs, networks, strict=True)
        ]
        printed = log.last_words()
    return [replace(check, printed=printed) for check in checks]


def _ask_for_all_networks(
    author: Author, repeater: Author, seeds: PublicSeeds, configs: Sequence[TaskConfig], secrets: int
) -> list[Networks]:
    """Asks for networks; if they are invalid, asks for a training set too, to report both errors at once."""
    try:
        return [ask_networks(author, repeater, seeds, config, secrets) for config in configs]
    except InvalidStrategyError as refused:
        try:
            ask_dataset(author, repeater, seeds, configs[0], 0)
        except (InvalidStrategyError, StrategyFailedError) as another:
            if str(another) != str(refused):
                refused.add_note(f"and {another}")
        raise


def _check_one(
    loaded: Strategy,
    author: Author,
    repeater: Author,
    seeds: PublicSeeds,
    config: TaskConfig,
    level: Level,
    networks: Networks,
) -> Check:
    datasets, propagated, repeatability = [], [], networks.repeatability
    for i, params in enumerate(networks.params):
        secret = seeds.secrets(config)[i]
        dataset, seconds, repeats = ask_dataset(author, repeater, seeds, config, i)
        test_set = make_test_set(config, secret, seeds.test_set_seed(config, i))
        datasets.append(dataset_facts(config, i, secret, dataset, test_set, seconds))
        propagated.append(propagate(config, params, dataset, test_set))
        repeatability += repeats
    looked_at = network_facts(propagated, networks.num_untouched)
    return Check(
        strategy=loaded.name,
        strategy_sha256=loaded.sha256,
        path=loaded.path,
        config=config,
        seed=seeds.seed,
        containment=level,
        datasets=datasets,
        networks=looked_at,
        hyperparameters=_spreads(networks.optimizers),
        repeatability=repeatability,
        printed="",
        warnings=concerns(config, seeds.seed, datasets, looked_at, repeatability),
    )


def _spreads(optimizers: Sequence[OptimizerConfig]) -> dict[str, Spread]:
    hyperparameters = [asdict(optimizer) for optimizer in optimizers]
    spreads = {}
    for name in hyperparameters[0]:
        values = [values_by_name[name] for values_by_name in hyperparameters]
        spreads[name] = Spread(min(values), statistics.median(values), max(values), len(set(values)))
    return spreads
