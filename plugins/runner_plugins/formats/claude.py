"""Reads `claude -p --output-format stream-json --verbose` (and `json`)."""

from __future__ import annotations

import re
from typing import Any, Final

from runner.agents import JsonLines, ReaderEvent, Summary
from runner.agents.reader import KEPT
from runner.model import Usage
from runner_plugins.formats.values import count, items, mapping, moment, number, text

_STATUS: Final = {401: "auth", 402: "auth", 403: "auth", 429: "rate_limited", 529: "rate_limited"}
_ERRORS: Final = {
    "authentication_failed": "auth",
    "authentication_error": "auth",
    "oauth_org_not_allowed": "auth",
    "billing_error": "auth",
    "rate_limit": "rate_limited",
    "rate_limit_error": "rate_limited",
    "overloaded": "rate_limited",
    "overloaded_error": "rate_limited",
}
_ENDS: Final = {
    "error_max_turns": "budget",
    "max_turns": "budget",
    "error_max_budget_usd": "budget",
    "max_budget_usd": "budget",
}
_RESET: Final = re.compile(r"limit reached\|(\d{10,13})")


class ClaudeReader:
    """An API error ends with `subtype: success`: what counts is `is_error`, `terminal_reason`, `api_error_status`.

    One `result` a turn; the last decides. `total_cost_usd` is the sum of the session, `usage` of the turn.
    """

    def __init__(self) -> None:
        self._lines = JsonLines()
        self._session: str | None = None
        self._message: str | None = None
        self._said: list[str] = []
        self._final = False
        self._text = ""
        self._outcome: str | None = None
        self._error = ""
        self._kind: str | None = None
        self._waiting: str | None = None
        self._retry_at: float | None = None
        self._cost: float | None = None
        self._tokens: dict[str, int | None] = {"input": None, "output": None, "turns": None}
        self._denied: dict[str, str] = {}
        self._tools: set[str] = set()

    def feed(self, data: bytes) -> list[ReaderEvent]:
        return [event for line in self._lines.feed(data) for event in self._event(line)]

    def close(self) -> list[ReaderEvent]:
        return [event for line in self._lines.close() for event in self._event(line)]

    def summary(self) -> Summary:
        final = self._text if self._final else ""
        usage = Usage(self._tokens["input"], self._tokens["output"], self._cost, self._tokens["turns"])
        return Summary(
            session=self._session,
            text="" if len(final) > KEPT else final,
            cut=len(final) > KEPT,
            final=self._final,
            outcome=self._outcome,
            error=self._error,
            waiting=self._waiting,
            retry_at=self._retry_at,
            usage=None if usage == Usage() else usage,
            session_cost_usd=self._cost,
            denied=tuple(self._denied.values()),
            tools=len(self._tools),
        )

    def _event(self, line: dict[str, Any]) -> list[ReaderEvent]:
        kind = line.get("type")
        if kind == "assistant":
            return self._assistant(line)
        if kind == "result":
            return self._result(line)
        if kind == "rate_limit_event":
            return self._limit(line)
        if kind == "system":
            return self._system(line)
        return []

    def _begin(self, line: dict[str, Any]) -> list[ReaderEvent]:
        session = text(line.get("session_id"))
        if not session or session == self._session:
            return []
        self._session = session
        return [ReaderEvent("session", {"id": session})]

    def _system(self, line: dict[str, Any]) -> list[ReaderEvent]:
        subtype = line.get("subtype")
        if subtype == "init":
            return self._begin(line)
        if subtype == "permission_denied":
            return self._deny(line)
        if subtype != "api_retry":
            return []
        status, name = count(line.get("error_status")), text(line.get("error"))
        self._waiting = self._class(status, name)
        self._error = (
            f"{name or 'error'}{f' ({status})' if status else ''}, tried {count(line.get('attempt')) or 1} times"
        )
        if self._waiting == "rate_limited":
            return [ReaderEvent("limit", {"status": "retrying", "retry_at": None})]
        return [ReaderEvent("error", {"message": self._error, "status": status, "retry": True})]

    def _assistant(self, line: dict[str, Any]) -> list[ReaderEvent]:
        events = self._begin(line) if self._session is None else []
        message = mapping(line.get("message"))
        if line.get("is_api_error_message") or text(line.get("error")):
            self._kind = self._class(count(line.get("api_error_status")), text(line.get("error")))
        else:
            self._waiting = None
        nested = line.get("parent_tool_use_id") is not None  # a subagent's words are not the answer
        for block in items(message.get("content")):
            block = mapping(block)
            if block.get("type") == "text" and text(block.get("text")):
                if not nested:
                    self._say(text(message.get("id")), text(block.get("text")))
                events.append(ReaderEvent("text", {"text": text(block.get("text"))}))
            elif block.get("type") == "tool_use":
                self._tools.add(text(block.get("id")) or str(len(self._tools)))
                events.append(ReaderEvent("tool", {"name": text(block.get("name")), "id": text(block.get("id"))}))
        return events

    def _say(self, message: str, words: str) -> None:
        """Remember the text of the last message; its blocks come one a line, with the message's id."""
        if message != self._message:
            self._message, self._said = message, []
        if sum(map(len, self._said)) <= KEPT:
            self._said.append(words)

    def _deny(self, denial: dict[str, Any]) -> list[ReaderEvent]:
        tool = text(denial.get("tool_name")) or "a tool"
        key = text(denial.get("tool_use_id")) or f"{tool}{len(self._denied)}"
        if key in self._denied or len(self._denied) >= 1000:
            return []
        self._denied[key] = tool
        return [ReaderEvent("denied", {"tool": tool})]

    def _limit(self, line: dict[str, Any]) -> list[ReaderEvent]:
        info = mapping(line.get("rate_limit_info")) or line
        status = text(info.get("status"))
        reset = moment(info.get("resetsAt")) or moment(info.get("resets_at"))
        if status.startswith("allowed") or not status:
            return [ReaderEvent("limit", {"status": status or "unknown", "retry_at": None})]
        self._retry_at = reset
        self._waiting = "rate_limited"
        return [ReaderEvent("limit", {"status": status, "retry_at": reset})]

    def _result(self, line: dict[str, Any]) -> list[ReaderEvent]:
        events = self._begin(line) if self._session is None else []
        for denial in items(line.get("permission_denials")):
            events += self._deny(mapping(denial))
        events += self._spent(line)
        words = text(line.get("result"))
        subtype, reason = text(line.get("subtype")), text(line.get("terminal_reason"))
        status = count(line.get("api_error_status"))
        failed = bool(line.get("is_error")) or subtype.startswith("error") or reason in ("api_error", *_ENDS)
        limited = self._retry_at
        self._final, self._waiting = True, None
        if not failed:
            # The result may be empty although text was streamed.
            self._outcome, self._error, self._retry_at = None, "", None
            self._text = words if words.strip() else "\n".join(self._said)
            return [*events, ReaderEvent("final", {"text": self._text})]
        named = _ENDS.get(subtype) or _ENDS.get(reason) or self._class(status, text(line.get("api_error_type")))
        reset = _RESET.search(words)
        if reset:
            named, limited = "rate_limited", moment(int(reset.group(1)))
        said = "; ".join(text(item) for item in items(line.get("errors")) if text(item))
        self._outcome = named or self._kind or ("rate_limited" if limited is not None else "crashed")
        self._retry_at = limited if self._outcome == "rate_limited" else None
        self._error, self._text = (words or said or subtype)[:4000], ""
        events.append(ReaderEvent("error", {"message": self._error, "status": status, "retry": False}))
        return [*events, ReaderEvent("final", {"text": ""})]

    def _spent(self, line: dict[str, Any]) -> list[ReaderEvent]:
        usage = mapping(line.get("usage"))
        parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        read = [found for name in parts if (found := count(usage.get(name))) is not None]
        self._add("input", sum(read) if read else None)
        self._add("output", count(usage.get("output_tokens")))
        self._add("turns", count(line.get("num_turns")))
        cost = number(line.get("total_cost_usd"))
        self._cost = self._cost if cost is None else cost
        events = [
            ReaderEvent("usage", {"input_tokens": self._tokens["input"], "output_tokens": self._tokens["output"]})
        ]
        return [*events, ReaderEvent("cost", {"usd": self._cost})] if cost is not None else events

    def _add(self, name: str, value: int | None) -> None:
        if value is not None:
            self._tokens[name] = (self._tokens[name] or 0) + value

    def _class(self, status: int | None, name: str) -> str | None:
        return _STATUS.get(status or 0) or _ERRORS.get(name)
