"""Reads `droid exec -o stream-json` (and `json`): messages, tool calls, then `completion` or `error`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from runner.agents import ReaderEvent
from runner_plugins.formats.base import JsonReader
from runner_plugins.formats.values import count, mapping, text

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATUS: Final = re.compile(r"\s*(\d{3})\b")
_REFUSED: Final = "insufficient permission"
_INPUT: Final = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_MOST: Final = 1000
"""Tools that are remembered by name."""


class DroidReader(JsonReader):
    """Ends with `completion`, or with errors: the first says what failed, the last only that something did.

    A fork has an id of its own. The turns that `completion` tells are those of the whole session, its
    tokens are not: so turns are counted here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._turn: str | None = None
        self._calls: dict[str, str] = {}

    def event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        events = self.begins(text(line.get("session_id")))
        kind = line.get("type")
        if kind == "message" and line.get("role") == "assistant":
            self._count(text(line.get("id")))
            words = text(line.get("text"))
            return events + self.says(words if words.strip() else "", anew=True)
        if kind == "tool_call":
            return events + self._tool(line)
        if kind == "tool_result":
            refused = bool(line.get("isError")) and _REFUSED in text(mapping(line.get("error")).get("message"))
            id = text(line.get("id"))
            return events + (self.denies(self._calls.get(id, ""), id) if refused else [])
        if kind == "error":
            return events + self._broke(text(line.get("message")), last=line.get("source") == "cli")
        if kind == "completion":
            return events + self._completion(line, text(line.get("finalText")))
        if kind == "result":
            words = text(line.get("result"))
            return events + (self._broke(words, last=True) if line.get("is_error") else self._completion(line, words))
        return events

    def _count(self, message: str) -> None:
        """One answer of the model: its tool calls come with one message's id."""
        if not message or message != self._turn:
            self._turn, self.turns = message, (self.turns or 0) + 1

    def _tool(self, line: Mapping[str, Any]) -> list[ReaderEvent]:
        name, id = text(line.get("toolName")) or text(line.get("toolId")), text(line.get("id"))
        self._count(text(line.get("messageId")))
        self.outcome = None  # it goes on, so it got over what failed
        if len(self._calls) < _MOST:
            self._calls[id] = name
        return self.uses(name, id)

    def _broke(self, words: str, *, last: bool) -> list[ReaderEvent]:
        found = _STATUS.match(words)
        if last and self.outcome is not None:
            return [ReaderEvent("error", {"message": words[:4000], "status": None, "retry": False}), *self.ends()]
        refused = "awaiting_permission" if _REFUSED in words else None
        events = self.fails(words, int(found.group(1)) if found else None, refused)
        return [*events, *self.ends()] if last else events

    def _completion(self, line: Mapping[str, Any], words: str) -> list[ReaderEvent]:
        self.outcome = None
        if words.strip():
            self.says(words, anew=True)
        usage = mapping(line.get("usage"))
        read = [found for name in _INPUT if (found := count(usage.get(name))) is not None]
        spent = self.spends(sum(read) if read else None, count(usage.get("output_tokens")))
        return [*spent, *self.ends()]
