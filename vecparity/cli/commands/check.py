"""``vecparity check``: loads a strategy, calls it and shows its answers. Nothing is trained."""

import sys
from contextlib import ExitStack
from dataclasses import asdict
from threading import Timer
from typing import Annotated, Literal

from cyclopts import Parameter

from vecparity.cli.arguments import Switch, Whole
from vecparity.cli.messages import fail, say
from vecparity.cli.output import show_json
from vecparity.errors import UsageError, VecparityError, quoted
from vecparity.sandbox import levels
from vecparity.sandbox.levels import Containment, Level
from vecparity.sandbox.limits import CheckLimits, Limits
from vecparity.sandbox.start import Ahead
from vecparity.strategy.source import load
from vecparity.task.config import CONFIGURATIONS, Protocol, task_config

# Wait before a message about a slow strategy.
_PATIENCE_SECONDS = 20.0


def check(
    strategy: Annotated[str, Parameter(name="STRATEGY")],
    /,
    *,
    config: Literal["n32-k8", "n50-k8", "n64-k8"] | None = None,
    all_configs: Switch = False,
    protocol: Protocol = "full",
    seed: Whole = 42,
    secrets: Whole = 1,
    json: Switch = False,
    containment: Containment = "auto",
    require_containment: Level | None = None,
    limits: CheckLimits = CheckLimits(),  # noqa: B008
) -> int:
    """Examine a strategy's answers without training: datasets, initial networks, hyperparameters, and errors.

    Args:
        strategy: A file, or a bundled strategy's name.
        config: One of the benchmark's configurations; by default n32-k8.
        all_configs: All three configurations.
        protocol: full: 10 secrets x 10 orderings, 100 000 steps. published: 5 x 3, 30 000 steps.
        seed: The top-level seed.
        secrets: Number of secrets whose training sets to examine.
        json: Print a line of JSON, for an error too.
        containment: The sandbox around the strategy. auto takes the strongest that the machine has.
        require_containment: Refuse weaker containment.
        limits: Limits of each worker that runs the strategy.

    Returns:
        The exit status that an evaluation of the strategy would have, as far as that is known without training.
    """
    try:
        if all_configs and config is not None:
            raise UsageError(f"--all-configs cannot be combined with --config: got --config {config}")
        labels = list(CONFIGURATIONS) if all_configs else [config or "n32-k8"]
        configs = [task_config(label, protocol=protocol) for label in labels]
        loaded = load(strategy)
        level = levels.choose(containment, require_containment)
        with ExitStack() as stack:
            if "torch" not in sys.modules:  # torch takes a second to load, the fork server another to start
                stack.enter_context(Ahead(level, limits, 1, needs_cuda=False))
            patience = Timer(_PATIENCE_SECONDS, say, [_waiting(limits)])
            stack.callback(patience.cancel)
            patience.start()
            from vecparity.inspection.checking import check_all

            checks = check_all(loaded, configs, seed, secrets, level, limits)
    except VecparityError as error:
        return fail(error)
    if json:
        show_json({"ok": True, "exit_status": 0, "configurations": [asdict(check_) for check_ in checks]})
    else:
        from vecparity.cli.commands.check_view import show_checks

        show_checks(checks)
    if checks[0].printed:
        say("the strategy printed:", [quoted(checks[0].printed)])
    return 0


def _waiting(limits: Limits) -> str:
    return f"still waiting for the strategy, which may take {limits.strategy_seconds:g} s a call (--strategy-seconds)"
