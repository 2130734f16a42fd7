"""What readers of JSON lines have in common: what was said, spent, used and denied, and how it all ended."""

from __future__ import annotations

from typing import Any, Final

from runner.agents import JsonLines, ReaderEvent, Summary
from runner.agents.reader import KEPT
from runner.model import Usage
from runner_plugins.formats.failures import by_status, retry_moment

_MOST: Final = 1000
"""Tools and denials that are remembered by name."""
_ERROR: Final = 4000
"""Characters of an error's words that are kept."""


class JsonReader:
    """A reader of one JSON object a line. A subclass says in `event` what each object means."""

    def __init__(self) -> None:
        self._lines = JsonLines()
        self.session: str | None = None
        self.said: list[str] = []
        self.final = False
        self.outcome: str | None = None
        self.error = ""
        self.waiting: str | None = None
        self.retry_at: float | None = None
        self.input: int | None = None
        self.output: int | None = None
        self.cost: float | None = None
        self.turns: int | None = None
        self.denied: dict[str, str] = {}
        self.tools: set[str] = set()
        self._size = 0

    def feed(self, data: bytes) -> list[ReaderEvent]:
        return [event for line in self._lines.feed(data) for event in self.event(line)]

    def close(self) -> list[ReaderEvent]:
        return [event for line in self._lines.close() for event in self.event(line)]

    def event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        """What one object says."""
        raise NotImplementedError

    def summary(self) -> Summary:
        words = "" if self._size > KEPT or not self.final or self.outcome else self.words()
        usage = Usage(self.input, self.output, self.cost, self.turns)
        return Summary(
            session=self.session,
            text=words,
            cut=self._size > KEPT,
            final=self.final,
            outcome=self.outcome,
            error=self.error,
            waiting=self.waiting,
            retry_at=self.retry_at,
            usage=None if usage == Usage() else usage,
            session_cost_usd=self.cost,
            denied=tuple(self.denied.values()),
            tools=len(self.tools),
        )

    def words(self) -> str:
        """The final message."""
        return "".join(self.said).strip()

    # What subclasses say of a line

    def begins(self, session: str) -> list[ReaderEvent]:
        """The session's id."""
        if not session or session == self.session:
            return []
        self.session = session
        return [ReaderEvent("session", {"id": session})]

    def says(self, words: str, *, anew: bool) -> list[ReaderEvent]:
        """Text of the agent; `anew` begins another message. What failed before was got over."""
        self.waiting, self.retry_at = None, None
        if self.outcome is None:
            self.error = ""
        if not words:
            return []
        if anew:
            self.forgets()
        self._size += len(words)
        if self._size <= KEPT:
            self.said.append(words)
        else:
            self.said.clear()
        return [ReaderEvent("text", {"text": words})]

    def forgets(self) -> None:
        """What was said so far was not the final message."""
        self.said.clear()
        self._size = 0

    def uses(self, tool: str, id: str) -> list[ReaderEvent]:
        """A tool is called."""
        key = id or f"#{len(self.tools)}"
        if key in self.tools or len(self.tools) >= _MOST:
            return []
        self.tools.add(key)
        return [ReaderEvent("tool", {"name": tool, "id": id})]

    def denies(self, tool: str, id: str) -> list[ReaderEvent]:
        """A tool was not allowed."""
        key = id or f"#{len(self.denied)}"
        if key in self.denied or len(self.denied) >= _MOST:
            return []
        self.denied[key] = tool or "a tool"
        return [ReaderEvent("denied", {"tool": self.denied[key]})]

    def spends(self, read: int | None, written: int | None, *, add: bool = False) -> list[ReaderEvent]:
        """Tokens: the sum so far, or (`add`) some more."""
        if read is not None:
            self.input = read + (self.input or 0 if add else 0)
        if written is not None:
            self.output = written + (self.output or 0 if add else 0)
        return [ReaderEvent("usage", {"input_tokens": self.input, "output_tokens": self.output})]

    def costs(self, usd: float | None) -> list[ReaderEvent]:
        """Some more money."""
        if usd is None:
            return []
        self.cost = (self.cost or 0.0) + usd
        return [ReaderEvent("cost", {"usd": self.cost})]

    def retries(self, words: str, status: int | None) -> list[ReaderEvent]:
        """A call of the model failed and is made again."""
        self.error = words[:_ERROR]
        self.waiting = by_status(status)
        if self.waiting == "rate_limited":
            self.retry_at = retry_moment(words)
            return [ReaderEvent("limit", {"status": "retrying", "retry_at": self.retry_at})]
        return [ReaderEvent("error", {"message": self.error, "status": status, "retry": True})]

    def fails(self, words: str, status: int | None, outcome: str | None = None) -> list[ReaderEvent]:
        """It gave up."""
        self.error = words[:_ERROR] or self.error or "error"
        self.outcome = outcome or by_status(status) or "crashed"
        self.retry_at = retry_moment(words) if self.outcome == "rate_limited" else None
        self.waiting = None
        return [ReaderEvent("error", {"message": self.error, "status": status, "retry": False})]

    def ends(self) -> list[ReaderEvent]:
        """The terminal event."""
        self.final, self.waiting = True, None
        if self.outcome is None:
            self.error, self.retry_at = "", None
        return [ReaderEvent("final", {"text": self.summary().text})]
