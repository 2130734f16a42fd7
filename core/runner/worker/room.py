"""How many claims a worker may work on at once: those that only wait for tasks elsewhere take no room."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from runner.engine.context import Stop
    from runner.model import Claim

_MOST_AWAY: Final = 64
"""Claims that may take no room at the same time: each keeps a thread and a keeper."""
_LOOK: Final = 0.2
"""Seconds between looks at whether the task was told to end."""


class Room:
    """The room of `slots` claims (any thread)."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.started = 0
        """Claims that ever took room."""
        self._busy: set[tuple[str, int]] = set()
        self._away: set[tuple[str, int]] = set()
        self._returning = 0
        self._changed = threading.Condition()

    @property
    def busy(self) -> bool:
        """Whether any claim is held, also one that only waits."""
        with self._changed:
            return bool(self._busy)

    @property
    def held(self) -> int:
        """How many claims are held, those that only wait included."""
        with self._changed:
            return len(self._busy)

    def free(self, ending: int) -> int:
        """Claims there is room for; `ending` are about to leave theirs."""
        with self._changed:
            return max(0, self.slots - self._working() - self._returning + ending)

    def take(self, claim: Claim) -> None:
        """A claim is worked on."""
        with self._changed:
            self.started += 1
            self._busy.add((claim.id, claim.epoch))

    def give(self, claim: Claim) -> None:
        """It has ended."""
        with self._changed:
            self._busy.discard((claim.id, claim.epoch))
            self._away.discard((claim.id, claim.epoch))
            self._changed.notify_all()

    def leave(self, claim: Claim) -> bool:
        """It only waits from now on, and another may have its room → False when too many do so already."""
        with self._changed:
            if len(self._away) >= _MOST_AWAY:
                return False
            self._away.add((claim.id, claim.epoch))
            self._changed.notify_all()
            return True

    def back(self, claim: Claim, stop: Stop) -> None:
        """It goes on, as soon as there is room: before anything new is claimed, at once when it is told to end."""
        with self._changed:
            if (claim.id, claim.epoch) not in self._away:
                return
            self._returning += 1
            while self._working() >= self.slots and not stop.event.is_set():
                self._changed.wait(_LOOK)
            self._returning -= 1
            self._away.discard((claim.id, claim.epoch))

    def _working(self) -> int:
        return len(self._busy) - len(self._away)
