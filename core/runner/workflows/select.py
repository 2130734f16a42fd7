"""A part of a workflow: what one step needs, and nothing that comes after it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from runner.errors import UsageError, suggestion

if TYPE_CHECKING:
    from runner.workflows.nodes import Node


def only_until(root: Node, id: str | None) -> Node:
    """The workflow with the step `id` as its last: it and all that it needs. UsageError for an unknown one."""
    if id is None:
        return root
    wanted = needed_by(root, id) | {id}
    return replace(root, children=tuple(child for child in root.children if child.id in wanted))


def needed_by(root: Node, id: str) -> set[str]:
    """The ids of all top-level steps that a top-level step needs, directly or not."""
    nodes = {child.id: child for child in root.children}
    if id not in nodes:
        raise UsageError(f"workflow '{root.id}' has no step '{id}'", suggestion(id, nodes))
    found: set[str] = set()
    left = list(nodes[id].needs)
    while left:
        need = left.pop()
        if need not in found:
            found.add(need)
            left += nodes[need].needs
    return found
