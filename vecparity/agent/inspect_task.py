"""The benchmark as a task of Inspect: ``inspect eval vecparity/optimization_parity --model MODEL``.

The model works in a session, by its verbs as tools. The score is that of the submission, on secrets of its own.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import anyio
from anyio import to_thread
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import Tool, ToolError, tool

from vecparity.agent.containing import required
from vecparity.agent.digest import digest as digest_of
from vecparity.agent.digest import submission_digest
from vecparity.agent.evaluators import Evaluators
from vecparity.agent.loop import instructions
from vecparity.agent.session import Session
from vecparity.agent.settings import DigestForm, SessionSettings
from vecparity.agent.threads import in_thread
from vecparity.errors import VecparityError
from vecparity.evaluation.options import Options
from vecparity.history.store import History
from vecparity.sandbox.levels import Containment, Level
from vecparity.task.config import CONFIGURATIONS, Protocol

# How often a model that calls no tool is asked to go on.
_MOST_REMINDERS = 3
_REMINDER = "Nothing is submitted yet, and only a submission is scored: call a tool, in the end submit(n)."
_STORED = "vecparity"

Call = Callable[[threading.Event], str]


@task
def optimization_parity(
    budget: int = 3,
    protocol: Protocol = "published",
    smoke: bool = False,
    seed: int = 42,
    hidden: str | None = None,
    digest: DigestForm = "harness",
    seconds: float = 3600.0,
    history: str | None = None,
    containment: Containment = "auto",
    require_containment: Level | None = None,
    message_limit: int = 100,
) -> Task:
    """Has a model write a strategy: it edits, tests and submits, as in the benchmark.

    Args:
        budget: See `SessionSettings`.
        protocol: See `SessionSettings`.
        smoke: See `SessionSettings`.
        seed: See `SessionSettings`.
        hidden: See `SessionSettings`.
        digest: See `SessionSettings`.
        seconds: See `SessionSettings`.
        history: See `SessionSettings`.
        containment: See `Options`.
        require_containment: See `Options`. By default landlock, unless ``containment`` names a weaker level.
        message_limit: The most messages of a conversation.
    """
    settings = SessionSettings(
        budget=budget,
        protocol=protocol,
        smoke=smoke,
        seed=seed,
        hidden=hidden,
        digest=digest,
        seconds=seconds,
        history=None if history is None else Path(history).absolute(),
    )
    if settings.history is not None:
        History(settings.history, create=True).close()  # where it cannot be used, nothing is begun
    options = Options(
        audit="off", containment=containment, require_containment=required(containment, require_containment)
    )
    return Task(
        dataset=[Sample(input=instructions(settings), id="optimization-parity")],
        solver=session_loop(settings, options),
        scorer=submission_score(),
        message_limit=message_limit,
    )


@solver
def session_loop(settings: SessionSettings, options: Options) -> Solver:
    """Lets the model call the verbs of a session until it has submitted, or calls no more tools.

    Args:
        settings: The rules.
        options: Options of tests.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        evaluators = Evaluators(options)
        session = Session(evaluators, settings)
        state.tools = [view(session), edit(session), undo(session), test(session), submit(session)]
        num_reminders = 0
        try:
            while session.submission is None and not state.completed:
                state = await generate(state, tool_calls="single")
                if not state.output.message.tool_calls:
                    if num_reminders == _MOST_REMINDERS:
                        break
                    num_reminders += 1
                    state.messages.append(ChatMessageUser(content=_REMINDER))
        finally:  # a limit of Inspect's may end it at any time
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(evaluators.close)  # waits for a test to end: others' samples go on meanwhile
            state.store.set(_STORED, _result(session))
        return state

    return solve


@tool
def view(session: Session) -> Tool:
    """See `Session.view`."""

    async def execute() -> str:
        """Show the file with the numbers of its lines, and which of them may be edited."""
        return await _called(lambda stopped: session.view())

    return execute


@tool
def edit(session: Session) -> Tool:
    """See `Session.edit`."""

    async def execute(
        op: Literal["replace", "insert", "delete"],
        start_line: int,
        end_line: int | None = None,
        content: str | None = None,
    ) -> str:
        """Change lines of the editable block. Returns what was replaced, and the block as it is now.

        Args:
            op: insert puts the content below start_line; the others change start_line to end_line.
            start_line: The first line, by the number that view shows.
            end_line: The last line; by default start_line.
            content: The new lines; none for delete.
        """
        return await _called(lambda stopped: session.edit(op, start_line, end_line, content))

    return execute


@tool
def undo(session: Session) -> Tool:
    """See `Session.undo`."""

    async def execute(n: int = 1) -> str:
        """Take back the last n edits. Returns the block as it is now.

        Args:
            n: The number of edits.
        """
        return await _called(lambda stopped: session.undo(n))

    return execute


@tool(parallel=False)
def test(session: Session) -> Tool:
    """See `Session.test`."""

    async def execute() -> str:
        """Train and test the file as it is: uses one of the tests, also if the file has an error."""
        return await _called(lambda stopped: session.test(stopped=stopped))

    return execute


@tool(parallel=False)
def submit(session: Session) -> Tool:
    """See `Session.submit`."""

    async def execute(n: int) -> str:
        """Score the file of the n-th test on secrets of its own. That is the score, and ends the work.

        Args:
            n: The test's number.
        """
        return await _called(lambda stopped: session.submit(n, stopped=stopped))

    return execute


async def _called(call: Call) -> str:
    try:
        return await in_thread(call)
    except VecparityError as error:
        raise ToolError(str(error)) from error


def _result(session: Session) -> dict[str, Any]:
    """Returns what a score is made of, as plain values that a log holds."""
    submission = session.submission
    found: dict[str, Any] = {
        "tests": len(session.tests),
        "max_steps": session.settings.config("n32-k8").max_steps,
        "accuracy": None,
        "report": _report(session),
    }
    if submission is None:
        return found
    return found | {
        "accuracy": submission.accuracy,
        "steps": submission.mean_steps,
        "submitted": submission.number,
        "is_sealed": submission.is_sealed,
        "configurations": {label: own.metrics.test_accuracy for label, own in submission.evaluations.items()},
    }


def _report(session: Session) -> str:
    """Returns what became of a session, in Markdown, which ``inspect view`` shows beside the score."""
    tests, budget = session.tests, session.settings.budget
    parts = [
        (f"Test {number + 1}", "text", digest_of(tests[: number + 1], budget, "compact"))
        for number in range(len(tests))
    ]
    if session.submission is not None:
        source = session.submission.strategy.source.decode(errors="replace")
        parts = [
            ("Submission", "text", submission_digest(session.submission)),
            *parts,
            ("File", "python", source),
        ]
    return "\n\n".join(f"#### {title}\n\n````{kind}\n{text}\n````" for title, kind, text in parts)


@scorer(metrics={"*": [mean(), stderr()]})
def submission_score() -> Scorer:
    """Scores a submission: accuracy, steps, tests used, and the accuracy of each configuration.

    Without a submission, or where a configuration has no score, the accuracy is 0, and all steps are used.
    """

    async def score(state: TaskState, target: Target) -> Score:
        found: dict[str, Any] = state.store.get(_STORED, {})
        has_score = found.get("accuracy") is not None
        accuracies = found.get("configurations", {})
        submitted = found.get("submitted")
        return Score(
            value={
                "accuracy": found["accuracy"] if has_score else 0.0,
                "steps": found["steps"] if has_score else found.get("max_steps", 0),
                "tests": found.get("tests", 0),
                **{label: accuracies.get(label, 0.0) for label in CONFIGURATIONS},
            },
            answer=None if submitted is None else f"test {submitted}",
            explanation=found.get("report") or "nothing was tested",
            metadata={"is_sealed": found.get("is_sealed")},
        )

    return score
