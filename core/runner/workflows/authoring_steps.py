"""What the authoring checks look at: one step where it stands, its commands and checks, and what is said of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runner.workflows.leaves import READ_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.workflows.nodes import Node

WEAK: Final = frozenset(("exit_code", "output_contains"))
"""Checks that say nothing about files."""


class Finding(NamedTuple):
    """What a check says: `place` is `file:line:column`."""

    place: str
    message: str
    hint: str = ""
    error: bool = False


class Command(NamedTuple):
    """A shell command of a step: its own, one of its checks' (`check`), or one of its preflight's."""

    text: str
    bash: bool
    check: bool


@dataclass(frozen=True, slots=True, eq=False)
class Spot:
    """A step where it stands: `around` are its containers, the innermost first; `bit` its place in sets of steps."""

    node: Node
    around: tuple[Node, ...]
    number: int
    foreign: bool

    @property
    def bit(self) -> int:
        return 1 << self.number

    @property
    def given(self) -> Mapping[str, Any]:
        """What it runs, its agent's settings below its own."""
        return self.node.definition

    @property
    def is_agent(self) -> bool:
        return self.node.kind == "agent"

    @property
    def agent(self) -> str:
        """The name that the workflow gives its agent; "" for the default one."""
        return str(self.given.get("agent") or "") if self.is_agent else ""

    @property
    def prompt(self) -> str:
        return str(self.given.get("prompt") or "")

    @property
    def at_terminal(self) -> bool:
        """Whether a person works with the agent."""
        return self.given.get("mode") == "interactive"

    @property
    def live(self) -> bool:
        """Whether its agent is a session that gets messages."""
        mode = self.given.get("mode")
        return self.is_agent and (mode == "live" or (mode is None and bool(self.given.get("interactive"))))

    @property
    def one_shot(self) -> bool:
        """Whether its agent gets one prompt and nothing more."""
        return self.is_agent and not self.live and not self.at_terminal

    @property
    def writes(self) -> bool:
        """Whether it is an agent that may change files."""
        given = self.given
        if not self.is_agent or given.get("permission") == "read-only" or given.get("writes") == "none":
            return False
        return given.get("permission") is not None or given.get("preset") not in READ_ONLY

    @property
    def idle_is_fine(self) -> bool:
        """Whether it counts as done although nothing was changed."""
        expects = self.given.get("expects")
        return expects in ("answer", "none") or (expects is None and self.foreign)

    @property
    def checks(self) -> list[tuple[str, Any]]:
        """The type and value of each of its checks."""
        found = []
        for one in self.given.get("verify") or ():
            if isinstance(one, dict) and one:
                found.append(next(iter(one.items())))
            elif isinstance(one, str):
                name, _, value = one.partition(":")
                found.append((name.strip(), value.strip()))
        return found

    @property
    def proved(self) -> bool:
        """Whether one of its checks looks at the work, not at words and exit codes."""
        return any(name not in WEAK for name, _ in self.checks)

    @property
    def tolerated(self) -> bool:
        """Whether the steps after it run when it has failed."""
        return self.node.continue_on_failure

    @property
    def harmless(self) -> bool:
        """Whether the run goes on when it fails, be it without the rest of its container."""
        return self.tolerated or any(one.continue_on_failure for one in self.around)

    @property
    def in_loop(self) -> bool:
        """Whether it runs again and again."""
        return any(one.kind == "loop" for one in self.around)

    @property
    def in_call(self) -> bool:
        """Whether it belongs to a sub-workflow, whose own rules are not seen here."""
        return any(one.kind == "workflow" for one in self.around[:-1])

    def commands(self) -> Iterator[Command]:
        """Its shell commands, without their comments."""
        if self.node.kind == "shell":
            yield Command(_code(str(self.given["command"])), self.given.get("shell") == "bash", False)
        for one in self.given.get("preflight") or ():
            yield Command(_code(str(one["command"])), False, False)
        for name, value in self.checks:
            if name in ("command", "custom"):
                text = value.get("run") if isinstance(value, dict) else value
                yield Command(_code(str(text or "")), False, True)

    def says(self, message: str, hint: str = "", *, error: bool = False) -> Finding:
        """A finding about this step."""
        return Finding(self.node.place, f"step '{self.node.id}': {message}", hint, error)


def _code(text: str) -> str:
    """A command without the comments that are lines of their own."""
    return re.sub(r"^[ \t]*#[^\n]*\n?", "", text, flags=re.MULTILINE).strip()
