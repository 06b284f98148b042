"""A bounded pool of fork servers, kept for as long as there may be another strategy to call.

A server knows no strategy: each worker is sent the one it calls, and what a worker leaves behind is removed with it. A
worker that sees a secret and a worker that initialises networks may therefore share a server only in one order. Once a
server has shown a secret, another server forks the workers for networks: at any level, whatever else happens, no
network can depend on a secret.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType

import torch
from jaxtyping import Float32
from torch import Tensor

from vecparity.sandbox.fork_server import ForkServer
from vecparity.sandbox.levels import Level
from vecparity.sandbox.limits import Limits
from vecparity.sandbox.log import StrategyLog
from vecparity.strategy.parameters import Arguments, Value
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Space
from vecparity.task.config import OptimizerConfig, Secret, TaskConfig
from vecparity.task.dataset import Dataset
from vecparity.undisturbed import undisturbed

_CPU = torch.device("cpu")
# One for networks, one for training sets.
_NUM_SERVERS = 2


class Pool:
    """At most four fork servers: for networks or for training sets, for first calls or for calls made again.

    One thread of the pool's own starts them: the kernel ends a contained server with the thread that started it.

    Args:
        level: The containment of strategies.
        limits: The limits of each worker.
        log: Receives everything that strategies print.
        device: The device on which ``init_model`` draws.
        num_threads: Threads within torch's operations; by default as many as this thread's operations use.
    """

    def __init__(
        self,
        level: Level,
        limits: Limits,
        log: StrategyLog,
        device: torch.device = _CPU,
        num_threads: int | None = None,
    ) -> None:
        self._kind = level, limits, log, device, num_threads or torch.get_num_threads()
        self._servers: dict[bool, list[ForkServer]] = {False: [], True: []}
        self._changing = threading.Lock()
        self._busy: set[ForkServer] = set()
        self._starter = ThreadPoolExecutor(1, "fork-servers")
        self._calling = threading.Lock()
        self._meanwhile: list[Callable[[], None]] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warm_up(self, *, again: bool) -> None:
        """Starts the servers that any number of calls need, and does not wait for them.

        Args:
            again: For calls that are made a second time.

        Raises:
            MachineError: A server cannot be started.
        """
        with self._changing:
            while len(self._servers[again]) < _NUM_SERVERS:
                self._start(again)

    def meanwhile(self, work: Callable[[], None]) -> None:
        """Has work done before the next call, while the server for it may still be starting."""
        self._meanwhile.append(work)

    @contextmanager
    def server(self, *, again: bool, shows_secrets: bool) -> Iterator[ForkServer]:
        """Lends a server for one call; calls wait for each other.

        Args:
            again: Whether the call is made a second time.
            shows_secrets: Whether the worker sees a secret. If not, no worker of the server ever has.

        Raises:
            MachineError: No server can be started.
        """
        with self._calling:
            with self._changing:
                server = self._server(again, may_have_shown_secrets=shows_secrets)
                self._busy.add(server)
            try:
                while self._meanwhile:
                    self._meanwhile.pop(0)()
                yield server
            finally:
                with self._changing:
                    self._busy.discard(server)
                    if server.has_ended and server in self._servers[again]:
                        self._servers[again].remove(server)
                        server.close()

    def interrupt(self) -> None:
        """Ends the call in progress, if any: the thread that made it gets an error."""
        with self._changing:
            busy = list(self._busy)
        for server in busy:
            server.kill()

    def close(self) -> None:
        """Ends every process and removes every file of the servers."""
        self.interrupt()
        with self._calling, self._changing:
            for servers in self._servers.values():
                while servers:
                    servers.pop().close()
        self._starter.shutdown()

    def _server(self, again: bool, *, may_have_shown_secrets: bool) -> ForkServer:
        """Finds a server, the one that has shown secrets first if it may, or starts one."""
        servers = sorted(self._servers[again], key=lambda server: not server.has_shown_secrets)
        for server in servers:
            if may_have_shown_secrets or not server.has_shown_secrets:
                return server
        return self._start(again)

    def _start(self, again: bool) -> ForkServer:
        with undisturbed():  # nobody would end a server that has started when its caller has gone
            server = self._starter.submit(ForkServer, *self._kind, again=again).result()
            self._servers[again].append(server)
        return server


class Sandbox:
    """One strategy with its arguments, called in workers of a pool's fork servers.

    Args:
        pool: The pool.
        strategy: The strategy.
        arguments: Keyword arguments for the calls of its functions.
        again: Whether the calls are made a second time, in other surroundings.
    """

    def __init__(self, pool: Pool, strategy: Strategy, arguments: Arguments, *, again: bool = False) -> None:
        self._pool, self._strategy, self._arguments, self._again = pool, strategy, arguments, again

    def initialise(
        self, config: TaskConfig, run_seeds: Sequence[int]
    ) -> list[tuple[Float32[Tensor, " param"], OptimizerConfig]]:
        """See `ForkServer.initialise`."""
        with self._pool.server(again=self._again, shows_secrets=False) as server:
            return server.initialise(self._strategy, self._arguments, config, run_seeds)

    def initialise_variants(
        self, config: TaskConfig, run_seeds: Sequence[int], variants: Sequence[Mapping[str, Value]]
    ) -> list[list[tuple[Float32[Tensor, " param"], OptimizerConfig]]]:
        """See `ForkServer.initialise_variants`; the variants' arguments take the place of the sandbox's own."""
        arguments = {**self._arguments, "get_optimizer_config": {}}
        with self._pool.server(again=self._again, shows_secrets=False) as server:
            return server.initialise_variants(self._strategy, arguments, config, run_seeds, variants)

    def space(self, config: TaskConfig) -> Space:
        """See `ForkServer.space`."""
        with self._pool.server(again=self._again, shows_secrets=False) as server:
            return server.space(self._strategy, config)

    def training_set(self, config: TaskConfig, secret: Secret, dataset_seed: int) -> Dataset:
        """See `ForkServer.training_set`."""
        with self._pool.server(again=self._again, shows_secrets=True) as server:
            return server.training_set(self._strategy, self._arguments, config, secret, dataset_seed)
