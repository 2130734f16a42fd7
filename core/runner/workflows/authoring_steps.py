"""What the authoring checks look at: each step where it stands, what has ended before it, who reads its output."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from runner.templates import TemplateError, roots
from runner.templates.expression import names_of
from runner.workflows.leaves import READ_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.workflows.load import Loaded
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


class Flow:
    """A loaded workflow: its steps (`leaves` do something), and sets of them as the bits of numbers.

    Sets are numbers because a workflow may have ten thousand steps, and each has a set of those before it.
    """

    def __init__(self, loaded: Loaded) -> None:
        self.loaded = loaded
        self.workflow = loaded.source.workflow
        self.spots: list[Spot] = []
        self._of: dict[int, Spot] = {}
        stack: list[tuple[Node, tuple[Node, ...]]] = [(loaded.root, ())]
        while stack:
            node, around = stack.pop()
            spot = Spot(node, around, len(self.spots), loaded.source.foreign)
            self.spots.append(spot)
            self._of[id(node)] = spot
            stack += [(child, (node, *around)) for child in reversed(node.children)]
        self._named = {(id(spot.around[0]), spot.node.id): spot for spot in self.spots[1:]}
        self.leaves = [spot for spot in self.spots if not spot.node.is_container]
        self.agents = [spot for spot in self.leaves if spot.is_agent]
        self.agent_names = frozenset(spot.agent for spot in self.agents)

    # Order

    @cached_property
    def _before(self) -> dict[int, int]:
        into: dict[int, int] = {}
        self._spread(self.loaded.root.children, 0, into, backward=False)
        return into

    @cached_property
    def _after(self) -> dict[int, int]:
        into: dict[int, int] = {}
        self._spread(self.loaded.root.children, 0, into, backward=True)
        return into

    def _spread(self, nodes: Sequence[Node], outside: int, into: dict[int, int], *, backward: bool) -> int:
        """Note for each step the leaves that it comes after (or before) → all leaves of `nodes`."""
        links: dict[str, list[str]] = {node.id: [] for node in nodes}
        for node in nodes:
            for need in node.needs:
                if backward:
                    links[need].append(node.id)
                else:
                    links[node.id].append(need)
        known = {node.id: node for node in nodes}
        reached: dict[str, int] = {}
        everything = 0
        for name in TopologicalSorter(links).static_order():
            mask = outside
            for link in links[name]:
                mask |= reached[link]
            spot = self._of[id(known[name])]
            into[spot.number] = mask
            inside = spot.bit
            if spot.node.is_container:
                inside = self._spread(spot.node.children, mask, into, backward=backward)
            reached[name] = mask | inside
            everything |= inside
        return everything

    def before(self, spot: Spot) -> int:
        """The leaves that have ended when it starts."""
        return self._before[spot.number]

    def after(self, spot: Spot) -> int:
        """The leaves that start when it has ended."""
        return self._after[spot.number]

    def beside(self, spot: Spot) -> int:
        """The leaves that may run at the same time."""
        return self._all & ~(self.before(spot) | self.after(spot) | spot.bit)

    @cached_property
    def _all(self) -> int:
        return self.set(self.leaves)

    def set(self, spots: Sequence[Spot]) -> int:
        """These steps as one number."""
        mask = bytearray(len(self.spots) // 8 + 1)
        for spot in spots:
            mask[spot.number >> 3] |= 1 << (spot.number & 7)
        return int.from_bytes(mask, "little")

    def of(self, mask: int) -> Iterator[Spot]:
        """The steps of a set, in the order of the file."""
        for base, byte in enumerate(mask.to_bytes(len(self.spots) // 8 + 1, "little")):
            for place in range(8) if byte else ():
                if byte >> place & 1:
                    yield self.spots[base * 8 + place]

    # Who reads what

    @cached_property
    def reads(self) -> dict[int, list[tuple[Spot, str]]]:
        """By the number of a step: whose results its texts name, and which (`output` also of a capture)."""
        found: dict[int, list[tuple[Spot, str]]] = {}
        captures: dict[str, list[Spot]] = {}
        for spot in self.leaves:
            if spot.node.capture is not None:
                captures.setdefault(spot.node.capture, []).append(spot)
        for spot in self.spots:
            named: list[tuple[Spot, str]] = []
            for path in _paths(spot):
                if path[0] == "steps" and len(path) > 1:
                    one = self._step(spot, path[1])
                    if one is not None:
                        named.append((one, path[2] if len(path) > 2 else ""))
                elif path[0] in captures:
                    named += [(one, "output") for one in captures[path[0]] if one is not spot]
            if named:
                found[spot.number] = named
        return found

    @cached_property
    def read(self) -> dict[int, list[Spot]]:
        """By the number of a step: who names its result."""
        found: dict[int, list[Spot]] = {}
        for number, named in self.reads.items():
            for one, _ in named:
                found.setdefault(one.number, []).append(self.spots[number])
        return found

    def _step(self, spot: Spot, name: str) -> Spot | None:
        for container in (spot.node, *spot.around) if spot.node.outputs else spot.around:
            found = self._named.get((id(container), name))
            if found is not None:
                return found
            if container.kind == "workflow" and container is not spot.node:
                break
        return None


def _paths(spot: Spot) -> Iterator[tuple[str, ...]]:
    """The names that a step's texts and conditions use; what is wrong with them is said elsewhere."""
    node = spot.node
    texts = [*node.params.values(), *node.outputs.values(), node.skip_if or ""]
    if node.iterations is not None and isinstance(node.iterations.over, str):
        texts.append(node.iterations.over)
    for text in (*texts, *_strings(node.definition)):
        if "{{" in text:
            try:
                yield from roots(text, literal_expressions=spot.foreign)
            except TemplateError:
                continue
    if node.when is not None:
        try:
            yield from names_of(node.when)
        except TemplateError:
            return


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item)


def _code(text: str) -> str:
    """A command without the comments that are lines of their own."""
    return re.sub(r"^[ \t]*#[^\n]*\n?", "", text, flags=re.MULTILINE).strip()
