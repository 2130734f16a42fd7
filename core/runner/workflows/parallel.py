"""Agents that could edit the same files at the same time: refused at load, unless the file says how they keep apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.workflows.beside import meet
from runner.workflows.check import Problem
from runner.workflows.leaves import READ_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.workflows.nodes import Node

_ANSWERS = ("headless", "autonomous", "interactive")
"""Modes of steps that bring an answer, not changes."""


def clashes(root: Node, concurrency: int) -> list[Problem]:
    """An error for each agent step that may edit while another may, both in the same tree."""
    found: list[Problem] = []
    if concurrency > 1:
        _writers(root, found)
    return found


def _writers(container: Node, found: list[Problem]) -> list[Node]:
    """The agent steps that edit the shared tree, of a container and all below it."""
    children = container.children
    inside = [_of(child, found) for child in children]
    if sum(map(bool, inside)) > 1:
        before = _before(children)
        for place, writers in enumerate(inside):
            for earlier in range(place) if writers else ():
                ordered = before[place] >> earlier & 1 or before[earlier] >> place & 1
                if inside[earlier] and not ordered:
                    found += _pair(inside[earlier], writers)
    return [node for writers in inside for node in writers]


def _of(node: Node, found: list[Problem]) -> list[Node]:
    if node.is_container:
        return _writers(node, found)
    given = node.definition
    shared = given.get("writes", "shared") == "shared"
    edits = given.get("permission") != "read-only" and given.get("preset") not in READ_ONLY
    changes = given.get("expects", "changes") == "changes" and given.get("mode") not in _ANSWERS
    return [node] if node.kind == "agent" and shared and edits and changes else []


def _before(children: tuple[Node, ...]) -> list[int]:
    """For each child the set (as bits) of those that it needs, directly or through others."""
    places = {child.id: place for place, child in enumerate(children)}
    sets: dict[str, int] = {}
    left = list(children)
    while left:
        waiting = []
        for child in left:
            if all(need in sets for need in child.needs):
                bits = 0
                for need in child.needs:
                    bits |= sets[need] | 1 << places[need]
                sets[child.id] = bits
            else:
                waiting.append(child)
        left = waiting
    return [sets[child.id] for child in children]


def _pair(first: list[Node], second: list[Node]) -> Iterator[Problem]:
    for node in second:
        for other in first:
            mine, theirs = _touches(node), _touches(other)
            if not (mine and theirs) or any(meet(one, two) for one in mine for two in theirs):
                yield Problem(
                    node.place,
                    f"step '{node.id}' may edit the same files as '{other.id}' at the same time",
                    "write `writes: isolated`, give both disjoint `touches`, or let one need the other",
                )
                return


def _touches(node: Node) -> tuple[str, ...]:
    return tuple(node.definition.get("touches") or ())
