"""Old finished tasks are removed while a worker runs, when the configuration says how long they are kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runner.store import Prune

if TYPE_CHECKING:
    from runner.store import Op

_SECONDS = 60.0
"""At most one bounded batch in this time."""


class Retention:
    """`retention: {age, count}`; without either nothing is ever removed."""

    def __init__(self, settings: Any) -> None:
        self._age: float | None = settings.age
        self._count: int | None = settings.count
        self._next = 0.0

    def due(self) -> Op | None:
        """The batch that is due now, if one is."""
        now = time.monotonic()
        if (self._age is None and self._count is None) or now < self._next:
            return None
        self._next = now + _SECONDS
        before = None if self._age is None else time.time() - self._age
        return Prune(before=before, keep=self._count)
