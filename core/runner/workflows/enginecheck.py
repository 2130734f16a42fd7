"""Which engines there are here: a workflow that names another one is refused, not run without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runner.errors import suggestion
from runner.workflows.check import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.app import App
    from runner.workflows.load import Loaded, Source
    from runner.workflows.nodes import Node

_HOOKS: Final = frozenset(("validate_workflow", "enrich_prompt"))
"""What a plugin that is an engine does, besides its check."""


def engines(app: App, loaded: Loaded) -> Iterator[Problem]:
    """An error for each file whose engine no plugin brings."""
    for source in _sources(loaded):
        engine = source.workflow.engine
        if engine is None or engine.type in app.checks:
            continue
        known, others = _names(app)
        if engine.type not in known | others:
            said = f"no plugin brings the engine '{engine.type}'"
            yield Problem(source.place("engine", "type"), said, suggestion(engine.type, known))


def _names(app: App) -> tuple[set[str], set[str]]:
    """What engines are called, as their plugins (`engine_NAME` is NAME) or a check of theirs; other plugins' names."""
    on = [one for one in app.plugins.records.values() if one.state == "on"]
    owners = {one.name for one in on if _HOOKS & set(one.hooks)}
    checks = {name for name in app.checks if app.checks.owner(name).plugin in owners}
    # What others do with the engine's name in other hooks is their own matter.
    others = {one.name for one in on if one.origin != "built-in"}
    return {name.removeprefix("engine_") for name in owners} | checks, others


def _sources(loaded: Loaded) -> list[Source]:
    """The files that steps are of, the workflow's own first."""
    found = {loaded.source.path: loaded.source}
    stack: list[Node] = list(loaded.root.children)
    while stack:
        node = stack.pop()
        if node.source is not None:
            found.setdefault(node.source.path, node.source)
        stack += node.children
    return list(found.values())
