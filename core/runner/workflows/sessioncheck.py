"""Which session a step would go on in, as far as a file tells: two that are equally near are refused before a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.workflows.check import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.workflows.nodes import Node


@dataclass(frozen=True, slots=True)
class _Spot:
    """A step with what is around it, the innermost first."""

    node: Node
    around: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class _Left:
    """A session that is there after a step: the path of the one that had it last, and its name, if it has one."""

    path: str
    name: str


def sessions(root: Node, default: str) -> list[Problem]:
    """Errors for two candidates, and for `inherit` where nothing calls; a warning for no candidate.

    `default` is the agent of steps that name none.
    """
    return [problem for spot in _spots(root, (root,)) for problem in _Look(spot, root, default).problems()]


def _spots(container: Node, around: tuple[Node, ...]) -> Iterator[_Spot]:
    for child in container.children:
        if child.is_container:
            yield from _spots(child, (child, *around))
        elif child.kind == "agent" and child.definition.get("session") in ("resume", "inherit"):
            yield _Spot(child, around)


class _Look:
    """The sessions that one step could go on in."""

    def __init__(self, spot: _Spot, root: Node, default: str) -> None:
        self.spot = spot
        self.root = root
        self.default = default
        self.agent = self.agent_of(spot.node)

    def problems(self) -> Iterator[Problem]:
        node, how = self.spot.node, self.spot.node.definition["session"]
        current, around = node, self.spot.around
        if how == "inherit":
            called = next(place for place, one in enumerate(around) if one.kind == "workflow")
            if around[called] is self.root:
                yield Problem(node.place, f"step '{node.id}': nothing calls this workflow", "write `session: resume`")
                return
            current, around = around[called], around[called + 1 :]
        before = "before it" if current is node else f"before its caller '{current.id}'"
        found = self.outward(current, around)
        if len(found) > 1:
            names = " and ".join(f"'{one}'" for one in found)
            said = f"step '{node.id}': {names} have a session each {before}"
            yield Problem(node.place, said, "name one with `session: NAME` in both")
        elif not found:
            said = f"step '{node.id}': there is no session of '{self.agent}' {before} to {how}"
            yield Problem(
                node.place, said, "it begins a new one, unless the run is given one by --session", warning=True
            )

    def outward(self, current: Node, around: tuple[Node, ...]) -> list[str]:
        """The nearest steps with a session: along the needs, in the iteration before, then outward."""
        for container in around:
            found = self.along(container, current)
            if not found and container.iterations is not None and container.iterations.max is not None:
                found = _distinct(self.inside(container))
            if found or container.kind == "workflow":
                return found
            current = container
        return []

    def along(self, container: Node, node: Node) -> list[str]:
        """Of the nearest needs that have a session, in the container that the node stands in."""
        nodes = {child.id: child for child in container.children}
        level, seen = list(node.needs), set(node.needs)
        while level:
            found = _distinct([one for id in level for one in self.left(nodes[id])])
            if found:
                return found
            level = [need for id in level for need in nodes[id].needs if need not in seen]
            seen.update(level)
            level = list(dict.fromkeys(level))
        return []

    def left(self, node: Node) -> list[_Left]:
        """What a step leaves to those after it: a sub-workflow's sessions are its own."""
        if node.kind == "agent":
            return [_Left(node.id, _name(node))] if self.agent_of(node) == self.agent else []
        if node.kind not in ("group", "loop"):
            return []
        return [_Left(f"{node.id}/{one.path}", one.name) for one in self.inside(node)]

    def inside(self, container: Node) -> list[_Left]:
        """What the last steps in a container leave: those that no other step with a session comes after."""
        nodes = {child.id: child for child in container.children}
        left = {id: found for id, child in nodes.items() if (found := self.left(child))}
        followed: set[str] = set()
        reached = list(left)
        while reached:
            needs = [need for need in nodes[reached.pop()].needs if need not in followed]
            followed.update(needs)
            reached += needs
        return [one for id, found in left.items() if id not in followed for one in found]

    def agent_of(self, node: Node) -> str:
        given = node.definition
        return str(given.get("cli") or given.get("agent") or self.default)


def _name(node: Node) -> str:
    """The name of the session that it goes on in, if it has one."""
    how = str(node.definition.get("session") or "new")
    return "" if how in ("new", "resume", "inherit") else how


def _distinct(found: list[_Left]) -> list[str]:
    """The paths of the steps, one for each session: steps that name the same one have the same."""
    paths: dict[tuple[str, str], str] = {}
    for one in found:
        paths.setdefault((one.name, "" if one.name else one.path), one.path)
    return list(paths.values())
