"""How long a worker may trust its claims: by its own monotonic clock, counted from before a renewal was sent."""

from __future__ import annotations

import threading
import time


class Trust:
    """The end of what was surely granted. A worker past it must have ended its children."""

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._lock = threading.Lock()
        self._until: dict[tuple[str, int], float] = {}

    @property
    def margin(self) -> float:
        """Seconds before the lease's end at which children are ended, so that they are gone by then."""
        return min(5.0, self._lease * 0.15)

    def granted(self, claim: tuple[str, int], sent: float) -> None:
        """A claim or renewal that was sent at `sent` was granted."""
        with self._lock:
            self._until[claim] = sent + self._lease

    def left(self, claim: tuple[str, int]) -> float:
        """Seconds for which this claim's children may still run."""
        with self._lock:
            until = self._until.get(claim)
        return 0.0 if until is None else max(0.0, until - self.margin - time.monotonic())

    def forget(self, claim: tuple[str, int]) -> None:
        """The claim ended."""
        with self._lock:
            self._until.pop(claim, None)

    def over(self) -> list[tuple[str, int]]:
        """Claims that can't be trusted any more."""
        limit = time.monotonic() + self.margin
        with self._lock:
            return [claim for claim, until in self._until.items() if until <= limit]

    def next(self) -> float | None:
        """Seconds until the first of them can't be trusted; None without claims."""
        with self._lock:
            first = min(self._until.values(), default=None)
        return None if first is None else max(0.0, first - self.margin - time.monotonic())
