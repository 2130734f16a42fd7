"""Reads `codex exec --json`: threads, turns and items, one a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner_plugins.formats.base import JsonReader
from runner_plugins.formats.failures import status_in
from runner_plugins.formats.values import count, mapping, text

if TYPE_CHECKING:
    from runner.agents import ReaderEvent

_TOOLS: Final = {
    "command_execution": "shell",
    "file_change": "apply_patch",
    "mcp_tool_call": "mcp",
    "web_search": "web_search",
    "collab_tool_call": "agent",
}


class CodexReader(JsonReader):
    """`turn.completed` or `turn.failed` ends it. An item of type `error` is a notice: the turn goes on.

    The usage of a resumed thread is the sum of the thread; no cost is told.
    """

    def event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        kind = line.get("type")
        if kind == "thread.started":
            return self.begins(text(line.get("thread_id")))
        if kind in ("item.started", "item.completed", "item.updated"):
            return self._item(mapping(line.get("item")), done=kind == "item.completed")
        if kind == "turn.started":
            # One process may have several turns: the last decides.
            self.final, self.outcome = False, None
            self.turns = (self.turns or 0) + 1
        elif kind == "turn.completed":
            usage = mapping(line.get("usage"))
            events = self.spends(count(usage.get("input_tokens")), count(usage.get("output_tokens")))
            return [*events, *self.ends()]
        elif kind == "turn.failed":
            words = text(mapping(line.get("error")).get("message")) or self.error
            return [*self.fails(words, status_in(words)), *self.ends()]
        elif kind == "error":
            words = text(line.get("message"))
            return self.retries(words, status_in(words))
        return []

    def _item(self, item: dict[str, Any], *, done: bool) -> list[ReaderEvent]:
        kind, id = text(item.get("type")), text(item.get("id"))
        if kind == "agent_message":
            # Each message is whole; the last one is the answer.
            return self.says(text(item.get("text")), anew=True) if done else []
        if kind in _TOOLS:
            events = self.uses(text(item.get("tool")) or _TOOLS[kind], id)
            if done and text(item.get("status")) == "declined":
                events += self.denies(_TOOLS[kind], id)
            return events
        return []
