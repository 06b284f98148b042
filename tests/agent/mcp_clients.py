"""Clients of the MCP server in tests: calls from a thread that has no event loop, and a server over HTTP."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client, StdioServerParameters
from mcp.types import TextContent
from processes import Child
from published_run import Call

SECONDS = 900.0  # each test has a time limit of its own
BUSY = "the session is busy: wait for the answer to its test"
COMMAND = [sys.executable, "-m", "vecparity", "mcp"]


async def text_of(client: Client, tool: str, arguments: Mapping[str, Any], seconds: float | None = SECONDS) -> str:
    """The text that a call's result has, or its error's; it may take so many seconds, if there is a limit."""
    with anyio.fail_after(seconds):
        result = await client.call_tool(tool, dict(arguments))
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


async def begun(client: Client) -> str:
    """Begins a session, and returns its key."""
    answer = await text_of(client, "begin", {})
    found = re.match(r"session: (\w+)\n", answer)
    assert found, answer
    return found[1]


async def replaced(client: Client, key: str, content: str) -> None:
    """Replaces the whole block."""
    while (view := await text_of(client, "view", {"session": key})).endswith(BUSY):
        continue
    lines = re.search(r"lines (\d+) to (\d+) may be edited", view)
    assert lines, view
    edit = {"op": "replace", "start_line": int(lines[1]), "end_line": int(lines[2]), "content": content}
    await text_of(client, "edit", {"session": key, **edit})


def calls(portal: BlockingPortal, client: Client) -> Call:
    """Begins a session, and returns a function that calls its verbs."""
    key = portal.call(begun, client)
    return lambda verb, arguments: portal.call(text_of, client, verb, {"session": key, **arguments})


@contextmanager
def over_stdio(*flags: str, environment: Mapping[str, str]) -> Iterator[tuple[BlockingPortal, Client]]:
    """Starts a server as a client of a person does, and ends it."""
    server = StdioServerParameters(command=COMMAND[0], args=[*COMMAND[1:], *flags], env=dict(environment))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(Client(server)) as client:
        yield portal, client


@contextmanager
def over_http(*flags: str, scratch: Path) -> Iterator[tuple[Child, str]]:
    """Starts a server on a free port, and ends it; yields the process and the address.

    Args:
        flags: Flags of the server.
        scratch: An empty directory for temporary files, in which none must be left.
    """
    command = [*COMMAND, "--transport", "http", "--port", "0", *flags]
    environment = os.environ | {"TMPDIR": str(scratch)}
    with Child(command, stderr=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        address = re.search(r"listening on (\S+)", line)
        assert address, line
        with suppress(HTTPError):  # it is answered: the first of the client's own calls has a time limit
            urlopen(address[1].removesuffix("/mcp"))
        yield server, address[1]
        server.terminate()
        assert server.wait(SECONDS) == 130
    assert list(scratch.iterdir()) == []
