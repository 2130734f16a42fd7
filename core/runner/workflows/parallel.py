"""Agents that could edit the same files at the same time: refused at load, unless the file says how they keep apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runner.workflows.beside import meet
from runner.workflows.check import Problem
from runner.workflows.leaves import READ_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.workflows.nodes import Node

_ANSWERS = ("headless", "autonomous", "interactive")
"""Modes of steps that bring an answer, not changes."""


@dataclass(frozen=True, slots=True)
class _Editor:
    """A step that may edit the shared tree, by an agent of its own, or only by the one that repairs it."""

    node: Node
    repairs: bool

    def __str__(self) -> str:
        return f"a repair of step '{self.node.id}'" if self.repairs else f"step '{self.node.id}'"


def clashes(root: Node, concurrency: int) -> list[Problem]:
    """An error for each step whose agent may edit while another's may, both in the same tree."""
    found: list[Problem] = []
    if concurrency > 1:
        _writers(root, found)
    return found


def _writers(container: Node, found: list[Problem]) -> list[_Editor]:
    """The steps that edit the shared tree, of a container and all below it."""
    children = container.children
    inside = [_of(child, children, found) for child in children]
    if sum(map(bool, inside)) > 1:
        before = _before(children)
        for place, writers in enumerate(inside):
            for earlier in range(place) if writers else ():
                ordered = before[place] >> earlier & 1 or before[earlier] >> place & 1
                if inside[earlier] and not ordered:
                    found += _pair(inside[earlier], writers)
    return [editor for writers in inside for editor in writers]


def _of(node: Node, beside: tuple[Node, ...], found: list[Problem]) -> list[_Editor]:
    if node.is_container:
        return _writers(node, found)
    if node.definition.get("writes", "shared") != "shared":
        return []
    if _edits(node):
        return [_Editor(node, repairs=False)]
    return [_Editor(node, repairs=True)] if _repaired(node, beside) else []


def _edits(node: Node) -> bool:
    """Whether the step itself is an agent's, and its work may change files."""
    given = node.definition
    if given.get("expects", "changes") != "changes":
        return False
    if node.kind == "task":
        return given.get("task") == "agent_run" and dict(given.get("with_") or {}).get("permission") != "read-only"
    edits = given.get("permission") != "read-only" and given.get("preset") not in READ_ONLY
    return node.kind == "agent" and edits and given.get("mode") not in _ANSWERS


def _repaired(node: Node, beside: tuple[Node, ...]) -> bool:
    """Whether an agent that may change files mends the step when it is red."""
    given = node.definition
    rule: Any = given.get("repairable")
    if not rule or node.kind not in ("agent", "shell", "script", "task"):
        return False
    repairer: Mapping[str, Any] = given.get("repairer") or {}
    named = isinstance(rule, dict) and rule.get("agent")
    if node.kind == "agent" and not (named and given.get("verify")):
        return False  # what it may not change itself, it does not repair either
    return repairer.get("permission") != "read-only" and bool(named or _needs_agent(node, beside))


def _needs_agent(node: Node, beside: tuple[Node, ...]) -> bool:
    """Whether one of the steps that it needs is an agent's: who repairs it where nobody is named."""
    nodes = {one.id: one for one in beside}
    left, seen = list(node.needs), set(node.needs)
    while left:
        one = nodes[left.pop()]
        if one.kind == "agent":
            return True
        left += [need for need in one.needs if need not in seen]
        seen.update(one.needs)
    return False


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


def _pair(first: list[_Editor], second: list[_Editor]) -> Iterator[Problem]:
    for editor in second:
        for other in first:
            if editor.repairs and other.repairs:
                continue  # gates beside each other: most are green, and a repair is judged by its own
            mine, theirs = _touches(editor.node), _touches(other.node)
            if not (mine and theirs) or any(meet(one, two) for one in mine for two in theirs):
                same = str(other) if other.repairs else f"'{other.node.id}'"
                yield Problem(
                    editor.node.place,
                    f"{editor} may edit the same files as {same} at the same time",
                    "write `writes: isolated`, give both disjoint `touches`, or let one need the other",
                )
                return


def _touches(node: Node) -> tuple[str, ...]:
    return tuple(node.definition.get("touches") or ())
