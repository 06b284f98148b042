"""The work of ``vecparity search``: makes the trials, and prints and writes what came of them."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vecparity.cli.commands.search_output import show_search
from vecparity.cli.interruption import Interruption
from vecparity.cli.keys import keep_key
from vecparity.cli.messages import fail, say, warn, warn_of_failed_audits
from vecparity.cli.search_arguments import SearchArguments
from vecparity.cli.search_display import SearchDisplay
from vecparity.cluster.choose import opened_workers, require_workers
from vecparity.errors import MachineError, UsageError
from vecparity.evaluation.keywords import OptionKeywords
from vecparity.evaluation.params import param_words
from vecparity.files import write_whole
from vecparity.history.recorder import opened
from vecparity.report.svg import drawing
from vecparity.sandbox.limits import Limits
from vecparity.strategy import parameters
from vecparity.strategy.rewriting import with_defaults
from vecparity.strategy.source import Strategy, load
from vecparity.task.seeds import new_key, read_key
from vecparity.tuning.following import SearchFollower
from vecparity.tuning.ranges import parse_ranges
from vecparity.tuning.results import Search, Trial
from vecparity.tuning.search_page import write_search_report
from vecparity.tuning.searching import search
from vecparity.tuning.winners import can_seal

_RESUMABLE, _INTERRUPTED = 75, 130


def work(name: str, arguments: SearchArguments, settings: dict[str, Any], limits: Limits) -> int:
    """Searches, prints the winners and writes the files that were asked for.

    Args:
        name: A bundled strategy, or a file.
        arguments: The command's arguments.
        settings: Settings in place of the protocol's, by name.
        limits: Limits of the strategy's workers.

    Returns:
        The exit status.
    """
    if arguments.no_history and arguments.history is not None:
        raise UsageError(f"--no-history cannot be combined with --history {arguments.history}")
    require_workers(arguments.workers)
    strategy = load(name)
    _require_files(strategy, arguments.output, arguments.report)
    keys = _Keys(arguments)
    options: OptionKeywords = {
        "engine": arguments.engine,
        "device": arguments.device,
        "threads": arguments.threads,
        "containment": arguments.containment,
        "require_containment": arguments.require_containment,
        "limits": limits,
        "seal_key": keys.key,
    }
    title = f"{strategy.name}, {arguments.config}, protocol {arguments.protocol}, seed {arguments.seed}"
    display = SearchDisplay(arguments.progress, title)
    with Interruption(), opened(arguments.history, enabled=not arguments.no_history, warn=warn) as history:
        try:
            with display, opened_workers(arguments.workers, arguments.threads) as executor:
                found = search(
                    strategy,
                    parse_ranges(arguments.tune),
                    arguments.config,
                    trials=arguments.trials,
                    batch=arguments.batch,
                    sampler=arguments.sampler,
                    seed=arguments.seed,
                    params=parameters.parse(arguments.param),
                    protocol=arguments.protocol,
                    smoke=arguments.smoke,
                    race=arguments.race,
                    rescore=arguments.rescore,
                    study=arguments.study,
                    followers=[display, keys],
                    history=history,
                    executor=executor,
                    **options,
                    **settings,
                )
        except KeyboardInterrupt:
            return _interrupted(display.trials, arguments.study)
    show_search(found, arguments.format_, wide=arguments.wide)
    return _write(found, arguments.output, arguments.report)


class _Keys(SearchFollower):
    """The key of the winners' evaluations; a new one is kept before the first of them. A `SearchFollower`.

    Attributes:
        key: The key, or None if the containment cannot keep one from strategies.
    """

    def __init__(self, arguments: SearchArguments) -> None:
        self._is_new = arguments.seal_key is None
        self.key: bytes | None = None
        if arguments.seal_key is not None:
            self.key = read_key(arguments.seal_key)
        elif can_seal(arguments.containment, arguments.require_containment):
            self.key = new_key()

    def rescoring(self, count: int) -> None:
        """See `SearchFollower`."""
        if count and self._is_new and self.key is not None:
            keep_key(self.key)


def _require_files(strategy: Strategy, output: Path | None, report: Path | None) -> None:
    """Checks that files can be written at the end of a search, and that no other strategy would be lost by it."""
    for path in filter(None, (output, report)):
        if not path.absolute().parent.is_dir() or path.is_dir():
            raise UsageError(f"expected a file in an existing directory, got {path}")
    if report is not None:
        with drawing():  # or it says what is missing
            pass
    if output is None:
        return
    if output.suffix != ".py":
        raise UsageError(f"--output must be a name that ends in .py, got {str(output)!r}")
    if output.exists() and not _is_variant(load(output), strategy):
        raise UsageError(f"--output must be a new file, or the same strategy with other defaults, got {output}")


def _is_variant(other: Strategy, strategy: Strategy) -> bool:
    """Tells whether one strategy is another with other defaults, as an earlier search wrote it."""
    if other.source.startswith(strategy.source.rstrip()):  # with parameters that it did not have
        return True
    try:
        return with_defaults(strategy, parameters.resolve(other, {}).values).source == other.source
    except UsageError:  # other parameters
        return False


def _interrupted(trials: Sequence[Trial], study: Path | None) -> int:
    """Says what is kept of an interrupted search, and returns the exit status."""
    complete = [trial for trial in trials if trial.state == "complete"]
    best = max(complete, key=lambda trial: (trial.accuracy, -(trial.mean_steps or 0.0)), default=None)
    words = f"interrupted after {len(trials)} trials"
    if best is not None:
        words += f"; the best: accuracy {best.accuracy:.6f}, {best.mean_steps:,.0f} steps, with "
        words += " ".join(param_words(best.params))
    if study is None:
        say(f"{words} (--study FILE keeps trials)")
        return _INTERRUPTED
    say(f"{words}; they are kept in {study}: the same command goes on")
    return _RESUMABLE


def _write(found: Search, output: Path | None, report: Path | None) -> int:
    """Writes the winner's file and the report; returns the exit status."""
    status = 0
    for winner in found.winners:
        for evaluation in winner.evaluations:
            warn_of_failed_audits(evaluation)
    if found.winners and not found.winners[0].evaluations:
        status = fail(next(iter(found.winners[0].errors.values())))
    best = found.best
    if output is not None and best is not None:
        try:
            write_whole(output, best.source)
        except OSError as error:
            status = fail(MachineError(f"{output} cannot be written: {error.strerror or error}"))
        else:
            say(f"wrote {output} ({best.sha256[:8]}); next: vecparity eval {shlex.quote(str(output))} --all-configs")
    if report is not None:
        write_search_report(found, report)
        say(f"wrote {report}")
    return status
