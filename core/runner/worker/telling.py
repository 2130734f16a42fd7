"""Tells plugins what this worker committed: the hook `on_event`, in a thread of its own, after the commit."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from runner.model import Event
from runner.store import REFUSED, AppendEvent, ClaimTasks, FinishAttempt, PutArtifact, Release, Settle, StartAttempt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.store import Op


def events_of(ops: Sequence[Op], results: Sequence[Any], worker: str) -> list[Event]:
    """The events of a commit, as plugins hear of them (`id` 0: the store's own numbers are in its log)."""
    now = time.time()
    found: list[Event] = []

    def add(kind: str, task: str | None, epoch: int | None, **data: Any) -> None:
        found.append(Event(0, now, kind, task, epoch, worker, data))

    for op, result in zip(ops, results, strict=True):
        if isinstance(op, ClaimTasks):
            for claim in result:
                add("task.claimed", claim.key, claim.epoch, worker=worker)
        if op.fence is None or result == REFUSED:
            continue
        task, epoch = op.fence.key, op.fence.epoch
        if isinstance(op, StartAttempt):
            add("attempt.started", task, epoch, n=result)
        elif isinstance(op, FinishAttempt):
            add("attempt.finished", task, epoch, n=op.n, outcome=op.outcome)
        elif isinstance(op, Settle):
            summary = op.result.get("summary")
            add("task.settled", task, epoch, outcome=op.outcome, status=result, summary=summary, question=op.question)
        elif isinstance(op, Release):
            add("task.released", task, epoch, reason=op.reason, status=result)
        elif isinstance(op, PutArtifact):
            add("artifact.stored", task, epoch, ref=op.artifact.ref, name=op.artifact.name)
        elif isinstance(op, AppendEvent):
            add(op.kind, task, epoch, **op.data)
    return found


class Teller:
    """Calls `on_event` for each event; a plugin that raises is reported, and hears of the next one all the same."""

    def __init__(self, on_event: Callable[..., Any], talk: Callable[[str], None]) -> None:
        self._on_event = on_event
        self._talk = talk
        self._queue: SimpleQueue[Sequence[Event] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def tell(self, events: Sequence[Event]) -> None:
        """Have them told soon."""
        if events:
            self._queue.put(events)

    def close(self, timeout: float = 35.0) -> None:
        """Tell what is left, for at most `timeout` seconds."""
        self._queue.put(None)
        self._thread.join(timeout)

    def _run(self) -> None:
        while (events := self._queue.get()) is not None:
            for event in events:
                try:
                    self._on_event(event=event)
                except Exception as error:
                    self._talk(f"on_event: {type(error).__name__}: {error}")
