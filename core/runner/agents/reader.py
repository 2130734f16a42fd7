"""What a reader of an agent's output is, what it says, and the reader of plain text."""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from runner.errors import ConfigError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from runner.model import Agent, Usage

Kind = Literal["session", "text", "tool", "usage", "cost", "limit", "denied", "error", "final"]

KEPT: Final = 1 << 20
"""Characters of a final message that a reader holds; of a longer one the log has the whole."""


@dataclass(frozen=True, slots=True)
class ReaderEvent:
    """Something an agent's output said. `data` by kind:

    session `{id}` · text `{text}` · tool `{name, id}` · usage `{input_tokens, output_tokens}` · cost
    `{usd}` · limit `{status, retry_at}` · denied `{tool}` · error `{message, status, retry}` · final `{text}`.
    """

    kind: Kind
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Summary:
    """What the whole output said.

    `text` is the final message (`cut` when it is longer than a reader keeps). `final`: the format's
    terminal event came; True for a format that has none. `outcome` is what the agent says it came to
    when that is not a success, with its `error` in words. `waiting` is the outcome it was still
    retrying on when the output ended. `retry_at` is a Unix time. `usage` is of this process,
    `session_cost_usd` the sum of the session where that is what the CLI reports.
    """

    session: str | None = None
    text: str = ""
    cut: bool = False
    final: bool = False
    outcome: str | None = None
    error: str = ""
    waiting: str | None = None
    retry_at: float | None = None
    usage: Usage | None = None
    session_cost_usd: float | None = None
    denied: tuple[str, ...] = ()
    tools: int = 0
    question: str | None = None


class Reader(Protocol):
    """Bytes in, events out. It never raises on what it does not know, and its memory is bounded."""

    def feed(self, data: bytes) -> list[ReaderEvent]: ...
    def close(self) -> list[ReaderEvent]:
        """The output has ended."""
        ...

    def summary(self) -> Summary: ...


class TextReader:
    """Format `text`: the whole output is the final message."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[ReaderEvent]:
        return self._take(self._decoder.decode(data))

    def close(self) -> list[ReaderEvent]:
        events = self._take(self._decoder.decode(b"", final=True))
        return [*events, ReaderEvent("final", {"text": self.summary().text})]

    def summary(self) -> Summary:
        if self._size > KEPT:
            return Summary(cut=True, final=True)
        return Summary(text="".join(self._parts).strip(), final=True)

    def _take(self, text: str) -> list[ReaderEvent]:
        if not text:
            return []
        self._size += len(text)
        if self._size <= KEPT:
            self._parts.append(text)
        else:
            self._parts.clear()
        return [ReaderEvent("text", {"text": text})]


def bind_readers(agents: Mapping[str, Agent], where: Callable[[str], str] = lambda key: "") -> dict[str, Agent]:
    """Give each agent the reader of its `format`: its own, `text`, or that of another agent which brings it.

    Raises ConfigError for a format that nobody reads, with the place that `where` knows of its dotted key.
    """
    readers: dict[str, Any] = {"text": TextReader}
    for agent in agents.values():
        if agent.reader is not None:
            readers.setdefault(agent.format, agent.reader)
    bound = {}
    for name, agent in agents.items():
        if agent.reader is None and agent.format not in readers:
            place = where(f"agents.{name}.format")
            raise ConfigError(
                f"{place}{': ' if place else ''}agent '{name}': no output format is called '{agent.format}'",
                suggestion(agent.format, readers),
            )
        bound[name] = agent if agent.reader is not None else replace(agent, reader=readers[agent.format])
    return bound


def make_reader(agent: Agent) -> Reader:
    """A new reader for one process of the agent. `bind_readers` has given it the one of its format."""
    if agent.reader is None and agent.format != "text":
        raise ConfigError(f"agent '{agent.name}': nothing here reads the output format '{agent.format}'")
    reader: Reader = (agent.reader or TextReader)()
    return reader
