"""Which workflows may run beside each other, by what they say they touch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.workflows.load import Loaded
    from runner.workflows.nodes import Node


def beside(workflows: Sequence[Loaded]) -> dict[str, Any]:
    """`{"waves": [[name…]…], "apart": [{"first", "second", "why"}…]}`: each wave holds what may run at once.

    Two run apart when one says so (`isolated_from`), when one must be before (`requires_before`), when their
    `packages` meet, or the globs of what their steps touch. One that says nothing about itself runs alone.
    """
    names = [one.source.workflow.name for one in workflows]
    apart = [
        {"first": names[i], "second": names[j], "why": why}
        for i, first in enumerate(workflows)
        for j, second in enumerate(workflows[i + 1 :], i + 1)
        if (why := _why(first, second))
    ]
    pairs = {(one["first"], one["second"]) for one in apart}
    waves: list[list[str]] = []
    placed: dict[str, int] = {}
    left = list(workflows)
    while left:
        ready = [one for one in left if all(name in placed for name in _after(one, names))]
        if not ready:  # they wait for each other: as they were given
            ready = left[:1]
        wave: list[str] = []
        for one in ready:
            name = one.source.workflow.name
            if all((other, name) not in pairs and (name, other) not in pairs for other in wave):
                wave.append(name)
                left.remove(one)
        for name in wave:
            placed[name] = len(waves)
        waves.append(wave)
    return {"waves": waves, "apart": apart}


def _after(one: Loaded, names: Sequence[str]) -> list[str]:
    own = one.source.workflow.name
    return [name for name in one.source.workflow.requires_before if name in names and name != own]


def _why(first: Loaded, second: Loaded) -> str:
    one, two = first.source.workflow, second.source.workflow
    for a, b in ((one, two), (two, one)):
        if b.name in a.isolated_from:
            return f"{a.name} is isolated from {b.name}"
        if b.name in a.requires_before:
            return f"{a.name} requires {b.name} before"
    shared = sorted(set(one.packages) & set(two.packages))
    if shared:
        return f"both touch the package {shared[0]}"
    touched, others = _touches(first.root), _touches(second.root)
    for glob in touched:
        for other in others:
            if meet(glob, other):
                return f"both touch {glob if len(glob) >= len(other) else other}"
    for flow, globs in ((one, touched), (two, others)):
        if not flow.packages and not globs:
            return f"{flow.name} does not say what it touches"
    return ""


def _touches(node: Node) -> list[str]:
    found = [str(glob) for child in node.children for glob in child.definition.get("touches") or ()]
    for child in node.children:
        found += _touches(child)
    return found


def meet(one: str, two: str) -> bool:
    """Whether two globs can match the same path, by the words before their first sign of a glob."""
    a, b = _fixed(one), _fixed(two)
    return a.startswith(b) or b.startswith(a)


def _fixed(glob: str) -> str:
    for place, sign in enumerate(glob):
        if sign in "*?[":
            return glob[:place]
    return glob
