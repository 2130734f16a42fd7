"""Reads the lines of the scripted agent (`runner.testing.script_agent` says what they are)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runner.agents import JsonLines, ReaderEvent, Summary
from runner.agents.reader import KEPT
from runner.model import Usage
from runner_plugins.formats.values import count, moment, number, text

_CLASSES = ("rate_limited", "auth", "budget", "crashed")


class ScriptReader:
    """Each line is `{"event": …}`; lines that are not count for nothing."""

    def __init__(self) -> None:
        self._lines = JsonLines(mark="event")
        self._summary = Summary()

    def feed(self, data: bytes) -> list[ReaderEvent]:
        return [event for line in self._lines.feed(data) for event in self._event(line)]

    def close(self) -> list[ReaderEvent]:
        return [event for line in self._lines.close() for event in self._event(line)]

    def summary(self) -> Summary:
        return self._summary

    def _note(self, **changes: Any) -> None:
        self._summary = replace(self._summary, **changes)

    def _event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        kind = line.get("event")
        if kind == "session" and text(line.get("id")):
            self._note(session=text(line.get("id")))
            return [ReaderEvent("session", {"id": text(line.get("id"))})]
        if kind == "text":
            return [ReaderEvent("text", {"text": text(line.get("text"))})]
        if kind == "tool":
            self._note(tools=self._summary.tools + 1)
            return [ReaderEvent("tool", {"name": text(line.get("name")), "id": ""})]
        if kind == "denied":
            tool = text(line.get("tool")) or "a tool"
            self._note(denied=(*self._summary.denied[:999], tool), tools=self._summary.tools + 1)
            return [ReaderEvent("denied", {"tool": tool})]
        if kind == "usage":
            spent = Usage(
                count(line.get("input_tokens")), count(line.get("output_tokens")), number(line.get("cost_usd"))
            )
            self._note(usage=spent)
            return [ReaderEvent("usage", {"input_tokens": spent.input_tokens, "output_tokens": spent.output_tokens})]
        if kind == "limit":
            self._note(retry_at=moment(line.get("retry_at")))
            return [ReaderEvent("limit", {"status": "rejected", "retry_at": self._summary.retry_at})]
        if kind == "error":
            name = text(line.get("class"))
            self._note(final=True, outcome=name if name in _CLASSES else "crashed", error=text(line.get("message")))
            return [ReaderEvent("error", {"message": self._summary.error, "status": None, "retry": False})]
        if kind == "ask":
            self._note(question=text(line.get("question")) or "?")
            return []
        if kind == "final":
            said = text(line.get("text"))
            self._note(final=True, text=said if len(said) <= KEPT else "", cut=len(said) > KEPT)
            return [ReaderEvent("final", {"text": said})]
        return []
