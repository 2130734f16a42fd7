"""The keepers of a slot: one to begin with, more while a workflow runs several steps at the same time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from runner.keeper import Keeper
from runner.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.engine.context import Stop
    from runner.keeper import Redaction
    from runner.model import Task


class SlotKeepers:
    """Hands out keepers; the store knows each (`changed` tells it) before anything runs under it."""

    def __init__(self, number: int, redaction: Redaction, changed: Callable[[], None]) -> None:
        self.first = Keeper(label=f"slot-{number}", redact=redaction)
        self._number = number
        self._redaction = redaction
        self._changed = changed
        self._more: list[tuple[Keeper, Progress]] = []
        self._free: list[tuple[Keeper, Progress]] = []
        self._stop: Stop | None = None
        self._task: Task
        self._trusted: float | None = None
        self._lock = threading.Lock()

    @property
    def all(self) -> tuple[Keeper, ...]:
        """Every keeper there is."""
        with self._lock:
            return (self.first, *(keeper for keeper, _ in self._more))

    @property
    def busy(self) -> tuple[Progress, ...]:
        """What runs beside the first."""
        with self._lock:
            free = [keeper for keeper, _ in self._free]
            return tuple(progress for keeper, progress in self._more if keeper not in free)

    def begin(self, task: Task, stop: Stop) -> None:
        """A task begins: what ends it ends what all keepers run. One that died is replaced, and the store told."""
        if not self.first.alive:
            self.first.close()
            self.first = Keeper(label=f"slot-{self._number}", redact=self._redaction)
            self._changed()
        self._stop, self._task = stop, task
        stop.watch(self.first)

    def take(self) -> tuple[Keeper, Progress]:
        """A keeper that is free now, and where its work is told (any thread)."""
        with self._lock:
            while self._free:
                keeper, progress = self._free.pop()
                if keeper.alive:
                    progress.begin(self._task)
                    return keeper, progress
        made = (Keeper(label=f"slot-{self._number}", redact=self._redaction), Progress(self._redaction.text))
        with self._lock:
            self._more.append(made)
            trusted = self._trusted
        if trusted is not None:
            made[0].trust(max(0.0, trusted - time.monotonic()))
        self._changed()
        assert self._stop is not None
        self._stop.watch(made[0])
        made[1].begin(self._task)
        return made

    def give(self, keeper: Keeper) -> None:
        """It is free again (any thread)."""
        with self._lock:
            for one in self._more:
                if one[0] is keeper:
                    one[1].end()
                    self._free.append(one)

    def end(self) -> None:
        """The task has ended: one keeper is enough for the next."""
        with self._lock:
            more, self._more, self._free = self._more, [], []
            self._stop = None
        for keeper, _ in more:
            keeper.close()
        if more:
            self._changed()

    def trust(self, seconds: float | None) -> None:
        """All let their children live for so long from now on; None: for good."""
        with self._lock:
            self._trusted = None if seconds is None else time.monotonic() + seconds
            keepers = (self.first, *(keeper for keeper, _ in self._more))
        for keeper in keepers:
            keeper.trust(seconds)

    def close(self) -> None:
        """End them all, and with them whatever still runs."""
        for keeper in self.all:
            keeper.close()
