"""Reads `qwen -o stream-json` (and `json`): the events of Claude Code's format, with errors of its own."""

from __future__ import annotations

from typing import Any

from runner.agents import ReaderEvent
from runner_plugins.formats.claude import ClaudeReader
from runner_plugins.formats.failures import by_status, retry_moment, status_in
from runner_plugins.formats.values import count, mapping, text


class QwenReader(ClaudeReader):
    """What failed stands in `result.error.message`; `system/retry` says that it waits for its provider."""

    def _event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        if line.get("type") == "system" and line.get("subtype") == "retry":
            return self._retry(mapping(line.get("data")))
        return super()._event(line)

    def _result(self, line: dict[str, Any]) -> list[ReaderEvent]:
        error = mapping(line.get("error"))
        words = text(error.get("message"))
        if words and not text(line.get("result")):
            line = {**line, "result": words}
        events = super()._result(line)
        if self._outcome == "crashed":
            named = by_status(count(error.get("code")) or status_in(self._error))
            self._outcome = named or self._outcome
            self._retry_at = retry_moment(self._error) if named == "rate_limited" else None
        return events

    def _retry(self, data: dict[str, Any]) -> list[ReaderEvent]:
        """It does not say why; what it waits for that long is its provider's limit."""
        delay = count(data.get("delayMs"))
        if delay is None:
            return []
        self._waiting = "rate_limited" if delay >= 10_000 else None
        self._error = f"it tries again in {delay / 1000:g} s (attempt {count(data.get('attempt')) or 1})"
        return [ReaderEvent("limit", {"status": "retrying", "retry_at": None})]
