"""What people are told of the steps of a run: state by state while it goes on, and all of it at the end."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from runner.workflows.items import ENDED
from runner.workflows.views import outcome_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.engine.runfolder import RunFolder
    from runner.model import Usage
    from runner.workflows.items import Effect, Item

_MOST: Final = 5000
"""Steps that the result of a run lists, as far as it can choose."""


class Account:
    """`steps`: by path, what is known of each. Of a very long loop the last iterations; the journal has all."""

    def __init__(self) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self.left_out = 0
        """Finished iterations' steps that `steps` has no more."""
        self.folder: RunFolder | None = None
        self._began = time.monotonic()
        self._started: dict[str, float] = {}
        self._droppable: deque[str] = deque()

    def begins(self, effect: Effect) -> None:
        """The effect has no result that holds: it is done now."""
        self._started[effect.address] = time.monotonic()

    def came_to(
        self, effect: Effect, body: Mapping[str, Any], attempts: int, spent: Usage | None, *, kept: float | None = None
    ) -> None:
        """What a step came to, as the journal has it, and what all its attempts cost.

        `kept`: how long it took when it ran, before.
        """
        if effect.kind != "run":
            return
        took = time.monotonic() - self._started.pop(effect.address, self._began) if kept is None else kept
        self.steps.setdefault(effect.address, {}).update(
            output=str(body.get("output") or "")[:500],
            duration_s=round(took, 3),
            attempts=attempts,
            usage=None if spent is None else asdict(spent),
            kept=kept is not None,
        )

    def asks(self, effect: Effect, question: str) -> None:
        """A step waits: what a person is asked."""
        self.steps.setdefault(effect.address, {})["question"] = question

    def saw(self, item: Item) -> dict[str, Any]:
        """A step has another state → what people are told of it."""
        told = self.steps.setdefault(item.path, {})
        told |= {"id": item.node.id, "path": item.path, "kind": item.node.kind, "status": item.state}
        if item.keys:
            told["total"] = len(item.keys)
        if item.state in ENDED:
            summary = item.result.values.get("summary") or item.reason
            told |= {"outcome": outcome_of(item) or None, "summary": summary}
            if item.state == "done" and "[" in item.path and not item.node.is_container:
                self._forget(item.path)
        if self.folder is not None and item.path:
            self.folder.event(told)
        return told

    def _forget(self, path: str) -> None:
        self._droppable.append(path)
        while len(self.steps) > _MOST and self._droppable:
            del self.steps[self._droppable.popleft()]
            self.left_out += 1
