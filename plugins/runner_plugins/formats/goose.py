"""Reads `goose run -q --output-format stream-json`: messages of any role, then `complete` or `error`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from runner_plugins.formats.base import JsonReader
from runner_plugins.formats.failures import by_status
from runner_plugins.formats.values import count, items, mapping, text

if TYPE_CHECKING:
    from runner.agents import ReaderEvent

_BROKE: Final = "Ran into this error: "
_ADVICE: Final = re.compile(r"Please (?:retry if you think this is|resend your message to)")
_TURNS: Final = "I've reached the maximum number of actions I can do without user input."
_REFUSED: Final = ("skipped in goose chat mode", "The user has declined to run this tool")
_STATUS: Final = re.compile(r"Status: (\d{3})\b|\((\d{3})\b")
_STARTS: Final = (("rate limit exceeded", "rate_limited"), ("authentication error", "auth"), ("credits", "auth"))
_KINDS: Final = {"authentication": "auth", "rate_limit": "rate_limited", "creditsExhausted": "auth"}
_SAID: Final = re.compile(r"^\s*error: (.{1,300})", re.MULTILINE | re.IGNORECASE)
_HEAD: Final = 4096
"""Bytes of the output in which an error in plain words is looked for."""
_MOST: Final = 1000
"""Tools that are remembered by name."""


class GooseReader(JsonReader):
    """It may exit 0 although it failed: then the last message is goose's own and says so ("Ran into this error").

    A message of the model comes in pieces with one id. Tokens are sums of the session, which has no id of
    its own but the name that it was given.
    """

    def __init__(self) -> None:
        super().__init__()
        self._message: str | None = None
        self._anew = True
        self._calls: dict[str, str] = {}
        self._head = b""

    def feed(self, data: bytes) -> list[ReaderEvent]:
        if len(self._head) < _HEAD:
            self._head += data[: _HEAD - len(self._head)]
        return super().feed(data)

    def close(self) -> list[ReaderEvent]:
        events = super().close()
        # Before it has a session it says in plain words what it lacks.
        found = None if events or self.final or self.error else _SAID.search(self._head.decode("utf-8", "replace"))
        if found:
            self.error = found.group(1)
        return events

    def event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        kind = line.get("type")
        if kind == "message":
            message = mapping(line.get("message"))
            return self._assistant(message) if message.get("role") == "assistant" else self._answered(message)
        if kind == "error":
            return [*self._broke(text(line.get("error")), self.outcome), *self.ends()]
        if kind == "complete":
            read, written = count(line.get("input_tokens")), count(line.get("output_tokens"))
            spent = [] if read is None and written is None else self.spends(read, written)
            return [*spent, *self.ends()]
        return []

    def _assistant(self, message: dict[str, Any]) -> list[ReaderEvent]:
        events: list[ReaderEvent] = []
        # What the model said names its provider (newer versions): it may speak of errors as it likes.
        model = bool(mapping(mapping(message.get("metadata")).get("inference")))
        for block in map(mapping, items(message.get("content"))):
            kind, words = block.get("type"), text(block.get("text"))
            if kind == "toolRequest":
                events += self._tool(block)
            elif kind == "error":
                events += self._broke(text(block.get("message")), _KINDS.get(text(block.get("kind"))))
            elif kind == "systemNotification":
                named = _KINDS.get(text(block.get("notificationType")))
                events += self._broke(text(block.get("msg")), named) if named else []
            elif kind == "text" and not model and _own_error(words):
                events += self._broke(words, None)
            elif kind == "text" and not model and words.startswith(_TURNS):
                events += self.fails("it reached its limit of turns", None, "budget")
            elif kind == "text" and words:
                events += self._say(text(message.get("id")), words)
        return events

    def _say(self, message: str, words: str) -> list[ReaderEvent]:
        self.outcome = None  # it goes on, so it got over what failed
        anew = self._anew or message != self._message
        self._message, self._anew = message, False
        return self.says(words, anew=anew)

    def _tool(self, block: dict[str, Any]) -> list[ReaderEvent]:
        id = text(block.get("id"))
        name = text(mapping(mapping(block.get("toolCall")).get("value")).get("name"))
        self.outcome, self._anew = None, True  # words after a tool are another message
        if len(self._calls) < _MOST:
            self._calls[id] = name
        return self.uses(name, id)

    def _answered(self, message: dict[str, Any]) -> list[ReaderEvent]:
        """What the tools answered; a refusal is a text, too."""
        events: list[ReaderEvent] = []
        for block in map(mapping, items(message.get("content"))):
            id, result = text(block.get("id")), mapping(block.get("toolResult"))
            parts = [text(mapping(part).get("text")) for part in items(mapping(result.get("value")).get("content"))]
            said = parts[0] if parts else text(result.get("error"))
            if block.get("type") == "toolResponse" and any(words in said[:400] for words in _REFUSED):
                events += self.denies(self._calls.get(id, ""), id)
        return events

    def _broke(self, words: str, named: str | None) -> list[ReaderEvent]:
        words = _ADVICE.split(words[:4000].removeprefix(_BROKE))[0].strip()
        found = _STATUS.search(words)
        status = int(found.group(1) or found.group(2)) if found else None
        if named is None:
            named = next((outcome for start, outcome in _STARTS if words.lower().startswith(start)), None)
        return self.fails(words, status, named or by_status(status))


def _own_error(words: str) -> bool:
    """Whether a text is goose's own about a call of the model that failed."""
    return words.startswith(_BROKE) or (
        words.startswith("Network error: ") and _ADVICE.search(words[-200:]) is not None
    )
