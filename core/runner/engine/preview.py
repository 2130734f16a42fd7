"""What a run will do when it goes on: which results stay, which steps run again, and why; nothing is run."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from runner.engine.context import Stop
from runner.engine.flow import Flow
from runner.engine.held import Held
from runner.keeper import Redaction
from runner.model import Claim

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.app import App
    from runner.model import Task


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
        if path not in seen and flow.journal.is_final(path):
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
