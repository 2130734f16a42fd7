"""The steps of a run as a tree that people watch: what is told of each moves the counts of all that it stands in."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from runner.cli.output import clean
from runner.workflows.items import ENDED
from runner.workflows.nodes import CONTAINERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runner.workflows.nodes import Node

TOLERATED: Final = "tolerated"
"""The state of a step whose failure counts for nothing."""
_NOTE: Final = 500
OVER: Final = ENDED | {TOLERATED}


@dataclass(slots=True, eq=False)
class Twig:
    """A step at one place of the run, a container, or one iteration of a loop (a `round`).

    Of what holds steps: `counts` are the steps in it by state (what ended or waits), `total` all that are known,
    `unknown` the loops in it of which nobody knows yet how often they run, `left` the children that have not
    ended, `red` those that failed. `soft`: a failure counts for nothing.
    """

    node: Node
    path: str
    name: str
    parent: Twig | None = None
    kind: str = ""
    place: int = 0
    state: str = "pending"
    agent: str = ""
    note: str = ""
    began: float | None = None
    took: float | None = None
    cost: float | None = None
    tokens: int | None = None
    ran: bool = False
    children: list[Twig] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    total: int = 1
    unknown: int = 0
    left: int = 0
    red: int = 0
    rounds: int = 0
    times: int | None = None
    """Of a loop, how often it runs at most, when that is known."""
    depth: int = field(init=False)
    soft: bool = field(init=False)
    _front: int = 0

    def __post_init__(self) -> None:
        self.kind = self.kind or self.node.kind
        self.depth = 0 if self.parent is None else self.parent.depth + 1
        self.soft = self.parent is not None and self.parent.soft
        if self.kind != "round":
            self.soft = self.soft or self.node.continue_on_failure or self.node.break_if == "failure"

    @property
    def is_leaf(self) -> bool:
        """Whether it does something itself."""
        return self.kind not in CONTAINERS and self.kind != "round"

    def above(self) -> Iterator[Twig]:
        """What it stands in, from near to far."""
        twig = self.parent
        while twig is not None:
            yield twig
            twig = twig.parent

    def add(self, child: Twig) -> None:
        """One more child, the last."""
        child.place = self.children[-1].place + 1 if self.children else 0
        self.children.append(child)
        self.left += 1

    def next(self) -> int:
        """The place in `children` of the first that has not ended."""
        at = min(self._front, len(self.children))
        while at < len(self.children) and self.children[at].state in OVER:
            at += 1
        self._front = at
        return at


class Tree:
    """All steps of a run. `agent` is that of agent steps that name none."""

    def __init__(self, root: Node, agent: str = "") -> None:
        self.root = Twig(root, "", root.id, None)
        self.failed: dict[Twig, None] = {}
        self.waiting: dict[Twig, None] = {}
        self._agent = agent
        self._known: dict[str, Twig] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self.root.total, self.root.unknown = self._size(root)
        self._grow(self.root, root.children)

    def find(self, address: str) -> Twig | None:
        """The step of a path, or of what is asked before it starts (`path?`, `path*`)."""
        return self._known.get(address.rstrip("?*"))

    # What is planned

    def _size(self, node: Node) -> tuple[int, int]:
        """Steps of a node as far as the file says, and loops in it whose number of iterations it does not say."""
        if not node.is_container:
            return 1, 0
        if id(node) not in self._sizes:
            inside = [self._size(child) for child in node.children]
            leaves, loops = sum(one[0] for one in inside), sum(one[1] for one in inside)
            if node.kind == "loop":
                times = _times(node)
                leaves, loops = (0, 1) if times is None else (times * leaves, times * loops)
            self._sizes[id(node)] = leaves, loops
        return self._sizes[id(node)]

    def _grow(self, parent: Twig, nodes: tuple[Node, ...]) -> None:
        """The steps of a container that are known before it starts: all but the iterations of loops."""
        above = f"{parent.path}/" if parent.path else ""
        for node in nodes:
            twig = Twig(node, f"{above}{node.id}", node.id, parent)
            parent.add(twig)
            self._known[twig.path] = twig
            if twig.is_leaf:
                twig.agent = self._agent_of(node)
                continue
            twig.total, twig.unknown = self._size(node)
            if node.kind == "loop":
                loop = node.iterations
                twig.times = loop.max if loop is not None and loop.max is not None else _times(node)
            else:
                self._grow(twig, node.children)

    def _agent_of(self, node: Node) -> str:
        named = str(node.definition.get("cli") or node.definition.get("agent") or "")
        return clean(named or (self._agent if node.kind == "agent" else ""))

    # What is told

    def tell(self, told: Mapping[str, Any]) -> None:
        """A step has another state."""
        path, status = str(told["path"]), str(told["status"])
        if not path:
            self.root.state = status
            return
        twig = self._known.get(path) or self._iterate(path, str(told["id"]))
        if twig is None:
            return
        if status == "running" and twig.began is None:
            twig.began = time.monotonic()
        if status == "running" and told.get("total") is not None:
            twig.times = int(told["total"])
        if status in ENDED or status == "waiting":
            twig.note = note(told.get("summary") or told.get("question") or "")
        if twig.is_leaf:
            self._spent(twig, told)
        elif status in ENDED:
            twig.took = None if twig.began is None else time.monotonic() - twig.began
            self._closed(twig, status)
        self._set(twig, TOLERATED if status == "failed" and twig.soft else status)

    def _set(self, twig: Twig, state: str) -> None:
        before, twig.state = twig.state, state
        parent = twig.parent
        if twig.is_leaf:
            for one in twig.above():
                if before in OVER or before == "waiting":
                    one.counts[before] -= 1
                if state in OVER or state == "waiting":
                    one.counts[state] += 1
        if parent is not None:
            parent.left += (state not in OVER) - (before not in OVER)
            parent.red += (state == "failed") - (before == "failed")
        self.waiting.pop(twig, None)
        if state == "waiting":
            self.waiting[twig] = None
        elif state == "failed" and twig.kind != "round" and (twig.is_leaf or not twig.counts["failed"]):
            self.failed[twig] = None

    def _spent(self, twig: Twig, told: Mapping[str, Any]) -> None:
        usage = told.get("usage") or {}
        cost, tokens = usage.get("cost_usd"), (usage.get("input_tokens") or 0) + (usage.get("output_tokens") or 0)
        ran = str(told["status"]) in ("done", "failed") and not told.get("kept")
        if ran or told.get("kept"):
            twig.took = told.get("duration_s")
        twig.ran = twig.ran or ran
        for one in twig.above():
            one.ran = one.ran or ran
            if cost is not None:
                one.cost = (one.cost or 0.0) + cost - (twig.cost or 0.0)
            if tokens:
                one.tokens = (one.tokens or 0) + tokens - (twig.tokens or 0)
        twig.cost = cost if cost is not None else twig.cost
        twig.tokens = tokens or twig.tokens

    # Loops

    def _iterate(self, path: str, id: str) -> Twig | None:
        """The step of an iteration that has just begun. What an iteration is called may hold any sign."""
        inside = path[: -len(id) - 1]
        at = len(inside)
        while (at := inside.rfind("[", 0, at)) > 0:
            loop = self._known.get(inside[:at])
            if loop is not None and loop.kind == "loop" and inside.endswith("]"):
                self._begin(loop, inside, inside[at:])
                return self._known.get(path)
        return None

    def _begin(self, loop: Twig, path: str, name: str) -> None:
        self._end_round(loop)
        round = Twig(loop.node, path, clean(name), loop, kind="round")
        round.state, round.began = "running", time.monotonic()
        inside = [self._size(child) for child in loop.node.children]
        round.total, round.unknown = sum(one[0] for one in inside), sum(one[1] for one in inside)
        if _times(loop.node) is None:
            for one in (loop, *loop.above()):
                one.total += round.total
                one.unknown += round.unknown
        loop.add(round)
        self._known[path] = round
        self._grow(round, loop.node.children)

    def _end_round(self, loop: Twig) -> None:
        """The iteration before has ended: only one that failed stays in the tree."""
        last = loop.children[-1] if loop.children else None
        if last is None or last.state != "running":
            return
        self._settle(last)
        last.took = time.monotonic() - (last.began or 0.0)
        loop.rounds += 1
        self._set(last, "failed" if last.counts["failed"] else "done")
        if last.state == "done":
            loop.children.pop()
            stack = [last]
            while stack:
                twig = stack.pop()
                self._known.pop(twig.path, None)
                stack += twig.children

    def _closed(self, twig: Twig, status: str) -> None:
        """A container has ended: what it holds and never began will not."""
        if twig.kind == "loop":
            self._end_round(twig)
        if status not in ("done", "failed") and not twig.counts.total():
            for one in (twig, *twig.above()):
                one.counts[status] += twig.total
            self._wither(twig, status)
        self._settle(twig)

    def _wither(self, twig: Twig, status: str) -> None:
        stack = [twig]
        while stack:
            one = stack.pop()
            for child in one.children:
                child.state = status
                one.left -= 1
                stack.append(child)

    def _settle(self, twig: Twig) -> None:
        """From now on its total is what there was."""
        less, loops = twig.total - twig.counts.total(), twig.unknown
        for one in (twig, *twig.above()):
            one.total -= less
            one.unknown -= loops


def note(text: object) -> str:
    """A text as one line that can't drive the terminal, made once and shown many times."""
    return clean(" ".join(str(text).split()))[:_NOTE]


def _times(node: Node) -> int | None:
    """How often a loop's body runs, when the file says exactly."""
    loop = node.iterations
    if loop is None:
        return None
    if loop.max is not None:
        return None if node.breaks else loop.max
    return len(loop.over) if isinstance(loop.over, tuple) else None
