"""The MCP server: the published agent's run by the SDK's own client, many clients at once, and what is refused."""

import socket
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="needs pip install 'vecparity[agent]'")

import anyio
from mcp import Client, MCPError
from mcp.types import TextContent, TextResourceContents
from mcp_clients import SECONDS, begun, calls, over_http, over_stdio, replaced, text_of
from processes import Child, await_end, started_by
from published_run import Player, first_attempt, require_chance, require_results, second_attempt, text
from sessions import HANGING, needs_seal

from vecparity import History, Options
from vecparity.agent.digest import MOST_CHARACTERS
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.mcp_server import AgentServer
from vecparity.agent.sessions import Sessions
from vecparity.agent.settings import SessionSettings


@pytest.mark.slow
@needs_seal
def test_the_published_agents_run_over_stdio(tmp_path: Path) -> None:
    history = tmp_path / "history.sqlite3"
    with over_stdio("--history", str(history), environment={}) as (portal, client):
        player = Player(calls(portal, client))
        first, second, submitted = second_attempt(player)
        refused = player.move("test")
    require_results(first, "isolated_cube_1")
    require_results(second, "isolated_cube")
    assert second.startswith("Test #2 (1 test remaining;") and len(second) < MOST_CHARACTERS["harness"]
    assert submitted.startswith("Submitted test #2: ") and "Score: 1.000000, 1,750 steps" in submitted
    assert refused == "Error executing tool test: the session has ended: test 2 was submitted"
    with History(history) as recorded:
        assert [entry.mean_steps for entry in recorded.entries()] == [1750.0] * 9


@pytest.mark.slow
@needs_seal
def test_the_published_agents_first_attempt_over_stdio() -> None:
    with over_stdio("--smoke", "--no-history", environment={}) as (portal, client):
        require_chance(first_attempt(Player(calls(portal, client))))


@pytest.mark.slow
@needs_seal
def test_twenty_sessions_at_once_two_of_them_hanging(tmp_path: Path) -> None:
    flags = ["--smoke", "--no-history", "--sessions", "20", "--at-a-time", "3", "--strategy-seconds", "10"]
    answers: dict[int, str] = {}

    async def play(address: str, number: int) -> None:
        async with Client(address) as client:
            key = await begun(client)
            await replaced(client, key, HANGING if number < 2 else text("isolated_cube"))
            answers[number] = await text_of(client, "test", {"session": key}, seconds=None)  # most wait for a place

    async def play_all(address: str) -> None:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(play, address, number)
        async with Client(address) as client:
            assert "expected at most 20 sessions at a time" in await text_of(client, "begin", {})

    (tmp_path / "scratch").mkdir()
    flags += ["--directory", str(tmp_path / "sessions")]
    with over_http(*flags, scratch=tmp_path / "scratch") as (server, address):
        anyio.run(play_all, address)
        children = started_by(server.pid)
    for number, answer in answers.items():
        if number < 2:
            assert "did not finish within 10 s" in answer
        else:
            assert answer.count("\nFINAL_METRICS ") == 3, answer
    assert len(answers) == 20 and children
    await_end(children)
    assert len(list((tmp_path / "sessions").iterdir())) == 20
    assert {path.parent.parent.name for path in tmp_path.rglob("*.py")} == {"sessions"}


@pytest.mark.slow
@needs_seal
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_cancelled_call_stops_its_test(mode: Any, tmp_path: Path) -> None:
    """By the end of its stream, and by a notification, as the protocol's newer and older versions have it."""

    async def play(address: str) -> None:
        async with Client(address, mode=mode) as client:
            assert (client.protocol_version < "2026") == (mode == "legacy")
            key = await begun(client)
            await replaced(client, key, HANGING)
            with anyio.CancelScope() as scope:

                async def follow(progress: float, total: float | None, message: str | None) -> None:
                    if "asking for networks" in str(message):
                        scope.cancel()

                await client.call_tool("test", {"session": key}, progress_callback=follow)
            assert scope.cancelled_caught
            await replaced(client, key, text("isolated_cube"))
            answer = await text_of(client, "test", {"session": key})
            assert answer.startswith("Test #2 (1 test remaining;") and answer.count("FINAL_METRICS") == 3

    with over_http("--smoke", "--no-history", "--at-a-time", "1", scratch=tmp_path) as (_, address):
        anyio.run(play, address)


@pytest.mark.slow
@needs_seal
def test_nothing_is_left_of_a_server_that_ends_during_a_test(tmp_path: Path) -> None:
    processes: list[int] = []

    async def play(address: str, server: Child) -> None:
        async def follow(progress: float, total: float | None, message: str | None) -> None:
            if "asking for networks" in str(message) and not processes:
                processes.extend(started_by(server.pid))
                server.terminate()

        async with Client(address) as client:
            key = await begun(client)
            await replaced(client, key, HANGING)
            with anyio.fail_after(SECONDS), pytest.raises(MCPError):
                await client.call_tool("test", {"session": key}, progress_callback=follow)

    with over_http("--smoke", "--no-history", scratch=tmp_path) as (server, address):
        anyio.run(play, address, server)
        assert server.wait(SECONDS) == 130
    assert processes
    await_end(processes)


def _answered(address: str, header: str) -> int:
    """The status of an answer to a request with such a header."""
    host, port = address.removeprefix("http://").removesuffix("/mcp").split(":")
    body = b"{}"
    lines = ["POST /mcp HTTP/1.1", header, "Content-Type: application/json", f"Content-Length: {len(body)}"]
    with socket.create_connection((host, int(port)), timeout=SECONDS) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        return int(connection.recv(64).split()[1])


@pytest.mark.slow
@needs_seal
def test_names_of_other_machines_are_refused(tmp_path: Path) -> None:
    """By which pages in a browser would reach a server of this machine."""
    with over_http("--no-history", scratch=tmp_path) as (_, address):
        own = address.removeprefix("http://").removesuffix("/mcp")
        assert _answered(address, "Host: attacker.example") == 421
        assert _answered(address, f"Host: {own}\r\nOrigin: http://attacker.example") == 403
        assert _answered(address, f"Host: {own}") not in (403, 421)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.2", int(own.split(":")[1])), timeout=SECONDS)


@pytest.mark.slow
@needs_seal
def test_any_address_of_this_machine_is_served(tmp_path: Path) -> None:
    with over_http("--no-history", "--host", "127.0.0.2", scratch=tmp_path) as (_, address):
        own = address.removeprefix("http://").removesuffix("/mcp")
        assert own.startswith("127.0.0.2:") and _answered(address, f"Host: {own}") not in (403, 421)
        assert _answered(address, f"Host: {own.replace('127.0.0.2', '127.0.0.3')}") == 421


async def in_process(server: AgentServer, *, tools: list[tuple[str, dict[str, Any]]]) -> list[str]:
    async with Client(server.mcp) as client:
        return [await text_of(client, name, arguments) for name, arguments in tools]


@pytest.fixture
def server() -> AgentServer:
    """A server that evaluates nothing."""
    return AgentServer(Sessions(Evaluators(Options(audit="off")), SessionSettings(budget=2)))


def test_tools_say_what_they_take(server: AgentServer) -> None:
    async def play() -> None:
        async with Client(server.mcp) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            assert list(tools) == [
                *("begin", "view", "edit", "undo", "test", "submit", "check", "compare", "history", "leaderboard")
            ]
            edit = tools["edit"].input_schema["properties"]
            assert edit["op"]["enum"] == ["replace", "insert", "delete"]
            assert edit["start_line"]["type"] == "integer"
            assert tools["submit"].input_schema["required"] == ["session", "n"]
            assert all(tool.description for tool in tools.values())
            for name, words in (("digest", "Test #1 (2 tests remaining;"), ("contract", "get_optimizer_config")):
                (content,) = (await client.read_resource(f"vecparity://{name}")).contents
                assert isinstance(content, TextResourceContents) and words in content.text
            (message,) = (await client.get_prompt("task")).messages
            assert isinstance(message.content, TextContent) and "you have 2 tests" in message.content.text
            assert client.instructions == message.content.text
            with pytest.raises(MCPError):
                await client.read_resource("vecparity://../../etc/passwd")

    anyio.run(play)


def test_refusals_are_errors_that_say_what_to_do(server: AgentServer) -> None:
    key, _ = server._sessions.begin()
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("view", {"session": "../" + key}),
        ("edit", {"session": key, "op": "replace", "start_line": 1, "content": "import os"}),
        ("submit", {"session": key, "n": 1}),
        ("compare", {"session": key, "baseline": "/etc/passwd", "other": "isolated_cube"}),
        ("history", {}),
        ("edit", {"session": key, "op": "write", "start_line": 50, "content": "x"}),
    ]
    answers = anyio.run(lambda: in_process(server, tools=wrong))
    for answer, words in zip(
        answers,
        (
            "expected the key of a session, as begin returns it",
            "may be edited, got replace of lines 1 to 1",
            "there is no test to submit yet",
            "or a test of this session as in 'test 1', got '/etc/passwd'",
            "this server records nothing",
            "Input should be 'replace', 'insert' or 'delete'",
        ),
        strict=True,
    ):
        assert answer.startswith("Error executing tool ") and words in answer
    assert key not in "".join(answers[1:])
