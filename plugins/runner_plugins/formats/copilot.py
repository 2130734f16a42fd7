"""Reads `copilot --output-format json`: one event a line, each `{type, data}`, and a last `result`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner_plugins.formats.base import JsonReader
from runner_plugins.formats.values import count, mapping, text

if TYPE_CHECKING:
    from runner.agents import ReaderEvent

_KINDS: Final = {"authentication": "auth", "authorization": "auth", "quota": "auth", "rate_limit": "rate_limited"}
_MOST: Final = 1000
"""Tools that are remembered by name."""


class CopilotReader(JsonReader):
    """`session.error` says what failed, `result` how it ended; an `abort` before it exits 0 and is no success.

    The session's id comes with `result`. Tokens are told only where the CLI reports them (`assistant.usage`).
    """

    def __init__(self) -> None:
        super().__init__()
        self._aborted = False
        self._calls: dict[str, str] = {}

    def event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        kind, data = text(line.get("type")), mapping(line.get("data"))
        if kind == "result":
            return self._result(line)
        if kind in ("session.start", "session.resume"):
            return self.begins(text(data.get("sessionId")))
        if kind == "assistant.turn_start":
            self.turns = (self.turns or 0) + 1
        elif kind == "assistant.message":
            return self._said(data)
        elif kind == "assistant.usage":
            return self.spends(count(data.get("inputTokens")), count(data.get("outputTokens")), add=True)
        elif kind == "tool.execution_start":
            return self._tool(text(data.get("toolName")), text(data.get("toolCallId")))
        elif kind == "tool.execution_complete":
            if text(mapping(data.get("error")).get("code")) in ("denied", "rejected"):
                id = text(data.get("toolCallId"))
                return self.denies(self._calls.get(id, ""), id)
        elif kind == "model.call_failure":
            status, words = count(data.get("statusCode")), text(data.get("errorMessage")) or "error"
            return self.retries(f"{words} ({status})" if status else words, status)
        elif kind == "session.error":
            words, named = text(data.get("message")), _KINDS.get(text(data.get("errorType")))
            return self.fails(words or text(data.get("errorType")), count(data.get("statusCode")), named)
        elif kind == "abort" and not self.final:
            self._aborted = True
        return []

    def _said(self, data: dict[str, Any]) -> list[ReaderEvent]:
        self.outcome = None  # the model has answered: what failed before was got over
        words = text(data.get("content"))
        # A subagent's words are not the answer.
        nested = bool(text(data.get("parentToolCallId")))
        return self.says("" if nested or not words.strip() else words, anew=True)

    def _tool(self, name: str, id: str) -> list[ReaderEvent]:
        if len(self._calls) < _MOST:
            self._calls[id] = name
        return self.uses(name, id)

    def _result(self, line: dict[str, Any]) -> list[ReaderEvent]:
        events = self.begins(text(line.get("sessionId")))
        if self._aborted:
            # Not its own end, although it says 0: what it was waiting for then is what counts.
            self.outcome, self.error = "crashed", self.error or "it was interrupted"
            return events
        exit_code = count(line.get("exitCode"))
        if exit_code and self.outcome is None:
            self.outcome = self.waiting or "crashed"
            self.error = self.error or f"it says that it exits with {exit_code}"
        return [*events, *self.ends()]
