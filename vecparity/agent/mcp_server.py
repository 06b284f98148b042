"""The MCP server: the verbs of sessions as tools, over any transport of the protocol's own SDK.

A client names its session in each call, by the key that ``begin`` returned: of the protocol's versions, the newer have
no sessions of their own.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from vecparity import _version
from vecparity.agent import inquiries
from vecparity.agent.digest import DIGEST_FORMAT
from vecparity.agent.following import Elapsed, Fraction
from vecparity.agent.loop import instructions
from vecparity.agent.session import Session
from vecparity.agent.sessions import Sessions
from vecparity.agent.threads import in_thread
from vecparity.errors import VecparityError

_GUIDE = Path(__file__).parents[1] / "guide"
# Interval between two looks at the progress.
_TICK_SECONDS = 0.5

Key = Annotated[str, Field(description="The session's key, as begin returned it.")]
Line = Annotated[int, Field(description="A line's number, as view shows it.")]
Call = Callable[[Session, threading.Event], str]


class AgentServer:
    """Tools, a prompt and resources.

    Args:
        sessions: The sessions.
        most_calls: The most calls at a time; others wait.

    Attributes:
        mcp: The SDK's server.
    """

    def __init__(self, sessions: Sessions, most_calls: int = 64) -> None:
        self._sessions = sessions
        self._inquiries = inquiries.Inquiries(sessions.evaluators)
        self._most_calls = most_calls
        self._limiter: anyio.CapacityLimiter | None = None
        words = instructions(sessions.settings)
        self.mcp: MCPServer[Any] = MCPServer(
            "vecparity", version=_version.__version__, instructions=words, log_level="ERROR"
        )
        for tool in (
            *(self.begin, self.view, self.edit, self.undo, self.test, self.submit),
            *(self.check, self.compare, self.history, self.leaderboard),
        ):
            self.mcp.add_tool(tool, structured_output=False)
        self.mcp.prompt("task", description="The task, and how to work on it.")(lambda: words)
        for name, kind, text in (
            ("digest", "text/plain", lambda: DIGEST_FORMAT),
            ("contract", "text/markdown", lambda: (_GUIDE / "strategies.md").read_text(encoding="utf-8")),
        ):
            self.mcp.resource(f"vecparity://{name}", name=name, mime_type=kind)(text)

    async def begin(self) -> str:
        """Begin a session. Returns its key, which every other call needs, and the file with numbered lines."""

        def call(stopped: threading.Event) -> str:
            key, session = self._sessions.begin()
            return f"session: {key}\n{session.view()}"

        return await self._run(call)

    async def view(self, session: Key) -> str:
        """Show the file with the numbers of its lines, and which of them may be edited."""
        return await self._call(session, lambda own, stopped: own.view())

    async def edit(
        self,
        session: Key,
        op: Annotated[
            Literal["replace", "insert", "delete"],
            Field(description="insert puts the content below start_line; the others change start_line to end_line."),
        ],
        start_line: Line,
        end_line: Annotated[int | None, Field(description="The last line; by default start_line.")] = None,
        content: Annotated[str | None, Field(description="The new lines; none for delete.")] = None,
    ) -> str:
        """Change lines of the editable block. Returns what was replaced, and the block as it is now."""
        return await self._call(session, lambda own, stopped: own.edit(op, start_line, end_line, content))

    async def undo(self, session: Key, n: Annotated[int, Field(description="The number of edits.")] = 1) -> str:
        """Take back the last n edits. Returns the block as it is now."""
        return await self._call(session, lambda own, stopped: own.undo(n))

    async def test(self, session: Key, context: Context[Any, Any]) -> str:
        """Train and test the file as it is: uses one of the session's tests, also if the file has an error."""
        fraction = Fraction()
        call: Call = lambda own, stopped: own.test([fraction], stopped)  # noqa: E731
        return await self._followed(session, call, context, fraction, len(self._sessions.settings.shown))

    async def submit(
        self, session: Key, n: Annotated[int, Field(description="The test's number.")], context: Context[Any, Any]
    ) -> str:
        """Score the file of the n-th test on secrets of its own. Ends the session, also if the call is cancelled."""
        elapsed = Elapsed()
        call: Call = lambda own, stopped: own.submit(n, [elapsed], stopped)  # noqa: E731
        return await self._followed(session, call, context, elapsed)

    async def check(self, session: Key) -> str:
        """Call the file's functions without training: shows errors, the training set's figures and warnings."""
        return await self._call(session, self._inquiries.check)

    async def compare(
        self,
        session: Key,
        baseline: Annotated[str, Field(description="'test N' of this session, or a bundled strategy's name.")],
        other: Annotated[str, Field(description="The same; compared with the baseline.")],
    ) -> str:
        """Say whether one test or bundled strategy does better than another, and how sure that is."""
        return await self._call(session, lambda own, stopped: self._inquiries.compare(own, baseline, other, stopped))

    async def history(self, limit: Annotated[int, Field(description="The most evaluations.")] = 20) -> str:
        """List the newest evaluations of this server's sessions; what else its history holds is not shown."""
        path, names = self._sessions.settings.history, self._sessions.names
        return await self._run(lambda stopped: inquiries.recorded(path, names, limit))

    async def leaderboard(self) -> str:
        """Rank the strategies of this server's sessions; what else its history holds is not ranked."""
        path, names = self._sessions.settings.history, self._sessions.names
        return await self._run(lambda stopped: inquiries.ranking(path, names))

    async def _followed(
        self,
        key: str,
        call: Call,
        context: Context[Any, Any],
        progress: Fraction | Elapsed,
        total: float | None = None,
    ) -> str:
        """Makes a call, and reports its progress meanwhile."""
        answers: list[str] = []
        errors: list[ToolError] = []
        async with anyio.create_task_group() as group:
            group.start_soon(_report, context, progress, total)
            try:
                answers.append(await self._call(key, call))
            except ToolError as error:  # a group would wrap it
                errors.append(error)
            group.cancel_scope.cancel()
        if errors:
            raise errors[0]
        return answers[0]

    async def _call(self, key: str, call: Call) -> str:
        def with_session(stopped: threading.Event) -> str:
            with self._sessions.held(key, stopped) as session:
                return call(session, stopped)

        return await self._run(with_session)

    async def _run(self, call: Callable[[threading.Event], str]) -> str:
        """Makes a call in a thread of its own; if it is cancelled, the thread ends soon."""
        if self._limiter is None:  # it belongs to a running loop
            self._limiter = anyio.CapacityLimiter(self._most_calls)
        try:
            return await in_thread(call, self._limiter)
        except VecparityError as error:
            raise ToolError(str(error)) from error


async def _report(context: Context[Any, Any], progress: Fraction | Elapsed, total: float | None) -> None:
    """Reports the progress whenever it has grown."""
    told = -1.0
    while True:
        if (done := progress.done) > told:
            told = done
            await context.report_progress(done, total, progress.words)
        await anyio.sleep(_TICK_SECONDS)
