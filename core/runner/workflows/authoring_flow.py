"""What the authoring checks look at: a whole workflow, what has ended when a step starts, who reads whose output."""

from __future__ import annotations

from functools import cached_property
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from runner.templates import TemplateError, roots
from runner.templates.expression import names_of
from runner.workflows.authoring_steps import Spot

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runner.workflows.load import Loaded
    from runner.workflows.nodes import Node


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
