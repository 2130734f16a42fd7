"""Our store as a worker uses it: settle what is finished and claim the next in one commit with a request id."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any

import waiting
from fused import Fused

from runner.ids import new_id
from runner.store import ClaimTasks, Settle, StartAttempt, SubmitTasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import Claim, NewTask
    from runner.store import Op, Store


def connect(url: str, **options: Any) -> Store:
    """The store of this url."""
    if url.startswith("sqlite:"):
        from runner_plugins.sqlite_store import open_store
    else:
        from runner_plugins.postgres_store import open_store
    store: Store | None = open_store(url, options)
    assert store is not None
    return store


class Ours(Fused):
    """Claim and finish; with `attempts` each is started too, in a commit of its own, as before a real process."""

    def __init__(self, url: str, attempts: bool = False, **options: Any) -> None:
        self.store = connect(url, **options)
        self.worker = waiting.worker(f"w{os.getpid()}-{new_id(6)}")
        self._attempts = attempts
        self._requests = itertools.count()

    def warm(self) -> None:
        self.store.queue.work_waits(self.worker)

    def fused(self, held: Claim | None, claim: bool = True) -> Claim | None:
        ops: list[Op] = []
        if held is not None:
            ops.append(Settle(fence=held, outcome="ok", result=waiting.RESULT))
        if claim:
            ops.append(ClaimTasks(worker=self.worker, limit=1, lease=waiting.LEASE))
        results = self.store.commit(ops, self.request())
        taken: Claim | None = results[-1][0] if claim and results[-1] else None
        if self._attempts and taken is not None:
            self.store.commit([StartAttempt(fence=taken)], self.request())
        return taken

    def request(self) -> str:
        return f"{self.worker.id}-{next(self._requests):08d}"

    def enqueue(self, tasks: Sequence[NewTask]) -> None:
        self.store.commit([SubmitTasks(tasks=tuple(tasks))], new_id(16))

    def close(self) -> None:
        self.store.close()
