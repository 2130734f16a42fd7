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


def sessions(root: Node) -> list[Problem]:
    """Errors for `resume` with two candidates and `inherit` where nothing calls; a warning for `resume` with none."""
    return [problem for spot in _spots(root, (root,)) for problem in _look(spot, root)]


def _spots(container: Node, around: tuple[Node, ...]) -> Iterator[_Spot]:
    for child in container.children:
        if child.is_container:
            yield from _spots(child, (child, *around))
        elif child.kind == "agent" and child.definition.get("session") in ("resume", "inherit"):
            yield _Spot(child, around)


def _look(spot: _Spot, root: Node) -> Iterator[Problem]:
    node, how = spot.node, spot.node.definition["session"]
    callers = [one for one in spot.around if one.kind == "workflow"]
    if how == "inherit":
        if callers[0] is root:
            yield Problem(node.place, f"step '{node.id}': nothing calls this workflow", "write `session: resume`")
        return
    agent = _agent(node)
    current = node
    for container in spot.around:
        found = _nearest(container, current, agent)
        if len(found) > 1:
            names = " and ".join(f"'{one}'" for one in found)
            yield Problem(
                node.place, f"step '{node.id}': {names} have a session each", "name one with `session: NAME` in both"
            )
            return
        repeats = container.iterations is not None and container.iterations.max is not None
        if found or (repeats and any(_agent(one) == agent for one in _agents(container))):
            return
        if container.kind == "workflow":
            break
        current = container
    if callers[0] is root:
        said = f"step '{node.id}': there is no session of '{agent}' before it to resume"
        yield Problem(node.place, said, "it begins a new one, unless the run is given one by --session", warning=True)


def _nearest(container: Node, node: Node, agent: str) -> list[str]:
    """The ids of the nearest needs that have a session of this agent."""
    nodes = {child.id: child for child in container.children}
    level, seen = list(node.needs), set(node.needs)
    while level:
        found = [id for id in level if any(_agent(one) == agent for one in _agents(nodes[id]))]
        if found:
            return found
        level = [need for id in level for need in nodes[id].needs if need not in seen]
        seen.update(level)
        level = list(dict.fromkeys(level))
    return []


def _agents(node: Node) -> Iterator[Node]:
    """The agent steps whose sessions others can see: a sub-workflow's are its own."""
    if node.kind == "agent":
        yield node
    elif node.kind in ("group", "loop"):
        for child in node.children:
            yield from _agents(child)


def _agent(node: Node) -> str:
    given = node.definition
    return str(given.get("cli") or given.get("agent") or "the default agent") if node.kind == "agent" else ""
