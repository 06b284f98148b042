"""The work of ``vecparity search``: makes the trials, and prints and writes what came of them."""

import shlex
from collections import Counter
from pathlib import Path
from typing import Any

from vecparity.cli.commands.search_output import show_search
from vecparity.cli.interruption import Interruption
from vecparity.cli.keys import keep_key, require_place_of_keys
from vecparity.cli.messages import fail, interrupted, say, warn, warn_of_failed_audits
from vecparity.cli.places import require_places
from vecparity.cli.search_arguments import SearchArguments
from vecparity.cli.search_display import SearchDisplay
from vecparity.cluster.choose import opened_workers, require_workers
from vecparity.errors import MachineError, StrategyFailedError, UsageError, in_number
from vecparity.evaluation.keywords import OptionKeywords
from vecparity.evaluation.params import param_words
from vecparity.files import write_whole
from vecparity.history.recorder import opened
from vecparity.report.svg import drawing
from vecparity.sandbox.limits import Limits
from vecparity.strategy import parameters
from vecparity.strategy.optimizer_parameters import is_variant
from vecparity.strategy.source import Strategy, load
from vecparity.task.seeds import new_key, read_key
from vecparity.tuning.following import SearchFollower
from vecparity.tuning.ranges import parse_ranges
from vecparity.tuning.results import Search, best_first
from vecparity.tuning.search_page import write_search_report
from vecparity.tuning.searching import search
from vecparity.tuning.winners import can_seal

_RESUMABLE, _INTERRUPTED = 75, 130
# Different reasons of failures that are shown; the page and the JSON have all.
_MOST_REASONS = 5


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
    _require_files(strategy, arguments)
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
    trained = arguments.threads, arguments.engine, arguments.device
    with Interruption(), opened(arguments.history, enabled=not arguments.no_history, warn=warn) as history:
        try:
            with display, opened_workers(arguments.workers, *trained, say) as executor:
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
        except (KeyboardInterrupt, MachineError) as error:
            return _stopped(error, display, arguments)
    return _show_and_write(found, arguments)


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
        elif arguments.rescore and can_seal(arguments.containment, arguments.require_containment):
            self.key = new_key()
            require_place_of_keys()

    def rescoring(self, found: Search, count: int) -> None:
        """See `SearchFollower`."""
        if count and self._is_new and self.key is not None:
            keep_key(self.key)


def _require_files(strategy: Strategy, arguments: SearchArguments) -> None:
    """Checks that files can be written at the end of a search, and that no other strategy would be lost by it."""
    output = arguments.output
    others = {"STRATEGY": Path(strategy.path), "--study": arguments.study, "--history": arguments.history}
    require_places({"--output": output, "--report": arguments.report}, others)
    if arguments.report is not None:
        with drawing():  # or it says what is missing
            pass
    if output is None:
        return
    if output.suffix != ".py":
        raise UsageError(f"--output must be a name that ends in .py, got {str(output)!r}")
    if output.exists() and not is_variant(load(output), strategy):
        raise UsageError(f"--output must be a new file, or the same strategy with other defaults, got {output}")


def _stopped(error: KeyboardInterrupt | MachineError, display: SearchDisplay, arguments: SearchArguments) -> int:
    """Shows and writes what there is of a search that was stopped, and returns the exit status."""
    if isinstance(error, MachineError):
        status, words = fail(error), "stopped"
    else:
        status, words = _INTERRUPTED if arguments.study is None else _RESUMABLE, "interrupted"
    if display.found is not None:
        _show_and_write(display.found, arguments)
        words += ", and the best were not evaluated anew"
    else:
        words += f" after {in_number(len(display.trials), 'trial')}"
        for best in best_first(trial for trial in display.trials if trial.state == "complete")[:1]:
            words += f"; the best: accuracy {best.accuracy:.6f}, {best.mean_steps:,.0f} steps, with "
            words += " ".join(param_words(best.params))
    kept = f"they are kept in {arguments.study}: the same command goes on" if arguments.study else ""
    return interrupted(f"{words}; {kept}" if kept else f"{words} (--study FILE keeps trials)", status)


def _show_and_write(found: Search, arguments: SearchArguments) -> int:
    """Prints what was found, writes the winner's file and the report, and returns the exit status."""
    show_search(found, arguments.format_, wide=arguments.wide)
    status = _report_failures(found)
    best = found.best
    if arguments.output is not None and best is not None:
        try:
            write_whole(arguments.output, best.source)
        except OSError as error:
            status = fail(MachineError(f"{arguments.output} cannot be written: {error.strerror or error}"))
        else:
            name = shlex.quote(str(arguments.output))
            say(f"wrote {arguments.output} ({best.sha256[:8]}); next: vecparity eval {name} --all-configs")
    if arguments.report is not None:
        write_search_report(found, arguments.report)
        say(f"wrote {arguments.report}")
    return status


def _report_failures(found: Search) -> int:
    """Says each reason once why trials have no score, and what the winner lacks; returns the exit status."""
    reasons = Counter(trial.error for trial in found.trials if trial.error is not None)
    for reason, count in reasons.most_common(_MOST_REASONS):
        warn(f"{in_number(count, 'trial')} without a score: {reason}")
    for winner in found.winners:
        for evaluation in winner.evaluations:
            warn_of_failed_audits(evaluation)
    if not found.ranked:
        return fail(StrategyFailedError("no trial has a score"))
    status = 0
    for winner in found.winners[:1]:
        for label, error in winner.errors.items():
            say(f"error: the winner, trial {winner.trial.number}, has no score on {label}: {error}")
            status = status or error.exit_status
    return status
