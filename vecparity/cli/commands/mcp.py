"""``vecparity mcp``: serves sessions to agents, over standard input and output or over HTTP."""

import ipaddress
import socket
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from vecparity.cli.arguments import Whole
from vecparity.cli.interruption import Interruption
from vecparity.cli.messages import say
from vecparity.cli.session_arguments import SessionArguments
from vecparity.errors import MachineError, UsageError
from vecparity.sandbox.limits import Limits

if TYPE_CHECKING:
    from vecparity.agent.mcp_server import AgentServer

# Seconds that connections have to end after an interrupt.
_GRACE_SECONDS = 2


def mcp(
    *,
    transport: Literal["stdio", "http"] = "stdio",
    host: str = "127.0.0.1",
    port: Whole = 8000,
    allow_host: Annotated[
        tuple[str, ...], Parameter(consume_multiple=True, negative_iterable=(), show_default=False)
    ] = (),
    sessions: Whole = 32,
    idle_seconds: float = 3600.0,
    at_a_time: Whole = 2,
    directory: Path | None = None,
    arguments: SessionArguments = SessionArguments(),  # noqa: B008
    limits: Limits = Limits(),  # noqa: B008
) -> int:
    """Serve sessions to agents.

    Args:
        transport: stdio: one client on standard input and output. http: any number, at http://HOST:PORT/mcp.
        host: The address to listen on. Other than this machine's own needs --allow-host.
        port: The port to listen on; 0 for any that is free.
        allow_host: Names or addresses by which clients on other machines call this one. There are no passwords.
        sessions: The most sessions at a time.
        idle_seconds: End sessions that nobody used for so long.
        at_a_time: The most tests that are evaluated at a time; others wait for their turn.
        directory: Keep the file of each session, and its versions, in a directory of its own below this one.
        arguments: The rules of all sessions. Containment must be at least landlock, unless a weaker one is named:
            strategies of clients must not read the user's files.
        limits: The limits.

    Returns:
        The exit status: 0 when the client of stdio has closed it, 130 after a signal.
    """
    if find_spec("mcp") is None:
        raise UsageError("mcp needs the SDK of the Model Context Protocol: pip install 'vecparity[agent]'")
    if transport == "http":
        _require_place(host, port, allow_host)
    from vecparity.agent.containing import required

    arguments = replace(arguments, require_containment=required(arguments.containment, arguments.require_containment))
    from vecparity.agent.evaluators import Evaluators
    from vecparity.agent.mcp_server import AgentServer
    from vecparity.agent.sessions import Sessions

    # An end by a signal ends what is evaluated, too: uvicorn raises it anew when all connections are closed.
    with (
        Interruption(),
        arguments.settings() as settings,
        Evaluators(arguments.options(limits), at_a_time) as evaluators,
    ):
        server = AgentServer(
            Sessions(evaluators, settings, directory, most=sessions, idle_seconds=idle_seconds), 2 * sessions
        )
        if transport == "stdio":
            server.mcp.run()
        else:
            _serve_http(server, host, port, allow_host, sessions, idle_seconds)
    return 0


def _require_place(host: str, port: int, allow_host: tuple[str, ...]) -> None:
    if not 0 <= port < 2**16:
        raise UsageError(f"port must be from 0 to {2**16 - 1}, got {port}")
    if not _is_own(host) and not allow_host:
        raise UsageError(
            f"host must be this machine's own (127.0.0.1, ::1 or localhost), got {host}: whoever reaches another can "
            "use this machine; --allow-host NAME names those by which clients may call it"
        )


def _is_own(host: str) -> bool:
    """Tells whether nobody but this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _serve_http(
    server: "AgentServer", host: str, port: int, allow_host: tuple[str, ...], sessions: int, idle_seconds: float
) -> None:
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    with _listening(host, port) as listening:
        port = listening.getsockname()[1]
        own = {"127.0.0.1", "localhost", "::1"} | ({host} if _is_own(host) else set())
        names = [f"[{name}]" if ":" in name else name for name in (*own, *allow_host)]
        security = TransportSecuritySettings(
            allowed_hosts=[f"{name}:{port}" for name in names],
            allowed_origins=[f"http://{name}:{port}" for name in names],
        )
        app = server.mcp.streamable_http_app(
            host=host, transport_security=security, max_sessions=sessions, session_idle_timeout=idle_seconds
        )
        config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=_GRACE_SECONDS)
        say(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}/mcp")
        uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Raises:
        MachineError: The address is not to be had.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise MachineError(f"{host}:{port} cannot be listened on: {error.strerror or error}") from error
