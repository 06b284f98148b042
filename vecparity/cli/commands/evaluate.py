"""The command ``vecparity eval``, or ``python -m vecparity.eval``: the part that runs before torch is loaded.

`evaluate_jobs` does the rest. Only metric lines go to standard output. Exit status: 0 done; 2 wrong usage; 3 the
strategy is invalid; 4 the strategy failed, hit a limit or diverged; 5 a strict audit failed; 6 the machine failed;
75 interrupted and resumable; 130 interrupted with nothing kept; 141 done, but the reader closed the pipe.
"""

import gc
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from vecparity.audits.mode import audit_mode
from vecparity.cli import json_lines, standard_streams
from vecparity.cli.arguments import Arguments, parse
from vecparity.cli.interruption import Interruption
from vecparity.cli.messages import fail, flush, interrupted, passing, show_warning
from vecparity.cluster.choose import require_workers
from vecparity.errors import UsageError
from vecparity.sandbox import levels
from vecparity.sandbox.limits import Limits
from vecparity.sandbox.start import Ahead
from vecparity.strategy.source import Strategy, bundled, load_all
from vecparity.task.config import CONFIGURATIONS, TaskConfig, task_config

# Evaluated if nothing is named.
_DEFAULT = ("isolated_cube",)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    standard_streams.prepare()
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        parsed = parse(argv)
    except UsageError as error:
        return fail(error)
    if parsed is None:  # --help or --version
        return flush(0)
    warnings.showwarning = show_warning
    try:
        return flush(_run(*parsed))
    except KeyboardInterrupt:
        return interrupted("interrupted: results that were not printed yet are lost", 130)
    except Exception as error:
        if parsed[0].debug:
            raise
        return fail(error)


def _run(arguments: Arguments, overrides: dict[str, Any], limits: Limits) -> int:
    if arguments.list_strategies:
        if json_lines.is_on():
            json_lines.write([{"strategies": list(bundled())}])
        else:
            print("\n".join(bundled()))
        return 0
    if arguments.threads is not None and arguments.threads < 1:
        raise UsageError(f"threads must be at least 1, got {arguments.threads}")
    require_workers(arguments.workers)
    plan = _plan(arguments, overrides)
    if len(set(arguments.seed)) < len(arguments.seed):
        raise UsageError(f"expected each seed once, got {' '.join(map(str, arguments.seed))}")
    if not arguments.seed:
        raise UsageError("expected at least one strategy with a seed, got none")
    jobs = [(strategy, seed) for strategy in load_all(arguments.strategy or _DEFAULT) for seed in arguments.seed]
    needs_cuda = arguments.init_device == "cuda"
    level = levels.choose(
        arguments.containment, arguments.require_containment, needs_cuda=needs_cuda, is_sealed=_is_sealed(arguments)
    )
    with ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        # Torch takes a second to load, and fork servers another to start; workers start their own.
        if "torch" not in sys.modules and arguments.workers is None:
            count = _num_servers([strategy for strategy, _ in jobs], arguments)
            stack.enter_context(Ahead(level, limits, count, needs_cuda=needs_cuda))
        with _loading_torch():
            from vecparity.cli.commands.evaluate_jobs import run

        return run(arguments, limits, plan, jobs, interruption)


@contextmanager
def _loading_torch() -> Iterator[None]:
    """Says that torch is loaded, if it is not yet. Of a million objects that it makes, none is garbage to look for."""
    if "torch" in sys.modules:
        yield
        return
    gc.disable()
    try:
        with passing("vecparity: loading torch"):
            yield
    finally:
        gc.freeze()
        gc.enable()


def _num_servers(strategies: Sequence[Strategy], arguments: Arguments) -> int:
    """Returns the number of fork servers needed: one, and another for repeated calls if any strategy is audited."""
    modes = [audit_mode(strategy, arguments.audit, is_sealed=_is_sealed(arguments)) for strategy in strategies]
    return 1 + any(mode != "off" for mode in modes)


def _is_sealed(arguments: Arguments) -> bool:
    return arguments.sealed or arguments.seal_key is not None


def _plan(arguments: Arguments, overrides: dict[str, Any]) -> list[tuple[str, TaskConfig]]:
    """Returns the configurations to evaluate, and checks all of them before the first begins."""
    if arguments.all_configs:
        flags = {"--config": arguments.config, "--label": arguments.label}
        flags |= {f"--{name.replace('_', '-')}": overrides.get(name) for name in ("n_features", "secret_size")}
        for flag, value in flags.items():
            if value is not None:
                raise UsageError(f"--all-configs cannot be combined with {flag}: got {flag} {value}")
    if overrides.get("max_steps") == 0:
        raise UsageError("--max-steps must be at least 1, got 0")
    labels = list(CONFIGURATIONS) if arguments.all_configs else [arguments.config or "n32-k8"]
    return [
        (label, task_config(label, protocol=arguments.protocol, smoke=arguments.smoke, **overrides)) for label in labels
    ]
