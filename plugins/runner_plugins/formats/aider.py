"""Reads what `aider --no-pretty --no-stream` prints: a banner, answers, a line of tokens after each."""

from __future__ import annotations

import codecs
import re
from typing import Final

from runner.agents import ReaderEvent, Summary
from runner.agents.reader import KEPT
from runner.model import Usage
from runner_plugins.formats.failures import retry_moment

_CLASSES: Final = {
    "AuthenticationError": "auth",
    "PermissionDeniedError": "auth",
    "RateLimitError": "rate_limited",
    "BudgetExceededError": "budget",
}
_FAILED: Final = re.compile(r"litellm\.(\w{3,60}(?:Error|Exception|Timeout)|Timeout)\b")
_NO_KEY: Final = "No LLM model was specified and no API keys were provided."
_NO_ROOM: Final = re.compile(r"Model \S{1,200} has hit a token limit!")
_COUNT: Final = r"(\d[\d.,]{0,15})\s?([kM]?)"
_TOKENS: Final = re.compile(rf"Tokens: {_COUNT} sent,(?: .{{1,80}},)? {_COUNT} received\.")
_COST: Final = re.compile(r"Cost: \$([\d.]{1,20}) message, \$([\d.]{1,20}) session\.")
_DANGLING: Final = re.compile(r"received\. \S")
_NOTICES: Final = ("Applied edit to ", "Commit ", "Repo-map: ", "Added ", "Restored previous ", "Creating empty file ")
_LONGEST: Final = 1 << 16
"""Characters of a line that are looked at."""


class AiderReader:
    """Exits 0 although it failed: an error is a line `litellm.…Error` that no line of tokens comes after.

    The final message is the text before the last line of tokens. Of a run that was cut before one there
    is none. Costs and tokens are of this process.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._banner = True
        self._gap = False
        self._said: list[str] = []
        self._size = 0
        self._mark = 0
        self._report = ""
        self._text = ""
        self._cut = False
        self._final = False
        self._class: str | None = None
        self._error: list[str] = []
        self._retrying = False
        self._retry_at: float | None = None
        self._input: int | None = None
        self._output: int | None = None
        self._cost: float | None = None
        self._turns = 0

    def feed(self, data: bytes) -> list[ReaderEvent]:
        return self._take(self._decoder.decode(data))

    def close(self) -> list[ReaderEvent]:
        events = self._take(self._decoder.decode(b"", final=True) + "\n\n")
        if self._class is not None and not self._retrying:
            events.append(ReaderEvent("error", {"message": self._words(), "status": None, "retry": False}))
        return [*events, ReaderEvent("final", {"text": self.summary().text})] if self._final else events

    def summary(self) -> Summary:
        failed = self._class is not None
        usage = Usage(self._input, self._output, self._cost, self._turns or None)
        return Summary(
            text="" if failed or self._cut else self._text,
            cut=self._cut and not failed,
            final=self._final and not failed,
            outcome=self._class if failed and not self._retrying else None,
            error=self._words(),
            waiting=self._class if self._retrying and self._class != "crashed" else None,
            retry_at=self._retry_at,
            usage=None if usage == Usage() else usage,
        )

    def _words(self) -> str:
        return " ".join(" ".join(self._error).split())[:4000]

    def _take(self, text: str) -> list[ReaderEvent]:
        lines = text.replace("\r", "\n").split("\n")
        lines[0] = self._line + lines[0]
        self._line = lines.pop()[:_LONGEST]
        return [event for line in lines for event in self._read(line[:_LONGEST].rstrip())]

    def _read(self, line: str) -> list[ReaderEvent]:
        if self._report:
            return self._reported(line)
        failed = _FAILED.match(line)
        if failed:
            return self._failed(failed.group(1), line)
        if line.startswith(_NO_KEY):
            self._class, self._error, self._retrying = "auth", [line], True
            return []
        if self._class is not None:
            return self._explained(line)
        if line.startswith("Tokens: "):
            self._report = line
            return []
        if self._banner and not self._gap:
            # It ends with the line about the map of the repository, and the first empty one after that.
            self._gap = line.startswith("Repo-map: ")
        elif self._banner and not line:
            self._banner, self._said, self._size = False, [], 0
        if _NO_ROOM.match(line):
            self._class, self._error, self._retrying = "crashed", [line], False
            return []
        return self._keep(line)

    def _keep(self, line: str) -> list[ReaderEvent]:
        if line.startswith(_NOTICES):
            return []
        self._size += len(line) + 1
        if self._size <= KEPT:
            self._said.append(line)
        return [ReaderEvent("text", {"text": line})] if line and not self._banner else []

    def _failed(self, name: str, line: str) -> list[ReaderEvent]:
        self._mark = len(self._said)
        self._keep(line)  # it may be the model's word after all, which a line of tokens would show
        self._class, self._error, self._retrying = _CLASSES.get(name, "crashed"), [line], False
        self._retry_at = retry_moment(line) if self._class == "rate_limited" else None
        return []

    def _explained(self, line: str) -> list[ReaderEvent]:
        """Lines after an error: the rest of it, or that it is tried again, or an answer after all."""
        if line.startswith("Tokens: "):
            self._report = line
            return []
        if line.startswith("Retrying in "):
            self._retrying = True
            del self._said[self._mark :]
            if self._class == "rate_limited":
                return [ReaderEvent("limit", {"status": "retrying", "retry_at": self._retry_at})]
            return [ReaderEvent("error", {"message": self._words(), "status": None, "retry": True})]
        if not self._retrying and len(self._error) < 8:
            self._error.append(line)
            if self._class == "rate_limited" and self._retry_at is None:
                self._retry_at = retry_moment(" ".join(self._error))
        return self._keep(line)

    def _reported(self, line: str) -> list[ReaderEvent]:
        """The line of tokens and costs may be wrapped at any blank: it is whole when its last word is there."""
        unfinished = not _TOKENS.search(self._report) or (
            _DANGLING.search(self._report) and not _COST.search(self._report)
        )
        if line and len(self._report) < 400 and (unfinished or line.startswith("Cost: ")):
            self._report += f" {line}"
            return []
        report, self._report = self._report, ""
        tokens = _TOKENS.search(report)
        events = self._keep(report) if tokens is None else self._turn(tokens, _COST.search(report))
        return [*events, *self._read(line)] if line else events

    def _turn(self, tokens: re.Match[str], cost: re.Match[str] | None) -> list[ReaderEvent]:
        self._banner, self._final, self._turns = False, True, self._turns + 1
        self._class, self._error, self._retrying, self._retry_at = None, [], False, None
        self._text, self._cut = "\n".join(self._said).strip(), self._size > KEPT
        self._said, self._size = [], 0
        self._input = (self._input or 0) + _amount(tokens.group(1), tokens.group(2))
        self._output = (self._output or 0) + _amount(tokens.group(3), tokens.group(4))
        events = [ReaderEvent("usage", {"input_tokens": self._input, "output_tokens": self._output})]
        if cost is not None:
            self._cost = _dollars(cost.group(2), self._cost)
            events.append(ReaderEvent("cost", {"usd": self._cost}))
        return events


def _amount(number: str, unit: str) -> int:
    """`2.5k` → 2500."""
    try:
        return round(float(number.replace(",", "")) * {"": 1, "k": 1000, "M": 1_000_000}[unit])
    except ValueError:
        return 0


def _dollars(number: str, before: float | None) -> float | None:
    try:
        return float(number)
    except ValueError:
        return before
