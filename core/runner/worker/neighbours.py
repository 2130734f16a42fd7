"""Other workers of this host that are dead beyond doubt: process gone, keepers gone, nothing of theirs left."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from runner import host
from runner.errors import StoreError
from runner.keeper import sweep

if TYPE_CHECKING:
    from runner.model import Worker
    from runner.store import Store

_SECONDS = 0.5
"""At most this often; the answer in between is empty."""


class Neighbours:
    """Asks the store who of this host holds claims, and the host whether they live."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = 0.0

    def dead(self) -> tuple[str, ...]:
        """Ids of workers that are proven dead; their processes have been ended."""
        now = time.monotonic()
        if now - self._asked < _SECONDS:
            return ()
        self._asked = now
        try:
            holders = self._store.queue.holding(host.host_id())
        except StoreError:
            return ()
        gone = [worker for worker in holders if _is_gone(worker)]
        if not gone:
            return ()
        # A keeper that was killed with its worker could not end what it owned.
        sweep()
        return tuple(worker.id for worker in gone)


def _is_gone(worker: Worker) -> bool:
    if worker.pid == os.getpid() or host.alive(worker.pid, worker.started):
        return False
    # A keeper outlives its worker until its tree is empty.
    return not any(host.alive(pid, start) for pid, start in worker.keepers)
