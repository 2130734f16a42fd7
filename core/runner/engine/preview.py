"""What a run will do when it goes on: which results stay, which steps run again, and why; nothing is run."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from runner.engine.context import Stop
from runner.engine.flow import Flow
from runner.engine.held import Held
from runner.engine.journal import within
from runner.keeper import Redaction
from runner.model import Claim
from runner.workflows.items import ENDED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.app import App
    from runner.model import Task
    from runner.workflows.machine import Machine
    from runner.workflows.nodes import Node


@dataclass(frozen=True, slots=True)
class Preview:
    """`kept`: paths whose results stay. `again`: (path, why) of what runs, as far as can be known. `changed`: paths of
    those that had ended well. `earliest`: the first attempt of what runs again; None when nothing had run.
    `exhausted`: loops that used up their iterations, with how many more than the file says they would have next."""

    kept: tuple[str, ...]
    again: tuple[tuple[str, str], ...]
    changed: tuple[str, ...]
    earliest: int | None
    exhausted: Mapping[str, int]


_ITERATION: Final = re.compile(r"\[([^\]]*)\]")


class _Desk:
    """Where nothing is written."""

    def commit(self, ops: Sequence[Any]) -> list[Any]:
        return [None for _ in ops]

    def post(self, ops: Sequence[Any]) -> None:
        return None


def preview(app: App, task: Task, payload: Mapping[str, Any]) -> Preview:
    """Go through the run with what the journal has of it, under another payload."""
    rows = app.store.queue.attempts(task.id)
    claim = Claim(f"task:{task.id}", task.epoch, task=replace(task, payload=payload))
    redaction = Redaction.of(os.environ, app.config.redact)
    flow = Flow(Held(app, claim, _Desk(), redaction, Stop(), "", {}), rows)
    kept: list[str] = []
    again: dict[str, str] = {}
    while (effect := flow.machine.take()) is not None:
        known = flow.answer(effect)
        if known is not None:
            flow.machine.answer(effect, known)
            if known.stamp:
                kept.append(effect.address)
        else:
            again[effect.address] = flow.reasons.get(effect.address, "not started")
    seen = {*kept, *again}
    for path in flow.journal.rows:
        if path not in seen and flow.journal.is_final(path) and _comes(flow.machine, path):
            again.setdefault(path, "an input changed")
    for item in flow.machine.all():
        if item.state == "pending":
            again.setdefault(item.path, "not started")
    ended = [path for path in again if flow.journal.is_final(path)]
    changed = [path for path in ended if flow.journal.attempts(path)[-1].outcome == "ok"]
    firsts = [flow.journal.began(path) for path in ended]
    loops = [item for item in flow.machine.all() if item.exhausted and item.node.iterations is not None]
    exhausted = {item.path: item.most for item in loops}
    return Preview(
        tuple(path for path in kept if not path.endswith(("?", "*"))),
        tuple((path, why) for path, why in again.items() if not path.endswith(("?", "*"))),
        tuple(path for path in changed if not path.endswith(("?", "*"))),
        min(firsts, default=None),
        exhausted,
    )


def _comes(machine: Machine, path: str) -> bool:
    """Whether a step that ran may run again: the file still has it, and nothing around it has ended without it."""
    bare = path.rstrip("?*")
    items = {item.path: item for item in machine.all() if item.path}
    known = items.get(bare)
    if known is not None:
        return known.state not in ENDED
    around = [item for item in items.values() if item.state not in ENDED and within(bare, item.path)]
    owner = max(around, key=lambda item: len(item.path), default=None)
    return owner is not None and _holds(owner.node, bare[len(owner.path) :], owner.most)


def _holds(node: Node, rest: str, most: int = 0) -> bool:
    """Whether a container of the file has the step that `rest` of an address names: `[2]/fix`, `/fix`."""
    loop = node.iterations
    if loop is not None:
        match = _ITERATION.match(rest)
        if match is None:
            return False
        if loop.max is not None and int(match[1]) > max(most, loop.max):
            return False
        rest = rest[match.end() :]
    id = rest[1:].partition("/")[0].partition("[")[0]
    child = next((one for one in node.children if one.id == id), None)
    after = rest[1 + len(id) :]
    return child is not None and (not after or (child.is_container and _holds(child, after)))
