"""The workers that a command line names."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vecparity.errors import UsageError
from vecparity.training.engines.names import DeviceName, EngineName

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from vecparity.cluster.nodes import Node

_NUMBER = r"[1-9][0-9]{0,3}"
_ADDRESS = r"(ray://)?[\w.-]+:[0-9]{1,5}"


def require_workers(text: str | None) -> None:
    """Checks that a text names workers, before anything is evaluated.

    Raises:
        UsageError: It does not.
    """
    if text is None or re.fullmatch(_NUMBER, text):
        return
    if text != "ray" and not re.fullmatch(_ADDRESS, text):
        raise UsageError(f"workers must be a number of processes (--workers 8), ray or ray://HOST:PORT, got {text!r}")
    from vecparity.cluster.ray_instance import require_ray  # commands without workers load nothing of them

    require_ray()


@contextmanager
def opened_workers(
    text: str | None,
    threads: int | None = None,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    tell: Callable[[str], None] = lambda words: None,
) -> "Iterator[Executor | None]":
    """Opens the workers that a text names, and ends them; None for evaluations in this process.

    Args:
        text: A number of processes, ``ray`` or the address of a Ray cluster; None for no workers.
        threads: CPU threads of each worker.
        engine: The engine.
        device: The device. Where it is a GPU, each worker on Ray has one.
        tell: Receives where the cluster's dashboard is, if it has one.

    Raises:
        UsageError: See `require_workers`; the device does not exist here.
        MachineError: There is no such cluster, or it has no GPU and should.
    """
    require_workers(text)
    if text is None:
        yield None
        return
    from vecparity.cluster.local import LocalWorkers
    from vecparity.cluster.ray_workers import RayWorkers
    from vecparity.training.engines.select import devices_of

    if re.fullmatch(_NUMBER, text):
        workers: Executor = LocalWorkers(int(text))
    else:
        gpus = int(devices_of(engine, device)[0].type == "cuda")
        workers = RayWorkers(None if text == "ray" else text, threads or 1, gpus)
        if workers.dashboard is not None:
            tell(f"Ray's dashboard: http://{workers.dashboard}")
    with workers:
        yield workers


def asked(text: str | None) -> "dict[str, Node]":
    """Asks the machines of the cluster that a text names what they evaluate with; none for other workers.

    Returns:
        The machines by their addresses.

    Raises:
        UsageError: The text names no cluster.
        MachineError: There is no such cluster, or a machine does not answer.
    """
    if text is None:
        return {}
    if not re.fullmatch(_ADDRESS, text):
        raise UsageError(f"expected a cluster, ray://HOST:PORT: workers of this machine are as it is, got {text!r}")
    require_workers(text)
    from vecparity.cluster.ray_workers import RayWorkers

    with RayWorkers(text) as workers:
        return workers.nodes()
