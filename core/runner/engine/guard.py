"""Ends a handler that does not end by itself: Python code that loops past its time, or after the task was cancelled.

Programs are the keeper's to end. A handler's own code runs in the slot's thread, and a thread can only be asked: by
an exception that is raised in it from outside, at its next instruction.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import TracebackType

    from runner.engine.context import Stop, TaskContext

GRACE: Final = 6.0
"""Seconds after its limit, or after the stop, that a handler has to end by itself: a keeper's grace and a little."""


class Interrupted(BaseException):
    """Raised in a handler's thread from outside. Not an Exception: a handler's `except Exception` does not stop it."""


class Guard:
    """While this lasts, the thread that entered it is interrupted at the deadline or after a stop."""

    def __init__(self, context: TaskContext, stop: Stop) -> None:
        self._context = context
        self._stop = stop
        self._thread = threading.get_ident()
        self._over = threading.Event()

    def __enter__(self) -> Guard:
        self._watcher = threading.Thread(target=self._watch, name="guard", daemon=True)
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        deadline = self._context.deadline
        if not _wait(self._over, self._stop.event, deadline):
            return
        pause = GRACE
        while not self._over.wait(pause):
            pause = 1.0
            # Never inside `process`: its keeper ends what runs, and must not be left in the middle of a word.
            if self._context.between_processes.acquire(blocking=False):
                try:
                    _raise_in(self._thread)
                finally:
                    self._context.between_processes.release()


def _wait(over: threading.Event, stop: threading.Event, deadline: float | None) -> bool:
    """Until the stop is set or the deadline has passed → True; False when it is over before."""
    while not over.is_set():
        left = 1.0 if deadline is None else deadline - time.monotonic()
        if left <= 0 or stop.is_set():
            return True
        over.wait(min(1.0, left))
    return False


def _raise_in(thread: int) -> None:
    import ctypes  # rarely needed, and not for nothing

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Interrupted))
