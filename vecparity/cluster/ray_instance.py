"""Ray in this process: connected to a cluster, or to an instance of its own."""

import importlib
import importlib.util
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from vecparity.cluster.ray_directory import ray_directory
from vecparity.errors import MachineError, UsageError, describe, printable

# Older ones have CVE-2025-62593: any page in a browser could run code in them.
_OLDEST = (2, 52)
# Ray's store of objects; outcomes are small.
_STORE_BYTES = 200 << 20
_OF_SEVERAL_MACHINES = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


def require_ray() -> None:
    """Checks that Ray is installed.

    Raises:
        UsageError: It is not.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("workers on Ray need Ray, which is not installed: pip install 'vecparity[cluster]'")


def token_in_words() -> str:
    """Says where Ray has the token for clusters from, by its environment and the user's file."""
    mode = os.environ.get("RAY_AUTH_MODE")
    if mode is None:
        return "RAY_AUTH_MODE is not set: clusters that want a token are refused"
    if mode != "token":
        return f"RAY_AUTH_MODE={printable(mode)}"
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        if os.environ.get(name):
            return f"RAY_AUTH_MODE=token, by {name}"
    file = Path.home() / ".ray" / "auth_token"
    return f"RAY_AUTH_MODE=token, {'by' if file.exists() else 'but there is no'} {printable(str(file))}"


def is_connected() -> bool:
    """Returns True if somebody has connected this process to Ray."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


@contextmanager
def own() -> Iterator[tuple[Any, None]]:
    """Starts Ray for this process and those that it starts; yields the module and no dashboard, and ends Ray.

    Raises:
        UsageError: It is not installed, or too old.
        MachineError: It cannot be started.
    """
    # Without the other machines of a cluster, Ray listens to 127.0.0.1, whatever the system. No file has the token.
    by_itself = {_OF_SEVERAL_MACHINES: "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with _environment(by_itself):
        ray = _loaded()
        with (
            ray_directory() as directory,
            _started(ray, include_dashboard=False, object_store_memory=_STORE_BYTES, _temp_dir=directory),
        ):
            yield ray, None


@contextmanager
def connected(address: str | None) -> Iterator[tuple[Any, str | None]]:
    """Connects this process to a cluster, with the token that the environment or the user's file has.

    Args:
        address: Its address; does not matter if the process is connected already.

    Yields:
        The module, and the host and port of the cluster's dashboard, if it is known to have one.

    Raises:
        UsageError: Ray is not installed, or too old.
        MachineError: There is no such cluster, or it wants another token.
    """
    if is_connected():
        yield sys.modules["ray"], None
        return
    ray = _loaded()
    with _started(ray, address=address) as dashboard:
        yield ray, dashboard


def _loaded() -> Any:
    """Imports Ray; one that was imported before reads its environment anew.

    Raises:
        UsageError: It is not installed, or too old.
    """
    require_ray()
    was_imported = "ray" in sys.modules
    ray = importlib.import_module("ray")
    if tuple(int(part) for part in ray.__version__.split(".")[:2]) < _OLDEST:
        raise UsageError(
            f"workers on Ray need ray>={'.'.join(map(str, _OLDEST))}, as older ones run code for any web page that a "
            f"browser shows, got {ray.__version__}"
        )
    if was_imported:
        _read_environment()
    return ray


def _read_environment() -> None:
    """Has Ray read anew whether it is of several machines and which token it wants: it does so once in a process."""
    constants: Any = importlib.import_module("ray._private.ray_constants")
    raylet: Any = importlib.import_module("ray._raylet")
    constants.ENABLE_RAY_CLUSTER = constants.env_bool(_OF_SEVERAL_MACHINES, sys.platform == "linux")
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets variables of the environment, and has them and Ray as they were in the end."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if "ray" in sys.modules:
            _read_environment()


@contextmanager
def _started(ray: Any, **options: Any) -> Iterator[str | None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(_silenced())
            stack.callback(ray.shutdown)
            with _signals_kept():
                context = ray.init(log_to_driver=False, logging_level="error", **options)
        except Exception as error:  # of many kinds
            where = options.get("address", "this machine")
            raise MachineError(f"Ray on {where} cannot be used: {describe(error)}") from error
        yield context.dashboard_url or None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Puts this process's handlers of signals back: Ray has SIGTERM end it at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _silenced() -> Iterator[None]:
    """Has Ray print no news of nodes, as it does in spite of ``log_to_driver``: standard output has metric lines."""
    worker: Any = importlib.import_module("ray._private.worker")
    listen = worker.listen_error_messages
    worker.listen_error_messages = lambda *args: None
    try:
        yield
    finally:
        worker.listen_error_messages = listen
