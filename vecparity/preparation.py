"""Everything that strategies are asked for, ahead of the training."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import torch

from vecparity.containment.levels import Level
from vecparity.containment.limits import Limits
from vecparity.containment.log import StrategyLog
from vecparity.containment.sandbox import Sandbox
from vecparity.errors import InvalidStrategyError, StrategyFailedError
from vecparity.runs import Initial, Run, initialise, make_runs
from vecparity.seeds import Seeds
from vecparity.spec import TaskConfig
from vecparity.strategy import Strategy


class Preparation:
    """Yields the runs of one configuration after the other, and prepares the next ones' while those train.

    Every network of every configuration is initialised before any secret is shown to a strategy, so that no
    initialisation can know one, by whatever way.

    Args:
        jobs: Strategies with where their evaluations' random numbers come from.
        configs: The settings of each configuration.
        level: How strategies are contained.
        limits: What each of their workers may use.
        init_device: Where ``init_model`` draws.
        strategy_log: A file for what strategies print.
    """

    def __init__(
        self,
        jobs: Sequence[tuple[Strategy, Seeds]],
        configs: Sequence[TaskConfig],
        level: Level,
        limits: Limits,
        init_device: torch.device,
        strategy_log: Path | None = None,
    ) -> None:
        self._configs = configs
        with ExitStack() as stack:
            self._log = stack.enter_context(StrategyLog(strategy_log))
            self._sandboxes = {
                chosen.sha256: stack.enter_context(Sandbox(chosen, level, limits, self._log, init_device))
                for chosen in {chosen.sha256: chosen for chosen, _ in jobs}.values()
            }
            self._background = stack.enter_context(ThreadPoolExecutor(1, "preparation"))
            self._stack = stack.pop_all()
        self._jobs = [(self._sandboxes[chosen.sha256], seeds) for chosen, seeds in jobs]

    def __enter__(self) -> "Preparation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sandbox in self._sandboxes.values():  # what is being prepared ends with its workers
            sandbox.kill()
        self._stack.close()

    def __iter__(self) -> Iterator[list[Run]]:
        """Yields each configuration's runs, ordered by (job, secret, ordering).

        Raises:
            InvalidStrategyError: A strategy does not load, or returned what the contract refuses.
            StrategyFailedError: A function raised, hit a limit, or ended its process.
            MachineError: A sandbox does not work.
        """
        try:
            initial = [initialise(self._jobs, config) for config in self._configs]
            pending = self._prepare(0, initial)
            for following in range(1, len(self._configs) + 1):
                runs = pending.result()
                if following < len(self._configs):
                    pending = self._prepare(following, initial)
                yield runs
        except (InvalidStrategyError, StrategyFailedError) as error:
            if words := self._log.last_words():
                error.add_note(f"What strategies had printed:\n{words}")
            raise

    def _prepare(self, index: int, initial: Sequence[dict[tuple[int, int, int], Initial]]) -> Future[list[Run]]:
        return self._background.submit(make_runs, self._jobs, self._configs[index], initial=initial[index])
