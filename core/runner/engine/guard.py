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
_LOOK: Final = 1.0
"""Seconds between looks at those that run, and between exceptions for one that goes on all the same."""


class Interrupted(BaseException):
    """Raised in a handler's thread from outside. Not an Exception: a handler's `except Exception` does not stop it."""


class Guard:
    """While this lasts, the thread that entered it is interrupted at the deadline or after a stop."""

    def __init__(self, context: TaskContext, stop: Stop) -> None:
        self._context = context
        self._stop = stop
        self._thread = threading.get_ident()
        self._due: float | None = None

    def __enter__(self) -> Guard:
        _watch.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while True:
            try:
                _watch.remove(self)
                return
            except Interrupted:
                continue  # it came when the handler had just ended: nothing is left to interrupt

    def look(self, now: float) -> float:
        """Interrupt the handler when that is due → the seconds until the next look at it."""
        if self._due is None:
            deadline = self._context.deadline
            if self._stop.event.is_set():
                self._due = now + GRACE
            elif deadline is None:
                return _LOOK
            elif now < deadline:
                return min(_LOOK, deadline - now)
            else:
                self._due = deadline + GRACE
        if now >= self._due:
            self._due = now + _LOOK
            # Never inside `process`: its keeper ends what runs, and must not be left in the middle of a word.
            if self._context.between_processes.acquire(blocking=False):
                try:
                    _raise_in(self._thread)
                finally:
                    self._context.between_processes.release()
        return self._due - now


class _Watch:
    """One thread that looks after every guard of this process: a thread for each would cost more than a short step."""

    def __init__(self) -> None:
        self._guards: set[Guard] = set()
        self._lock = threading.Lock()
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, guard: Guard) -> None:
        """From now on the guard is looked at, at once when its deadline is near."""
        with self._lock:
            self._guards.add(guard)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="guard", daemon=True)
                self._thread.start()
        if not self._some.is_set():
            self._some.set()

    def remove(self, guard: Guard) -> None:
        """Once this returns, nothing is raised on its behalf any more."""
        with self._lock:
            self._guards.discard(guard)

    def _run(self) -> None:
        pause = threading.Event()  # never set: a thread that is between two looks need not be woken
        while True:
            self._some.wait()
            with self._lock:
                if not self._guards:
                    self._some.clear()  # nobody runs anything: sleep until somebody does
                    continue
                now = time.monotonic()
                left = min(guard.look(now) for guard in self._guards)
            pause.wait(min(_LOOK, max(0.0, left)))


_watch = _Watch()


def _raise_in(thread: int) -> None:
    import ctypes  # rarely needed, and not for nothing

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Interrupted))
