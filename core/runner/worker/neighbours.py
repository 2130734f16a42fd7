"""Other workers of this host that are dead beyond doubt: process gone, keepers gone, nothing of theirs left."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from runner import host
from runner.errors import StoreError
from runner.keeper import sweep

if TYPE_CHECKING:
    from runner.store import Store

_SECONDS = 0.5
"""At most this often; in between the last answer stands."""


class Neighbours:
    """Asks the store who of this host holds claims, and the host whether they live."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = 0.0
        self._last: tuple[str, ...] = ()
        self.dying = False
        """Whether a dead worker's keepers were still ending what it ran, when last asked."""

    def dead(self) -> tuple[str, ...]:
        """Ids of workers that are proven dead; their processes have been ended."""
        now = time.monotonic()
        if now - self._asked < _SECONDS:
            return self._last
        self._asked, self._last = now, ()
        try:
            holders = self._store.queue.holding(host.host_id())
        except StoreError:
            return ()
        killed = [w for w in holders if w.pid != os.getpid() and not host.alive(w.pid, w.started)]
        # A keeper outlives its worker until its tree is empty.
        gone = [w for w in killed if not any(host.alive(pid, start) for pid, start in w.keepers)]
        self.dying = len(gone) < len(killed)
        if not gone:
            return ()
        # A keeper that was killed with its worker could not end what it owned.
        sweep()
        self._last = tuple(worker.id for worker in gone)
        return self._last
