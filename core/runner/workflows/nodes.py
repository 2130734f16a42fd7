"""What a workflow is made of once it is loaded: a tree of nodes, every need written out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.workflows.load import Source

Kind = Literal["agent", "shell", "script", "task", "gate", "preflight", "worktree", "loop", "group", "workflow", "end"]
CONTAINERS = frozenset(("loop", "group", "workflow"))
"""Kinds that only produce more nodes."""


@dataclass(frozen=True, slots=True)
class Iterations:
    """How often a loop's body runs: `max` times, or once for each of `over` (a glob, or items)."""

    max: int | None = None
    over: str | tuple[str, ...] | None = None
    name: str = ""
    index: str = ""
    require_matches: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A step as it is to be run. `needs` are ids of siblings; `definition` is what a leaf runs, not yet filled in.

    Of a sub-workflow `params` are the texts of what it is given, `outputs` of what it gives back. `dag` says
    whether its children run by needs alone (for people: their needs are written out in either case). `place`
    is `file:line:column`; `source` and `path` say where in which file it was written.
    """

    id: str
    kind: Kind
    needs: tuple[str, ...] = ()
    when: str | None = None
    skip_if: str | None = None
    break_if: Literal["success", "failure"] | None = None
    continue_on_failure: bool = False
    capture: str | None = None
    children: tuple[Node, ...] = ()
    iterations: Iterations | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)
    definition: Mapping[str, Any] = field(default_factory=dict)
    place: str = ""
    source: Source | None = field(default=None, compare=False, repr=False)
    path: tuple[str | int, ...] = field(default=(), compare=False, repr=False)

    def where(self, *keys: str | int) -> str:
        """`file:line:column` of something in this step, or of the nearest thing around it that was written."""
        return self.source.place(*self.path, *keys) if self.source is not None else self.place

    def own(self) -> Mapping[str, Any]:
        """What the step itself says, without the rules of its workflow."""
        value: Any = self.source.data if self.source is not None else {}
        for part in self.path:
            value = value[part]
        return value  # type: ignore[no-any-return]

    @property
    def is_container(self) -> bool:
        """Whether it only produces more nodes."""
        return self.kind in CONTAINERS

    @property
    def breaks(self) -> bool:
        """Whether a step of this loop's own body may end it (an inner loop's may not)."""
        return any(child.break_if is not None or (child.kind == "group" and child.breaks) for child in self.children)
