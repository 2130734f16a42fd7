"""What a workflow will do, before it does: its steps with their addresses, and which could run at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.workflows.nodes import Node


def plan(root: Node) -> dict[str, Any]:
    """`{"waves": [[path…]…], "steps": [{"id", "path", "kind", "needs", …}]}` of the steps that do something.

    Waves are for people: a step starts the moment its needs are met. A loop's body stands for each of its
    iterations (`each[]/fix`).
    """
    steps: list[dict[str, Any]] = []
    waves: list[list[str]] = []
    _walk(root.children, "", 0, steps, waves)
    return {"waves": [wave for wave in waves if wave], "steps": steps}


def _walk(nodes: tuple[Node, ...], above: str, first: int, steps: list[dict[str, Any]], waves: list[list[str]]) -> int:
    """The steps of a container that begins in wave `first` → the first wave after it."""
    after: dict[str, int] = {}
    left = list(nodes)
    last = first
    while left:
        waiting = []
        for node in left:
            if not all(need in after for need in node.needs):
                waiting.append(node)
                continue
            begins = max((after[need] for need in node.needs), default=first)
            path = f"{above}{node.id}"
            steps.append(_line(node, path))
            if node.is_container:
                inner = f"{path}[]/" if node.kind == "loop" else f"{path}/"
                after[node.id] = _walk(node.children, inner, begins, steps, waves)
            else:
                while len(waves) <= begins:
                    waves.append([])
                waves[begins].append(path)
                after[node.id] = begins + 1
            last = max(last, after[node.id])
        left = waiting
    return last


def _line(node: Node, path: str) -> dict[str, Any]:
    definition = node.definition
    line: dict[str, Any] = {
        "id": node.id,
        "path": path,
        "kind": node.kind,
        "needs": list(node.needs),
        "place": node.place,
    }
    for key in ("when", "skip_if", "break_if", "capture"):
        if getattr(node, key) is not None:
            line[key] = getattr(node, key)
    if node.continue_on_failure:
        line["continue_on_failure"] = True
    if node.iterations is not None:
        one = node.iterations
        line["loop"] = {"max": one.max} if one.max is not None else {"over": one.over, "as": one.name}
    agent = definition.get("cli") or definition.get("agent")
    if agent:
        line["agent"] = agent
    for key in ("model", "machine", "session"):
        if definition.get(key):
            line[key] = definition[key]
    for key in ("prompt", "command", "script", "task", "gate", "workflow"):
        if definition.get(key):
            line["does"] = str(definition[key])
    return line
