"""The parts of a run as the machine has them: effects and their results, the items of its steps, frames of children."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.templates import Scope
    from runner.workflows.nodes import Node

State = Literal["pending", "running", "waiting", "done", "failed", "skipped", "not_run", "cancelled"]
ENDED: frozenset[str] = frozenset(("done", "failed", "skipped", "not_run", "cancelled"))


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an effect: its outcome (`ok`, or how it failed), its output, and what else templates may name."""

    outcome: str = "ok"
    output: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    stamp: int = 0
    """When it came to this, by a count that grows: a result is out of date when what it needs is newer."""

    @property
    def ok(self) -> bool:
        return self.outcome == "ok"


@dataclass(frozen=True, slots=True)
class Effect:
    """Something to be done outside: `run` a leaf, `probe` a `skip_if` command, `expand` a loop's glob.

    `address` is unique in the run, and the same in every run of the workflow: the step's path, with the
    effect's kind when it is no `run`. `text` is the command or glob, not yet filled in. `workdir` is that of the
    container it stands in ("" is the run's).
    """

    kind: Literal["run", "probe", "expand"]
    address: str
    node: Node
    scope: Scope
    text: str = ""
    workdir: str = ""


@dataclass(slots=True, eq=False)
class Item:
    """A node at one place of the run: its state, and what is known of it."""

    node: Node
    path: str
    frame: Frame
    unmet: int = 0
    state: State = "pending"
    result: Result = Result()
    tolerated: bool = False
    """Whether its failure counts for nothing."""
    inside: Frame | None = None
    workdir: str = ""
    """Of a container: the folder in which its steps begin, below the run's."""
    round: int = 0
    most: int = 0
    """Of a loop: iterations at most."""
    rounds: list[Any] = field(default_factory=list)
    items: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """Of a loop over `items`: what each is called in addresses."""
    reason: str = ""
    stopping: bool = False
    """Of a workflow: something in it has failed, and nothing new starts."""
    expired: str = ""
    """Of a container whose time was over: what is told of it."""
    stamp: int = 0
    """The newest stamp of what it came to and of what it needs."""

    @property
    def floor(self) -> int:
        """The newest stamp of what it needs: what it came to itself must be newer, or is out of date."""
        frame = self.frame
        found = max((frame.items[need].stamp for need in self.node.needs), default=0)
        return max(found, frame.floor, self.stamp)

    @property
    def exhausted(self) -> bool:
        """Whether it is a loop that failed because its iterations were used up."""
        loop = self.node.iterations
        return (
            self.state == "failed"
            and loop is not None
            and loop.max is not None
            and self.round >= self.most
            and (self.inside is not None and not self.inside.failed)
        )

    @property
    def satisfies(self) -> bool:
        """Whether what needs it may run."""
        return self.state in ("done", "skipped") or (self.state == "failed" and self.tolerated)


class Frame:
    """The children of a container at one place: of a loop, those of one iteration."""

    def __init__(self, nodes: tuple[Node, ...], path: str, owner: Item | None, scope: Scope) -> None:
        self.owner = owner
        self.scope = scope
        self.workdir = owner.workdir if owner is not None else ""
        self.floor = owner.floor if owner is not None else 0
        """The newest stamp of what the container needs, and of what its earlier iterations came to."""
        self.broken = False
        """A `break_if` held: nothing more starts here, and what failed counts for nothing."""
        self.items = {
            node.id: Item(node, f"{path}/{node.id}" if path else node.id, self, len(node.needs)) for node in nodes
        }
        self.dependants: dict[str, list[Item]] = {}
        for item in self.items.values():
            for need in item.node.needs:
                self.dependants.setdefault(need, []).append(item)
        self.left = len(self.items)

    @property
    def failed(self) -> bool:
        return any(
            item.state in ("failed", "not_run", "cancelled") and not item.tolerated for item in self.items.values()
        )
