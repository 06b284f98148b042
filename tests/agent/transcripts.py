"""Transcripts for Inspect's mock model: a script in a thread makes moves, and reads the answers, as a model does."""

import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from inspect_ai.model import ChatMessage, ChatMessageTool, ModelOutput, ModelUsage
from published_run import Player

Script = Callable[[Player], object]
_SECONDS = 300.0


class Transcript:
    """Gives the moves of a script one by one as the outputs of a mock model, and then says that it is done.

    Args:
        script: Makes the moves of a player.

    Attributes:
        player: The player.
    """

    def __init__(self, script: Script) -> None:
        self._moves: queue.Queue[tuple[str, Mapping[str, Any]] | None] = queue.Queue()
        self._answers: queue.Queue[str] = queue.Queue()
        self._errors: list[BaseException] = []
        self._script = script
        self.player = Player(self._call)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __call__(self, messages: list[ChatMessage], *_: Any) -> ModelOutput:
        """Answers the script's last move with the last message, and returns the next move."""
        if not self._thread.ident:
            self._thread.start()
        else:
            self._tell(messages)
        move = self._moves.get(timeout=_SECONDS)
        if self._errors:
            raise self._errors[0]
        if move is None:
            self._moves.put(None)
            output = ModelOutput.from_content("mockllm", "done")
        else:
            output = ModelOutput.for_tool_call("mockllm", move[0], dict(move[1]))
        output.usage = ModelUsage()  # otherwise tokens are counted, by a table from the network
        return output

    def finish(self, messages: list[ChatMessage]) -> None:
        """Lets the script read the last answer, which ended the conversation, and waits for its end."""
        if self._thread.is_alive():
            self._tell(messages)
        self._thread.join(_SECONDS)
        assert not self._thread.is_alive()
        if self._errors:
            raise self._errors[0]

    def _tell(self, messages: list[ChatMessage]) -> None:
        if isinstance(last := messages[-1], ChatMessageTool):
            self._answers.put(last.error.message if last.error else last.text)

    def _run(self) -> None:
        try:
            self._script(self.player)
        except BaseException as error:
            self._errors.append(error)
        self._moves.put(None)

    def _call(self, verb: str, arguments: Mapping[str, Any]) -> str:
        self._moves.put((verb, arguments))
        return self._answers.get(timeout=_SECONDS)
