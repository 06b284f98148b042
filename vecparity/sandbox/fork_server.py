"""A contained fork server and its workers, seen from the evaluator.

Nothing that comes from the sandbox is trusted: replies are read up to the longest valid length and within a time limit,
and text is only ever shown.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import TypeVar

import psutil
import torch
from jaxtyping import Float32
from torch import Tensor

from vecparity.errors import MachineError, StrategyFailedError
from vecparity.sandbox import levels
from vecparity.sandbox.conversation import Conversation, EndedError, ForgedError
from vecparity.sandbox.levels import Level
from vecparity.sandbox.limits import LimitReachedError, Limits, Usage, num_cpus
from vecparity.sandbox.log import StrategyLog
from vecparity.sandbox.processes import descendants
from vecparity.sandbox.protocol import (
    ENDED,
    IN_USE,
    READY,
    WORKER,
    WORKER_AGAIN,
    Request,
    decode_dataset,
    decode_parameters,
    decode_space,
)
from vecparity.sandbox.start import take_or_start
from vecparity.strategy.parameters import Arguments, Value
from vecparity.strategy.source import Strategy
from vecparity.strategy.space import Space
from vecparity.task.config import OptimizerConfig, Secret, TaskConfig
from vecparity.task.dataset import Dataset

Answer = TypeVar("Answer")

_START_SECONDS = 120.0
# Time limit for the server's own work: killing a worker and being ready again.
_SERVER_SECONDS = 60.0
_TICK_SECONDS = 0.002
# Depth of a worker below the first process: bubblewrap's second process, the server, the worker.
_MOST_DEPTH = 3


class ForkServer:
    """Calls strategies' functions, each call in a worker of its own; starts at once without being waited for.

    Args:
        level: The containment.
        limits: The limits of each worker.
        log: Receives everything that strategies print.
        device: The device on which ``init_model`` draws.
        num_threads: Threads within torch's operations.
        again: Whether workers have other surroundings (`surroundings`), for calls that are made a second time.

    Attributes:
        has_shown_secrets: Whether a worker has seen a secret.
    """

    def __init__(
        self,
        level: Level,
        limits: Limits,
        log: StrategyLog,
        device: torch.device,
        num_threads: int,
        *,
        again: bool = False,
    ) -> None:
        self._limits, self._device = limits, device
        self._log, self._level, self._has_namespaces = log, level, level in levels.WITH_NAMESPACES
        self._asks_for = WORKER_AGAIN if again else WORKER
        self._num_threads = min(num_threads, num_cpus())  # more would count against the strategy's limit
        self._is_ready = False
        self.has_shown_secrets = False
        self._started = take_or_start(level, limits, log.write_end, needs_cuda=device.type == "cuda")
        self._process, self._control = self._started.process, self._started.control

    @property
    def has_ended(self) -> bool:
        """True if the server can serve no more calls."""
        return self._process.returncode is not None

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process of the sandbox and removes its files."""
        self.kill()
        self._control.close()
        self._started.remove_directories()

    def kill(self) -> None:
        """Ends every process of the sandbox; another thread that waits for one gets an error."""
        if self._process.returncode is not None:  # its number may belong to another process by now
            return
        below = descendants(self._process.pid)
        for pid, _ in islice(below, _MOST_DEPTH):  # among them the worker, which leads a process group
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            if self._has_namespaces:  # and a namespace's first process: all others end with it
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._is_ready and not self._has_namespaces:
            self._have_server_end()
        for pid, _ in below:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ProcessLookupError):  # a process that has left the tree may still be in the group
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()

    def _have_server_end(self) -> None:
        """Has the server end everything that it started, which only the server can do reliably, and then itself."""
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)
        until = time.monotonic() + _SERVER_SECONDS
        with suppress(psutil.NoSuchProcess):
            server = psutil.Process(self._process.pid)
            while server.status() != psutil.STATUS_ZOMBIE and time.monotonic() < until:
                time.sleep(_TICK_SECONDS)

    def initialise(
        self, strategy: Strategy, arguments: Arguments, config: TaskConfig, run_seeds: Sequence[int]
    ) -> list[tuple[Float32[Tensor, " param"], OptimizerConfig]]:
        """Requests the initial networks and hyperparameters of runs from a new worker, which sees no secret.

        Args:
            strategy: The strategy.
            arguments: Keyword arguments for the calls of its functions.
            config: The settings.
            run_seeds: One seed for each run.

        Raises:
            InvalidStrategyError: The contract does not accept the networks or hyperparameters of the strategy.
            StrategyFailedError: A function raised, hit a limit, or ended its process.
            MachineError: The sandbox does not work.
        """
        return self.initialise_variants(strategy, arguments, config, run_seeds, variants=())[0]

    def initialise_variants(
        self,
        strategy: Strategy,
        arguments: Arguments,
        config: TaskConfig,
        run_seeds: Sequence[int],
        variants: Sequence[Mapping[str, Value]],
    ) -> list[list[tuple[Float32[Tensor, " param"], OptimizerConfig]]]:
        """Requests networks once for several variants that differ in arguments of ``get_optimizer_config`` alone.

        Args:
            strategy: See `initialise`.
            arguments: See `initialise`; with none for ``get_optimizer_config`` if there are variants.
            config: See `initialise`.
            run_seeds: See `initialise`.
            variants: Each variant's keyword arguments for ``get_optimizer_config``; none for the strategy as it is.

        Raises:
            StrategyFailedError: See `initialise`; or the calls of the variants may depend on each other (`variants`).
            InvalidStrategyError: See `initialise`.
            MachineError: See `initialise`.
        """
        request = self._request(
            strategy, arguments, config, run_seeds=run_seeds, device=self._device.type, variants=variants
        )
        return self._ask(request, "init_model and get_optimizer_config", decode_parameters)

    def training_set(
        self, strategy: Strategy, arguments: Arguments, config: TaskConfig, secret: Secret, dataset_seed: int
    ) -> Dataset:
        """Requests one secret's training set from a new worker; for other arguments and errors see `initialise`."""
        self.has_shown_secrets = True
        request = self._request(strategy, arguments, config, secret=secret, dataset_seed=dataset_seed)
        return self._ask(request, "make_dataset", decode_dataset)

    def space(self, strategy: Strategy, config: TaskConfig) -> Space:
        """Requests the ranges of a strategy's parameters from a new worker; for errors see `initialise`."""
        return self._ask(self._request(strategy, {}, config), "the file", decode_space)

    def _request(self, strategy: Strategy, arguments: Arguments, config: TaskConfig, **call: object) -> Request:
        return Request(strategy, config, self._limits, self._num_threads, arguments=arguments, **call)  # type: ignore[arg-type]

    def _ask(self, request: Request, functions: str, decode: Callable[[bytearray, Request], Answer]) -> Answer:
        """Sends one request to a new worker and returns its decoded reply."""
        path = request.strategy.path
        if not self._is_ready:
            self._await_server(_START_SECONDS, path)
            self._is_ready = True
        ours, workers_end = socket.socketpair()
        with ours:
            usage = Usage(
                self._process.pid,
                self._limits,
                watches_all=self._level != "none",
                has_namespaces=self._has_namespaces,
            )
            with workers_end:
                try:
                    socket.send_fds(self._control, [self._asks_for], [workers_end.fileno()])
                except OSError as error:
                    raise self._lost(path) from error
            conversation = Conversation(ours, self._control, usage)
            try:
                conversation.send(request.encode())
                return decode(conversation.reply(request), request)
            except LimitReachedError as error:
                self.kill()  # at once: with too many processes running, the server may get no CPU time to do it
                raise StrategyFailedError(f"{path}: {functions} {error}") from error
            except EndedError as error:
                raise StrategyFailedError(f"{path}: {functions} {error}") from error
            except ForgedError as error:
                self.kill()
                raise StrategyFailedError(f"{path}: {functions} {error}") from error
            finally:
                if not self.has_ended:
                    self._end_worker(path, has_ended=conversation.ended is not None)

    def _end_worker(self, path: str, *, has_ended: bool) -> None:
        """Ends the worker and every process that it started, and waits until the server can fork the next worker.

        A server that finds a trace of the worker that would outlive it cannot: it is ended.
        """
        with suppress(OSError):  # if the server is gone, the next wait raises
            self._control.sendall(b"E")
        while not has_ended:
            status, _ = ENDED.unpack(self._await_server(_SERVER_SECONDS, path, ENDED.size))
            has_ended = status != IN_USE
        if self._await_server(_SERVER_SECONDS, path) != READY:
            self.kill()

    def _await_server(self, seconds: float, path: str, length: int = len(READY)) -> bytes:
        """Waits until the server has sent a message of the given length in bytes.

        Raises:
            MachineError: The server did not start.
            StrategyFailedError: The server has served before and does so no longer.
        """
        self._control.settimeout(seconds)
        try:
            if len(said := self._control.recv(length, socket.MSG_WAITALL)) == length:
                return said
        except OSError:
            pass
        raise self._lost(path)

    def _lost(self, path: str) -> StrategyFailedError | MachineError:
        """Ends what is left of the server, and builds the error."""
        status = None
        with suppress(subprocess.TimeoutExpired):
            status = self._process.wait(_TICK_SECONDS * 500)
        self.kill()
        if self._is_ready:
            if status == os.EX_OSERR:
                return MachineError(f"the sandbox cannot start a worker: {self._log.last_words()}")
            return StrategyFailedError(f"{path}: the sandbox server died while it ran this strategy")
        reason = self._log.last_words() or "no reason given"
        return MachineError(f"the sandbox did not start (perhaps --containment limits does): {reason}")
