"""Threads that run steps at the same time, each with a keeper of its own; made when they are needed."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.keeper import Keeper
    from runner.progress import Progress


Work = TypeVar("Work")
End = TypeVar("End")


class Keepers(Protocol):
    """Where the keepers of a slot come from: the worker knows every one of them before it is used."""

    def take(self) -> tuple[Keeper, Progress]:
        """A keeper that is free now, and where its work is told."""
        ...

    def give(self, keeper: Keeper) -> None:
        """It is free again."""
        ...


class Lanes(Generic[Work, End]):
    """Runs `do(work, keeper, progress)` in threads; `next` gives what came of each, in the order they end."""

    def __init__(self, keepers: Keepers, do: Callable[[Work, Keeper, Progress], End]) -> None:
        self.busy = 0
        self._keepers = keepers
        self._do = do
        self._ends: SimpleQueue[tuple[Work, End | BaseException]] = SimpleQueue()
        self._idle: list[SimpleQueue[Work | None]] = []
        self._all: list[SimpleQueue[Work | None]] = []

    def start(self, work: Work) -> None:
        """Begin with it now."""
        self.busy += 1
        if self._idle:
            self._idle.pop().put(work)
            return
        inbox: SimpleQueue[Work | None] = SimpleQueue()
        self._all.append(inbox)
        inbox.put(work)
        threading.Thread(target=self._run, args=(inbox,), name=f"lane-{len(self._all)}", daemon=True).start()

    def next(self, seconds: float | None = None) -> list[tuple[Work, End | BaseException]]:
        """Wait for an end → it, and whatever else has ended by then; nothing when there is none in that time."""
        try:
            found = [self._ends.get(timeout=seconds)]
        except Empty:
            return []
        while not self._ends.empty():
            found.append(self._ends.get())
        self.busy -= len(found)
        return found

    def close(self) -> None:
        """No more work comes."""
        for inbox in self._all:
            inbox.put(None)

    def _run(self, inbox: SimpleQueue[Work | None]) -> None:
        while (work := inbox.get()) is not None:
            end: End | BaseException
            try:
                keeper, progress = self._keepers.take()
                try:
                    end = self._do(work, keeper, progress)
                finally:
                    self._keepers.give(keeper)
            except BaseException as error:
                end = error
            self._idle.append(inbox)
            self._ends.put((work, end))
