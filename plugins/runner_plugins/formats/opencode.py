"""Reads `opencode run --format json`: steps, texts and tools, one a line; there is no event for the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner_plugins.formats.base import JsonReader
from runner_plugins.formats.failures import status_in
from runner_plugins.formats.values import count, mapping, number, text

if TYPE_CHECKING:
    from runner.agents import ReaderEvent

_ON: Final = frozenset(("tool-calls", "tool_calls", "unknown", ""))
"""Why a step ends when another one follows."""
_DENIED: Final = ("rejected permission", "permission denied", "user has specified a rule which prevents")


class OpencodeReader(JsonReader):
    """A step that finishes for another reason than its tool calls is the last. Every line has `sessionID`."""

    def event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        events = self.begins(text(line.get("sessionID")))
        kind, part = line.get("type"), mapping(line.get("part"))
        if kind == "step_start":
            self.final = False
            self.turns = (self.turns or 0) + 1
            self.forgets()
        elif kind == "text":
            events += self.says(text(part.get("text")), anew=False)
        elif kind == "tool_use":
            events += self._tool(part)
        elif kind == "step_finish":
            events += self._finish(part)
        elif kind == "error":
            events += self._error(mapping(line.get("error")))
        return events

    def _tool(self, part: dict[str, Any]) -> list[ReaderEvent]:
        name, id, state = text(part.get("tool")), text(part.get("callID")), mapping(part.get("state"))
        events = self.uses(name, id)
        error = text(state.get("error")).lower()
        if state.get("status") == "error" and any(words in error for words in _DENIED):
            events += self.denies(name, id)
        return events

    def _finish(self, part: dict[str, Any]) -> list[ReaderEvent]:
        tokens = mapping(part.get("tokens"))
        cache = mapping(tokens.get("cache"))
        parts = [count(tokens.get("input")), count(cache.get("read")), count(cache.get("write"))]
        read = [found for found in parts if found is not None]
        events = self.spends(sum(read) if read else None, count(tokens.get("output")), add=True)
        cost = number(part.get("cost"))
        if cost:  # 0 is what it says of a model whose price it does not know
            events += self.costs(cost)
        if text(part.get("reason")) not in _ON:
            events += self.ends()
        return events

    def _error(self, error: dict[str, Any]) -> list[ReaderEvent]:
        data = mapping(error.get("data"))
        words = text(data.get("message")) or text(error.get("message")) or text(error.get("name"))
        status = count(data.get("statusCode")) or status_in(words)
        named = "auth" if text(error.get("name")) == "ProviderAuthError" else None
        return [*self.fails(words, status, named), *self.ends()]
