"""Reads `gemini -o stream-json` (and `json`): the text is the joined deltas of the assistant's last message."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runner_plugins.formats.base import JsonReader
from runner_plugins.formats.failures import status_in
from runner_plugins.formats.values import count, mapping, text

if TYPE_CHECKING:
    from runner.agents import ReaderEvent


class GeminiReader(JsonReader):
    """`result` ends it, with `status` success or error. The document of `-o json` is read when it is whole."""

    def __init__(self) -> None:
        super().__init__()
        self._document = bytearray()
        self._fresh = True

    def feed(self, data: bytes) -> list[ReaderEvent]:
        self._keep(data)
        return super().feed(data)

    def close(self) -> list[ReaderEvent]:
        events = super().close()
        if not self.final and self._document:
            events += self._whole(bytes(self._document))
        self._document.clear()
        return events

    def event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        kind = line.get("type")
        if kind == "init":
            return self.begins(text(line.get("session_id")))
        if kind == "message" and line.get("role") == "assistant":
            anew = self._fresh or not line.get("delta")
            self._fresh = False
            return self.says(text(line.get("content")), anew=anew)
        if kind == "tool_use":
            self._fresh = True
            return self.uses(text(line.get("tool_name")), text(line.get("tool_id")))
        if kind == "tool_result":
            error = mapping(line.get("error"))
            if "denied" in text(error.get("type")).lower() or "policy_violation" in text(error.get("type")).lower():
                return self.denies("", text(line.get("tool_id")))
            return []
        if kind == "error":
            words = text(line.get("message"))
            return self.retries(words, status_in(words))
        if kind == "result":
            return self._result(line)
        return []

    def _result(self, line: dict[str, Any]) -> list[ReaderEvent]:
        stats = mapping(line.get("stats"))
        events = self.spends(count(stats.get("input_tokens")), count(stats.get("output_tokens")))
        error = line.get("error")
        if text(line.get("status")) not in ("success", "") or isinstance(error, dict):
            words = text(mapping(error).get("message")) or self.error
            code = count(mapping(error).get("code"))
            events += self.fails(words, code or status_in(words))
        return [*events, *self.ends()]

    # The one document of `-o json`

    def _keep(self, data: bytes) -> None:
        if self.session is None and len(self._document) + len(data) <= 8 << 20:
            self._document += data
        elif self._document:
            self._document.clear()

    def _whole(self, data: bytes) -> list[ReaderEvent]:
        start = data.find(b"{")
        try:
            found = mapping(json.loads(data[start:].decode("utf-8", "replace")) if start >= 0 else None)
        except (ValueError, RecursionError):
            return []
        if "response" not in found and "error" not in found:
            return []
        events = self.begins(text(found.get("session_id")))
        for model in mapping(mapping(found.get("stats")).get("models")).values():
            tokens = mapping(mapping(model).get("tokens"))
            events += self.spends(count(tokens.get("prompt")), count(tokens.get("candidates")), add=True)
        error = mapping(found.get("error"))
        if error:
            words = text(error.get("message"))
            events += self.fails(words, count(error.get("code")) or status_in(words))
        else:
            events += self.says(text(found.get("response")), anew=True)
        return [*events, *self.ends()]
