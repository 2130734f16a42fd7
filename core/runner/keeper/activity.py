"""Whether a silent child is busy: has its tree used CPU or moved bytes since the last look?"""

from __future__ import annotations

import os

from runner.keeper.processes import descendants, io_bytes, table

_LOOKS = 4
"""Looks per silence limit."""
_LEAST_CPU = 0.01
"""Busy is at least this share of one processor: an idle event loop with a timer stays below it."""
_LEAST_IO = 1024.0
"""Busy is at least this many bytes a second."""


class Activity:
    """Watches for `limit` seconds without output in which no descendant was busy.

    All descendants of the keeper were born after the start of its one child, so all count. Looks are
    taken only after a time without output; the first is what the next is compared with.
    """

    def __init__(self, limit: float, now: float) -> None:
        self._limit = limit
        self._active = now
        self._output = now
        self.next_look = now + limit / _LOOKS
        self._last: tuple[float, dict[tuple[int, str], tuple[float, int]]] | None = None

    def output(self, now: float) -> None:
        """The child printed something."""
        self._active = self._output = now

    def stalled(self, now: float) -> bool:
        """To be called at `next_look`: True when the limit is reached."""
        step = self._limit / _LOOKS
        if now - self._output < step:
            self._last = None
            self.next_look = self._output + step
            return False
        used = {(p.pid, p.start): (p.cpu, io_bytes(p.pid)) for p in descendants(os.getpid(), table())}
        if self._last is not None and self._grew(now, used):
            self._active = now
        self._last = (now, used)
        self.next_look = min(now + step, max(self._active + self._limit, now + step / 8))
        return now - self._active >= self._limit

    def _grew(self, now: float, used: dict[tuple[int, str], tuple[float, int]]) -> bool:
        assert self._last is not None
        then, before = self._last
        cpu = moved = 0.0
        for key, (seconds, count) in used.items():
            old_seconds, old_count = before.get(key, (0.0, 0))
            cpu += max(0.0, seconds - old_seconds)
            moved += max(0, count - old_count)
        elapsed = max(now - then, 1e-3)
        return (cpu > 0 and cpu >= _LEAST_CPU * elapsed) or moved >= _LEAST_IO * elapsed
