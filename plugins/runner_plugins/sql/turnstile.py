"""A fair write lock between the processes of one host, with a time-out that can name the holder.

SQLite's own lock is taken by whoever polls at the right moment: with eight writers some wait for seconds.
Here a writer polls for a few milliseconds only, which is cheapest while all are quick, and then queues in
the kernel. Two file locks make a turnstile: who holds `next` gets `main` next, and nobody overtakes him. The
files are not the database's: opening and closing that one would drop the locks SQLite holds on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Final

from runner.errors import StoreLocked

if TYPE_CHECKING:
    from pathlib import Path


class _Place:
    """A place in the queue: `got` the lock, or `left` before it did."""

    __slots__ = ("got", "left")

    def __init__(self) -> None:
        self.got = threading.Event()
        self.left = False


_PATIENCE: Final = 0.008
"""Seconds of polling before a writer queues up: a few commits of the others."""
_FIRST_PAUSE: Final = 0.0003
_LONGEST_PAUSE: Final = 0.003


class Turnstile:
    """A lock that one thread of this process and one process of the host holds at a time."""

    def __init__(self, path: Path, timeout: float = 30.0) -> None:
        self._path = path
        self._timeout = timeout
        self._main = os.open(f"{path}-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._next = os.open(f"{path}-next", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._threads = threading.Lock()
        self._asked: queue.SimpleQueue[_Place | None] = queue.SimpleQueue()
        self._waiter: threading.Thread | None = None
        self._deciding = threading.Lock()
        self._waiting = 0

    def acquire(self) -> None:
        """Take the lock; StoreLocked, with the holder's pid, after the time-out."""
        if not self._threads.acquire(timeout=self._timeout):
            raise self._locked()
        try:
            if not self._at_once() and not self._soon():
                self._queue_up()
            os.pwrite(self._main, b"%-16d" % os.getpid(), 0)
        except BaseException:
            self._threads.release()
            raise

    def release(self) -> None:
        """Give the lock to the next in the queue."""
        fcntl.flock(self._main, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        """Let go of the files; the thread that waits in the queue ends with the process."""
        self._asked.put(None)
        if not self._waiting:
            for fd in (self._main, self._next):
                with contextlib.suppress(OSError):
                    os.close(fd)

    def _at_once(self) -> bool:
        # The thread's locks are this process's too: while it still waits for one who left, the queue is the way.
        if self._waiting:
            return False
        try:
            fcntl.flock(self._next, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        try:
            fcntl.flock(self._main, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self._next, fcntl.LOCK_UN)
            return False
        fcntl.flock(self._next, fcntl.LOCK_UN)
        return True

    def _soon(self) -> bool:
        """Look again, after pauses that grow."""
        end = time.monotonic() + _PATIENCE
        pause = _FIRST_PAUSE
        while (now := time.monotonic()) < end:
            # A third of the pause to all of it, by the last digits of the clock: processes must not move in step.
            time.sleep(pause * (1 + now * 1e6 % 2) / 3)
            if self._at_once():
                return True
            pause = min(pause * 1.3, _LONGEST_PAUSE)
        return False

    def _queue_up(self) -> None:
        """Wait in the kernel's queue. A system call that blocks has no time-out, so a thread of its own does it."""
        if self._waiter is None:
            self._waiter = threading.Thread(target=self._wait, name="store-lock", daemon=True)
            self._waiter.start()
        place = _Place()
        with self._deciding:
            self._waiting += 1
        self._asked.put(place)
        if place.got.wait(self._timeout):
            return
        with self._deciding:
            if not place.got.is_set():
                place.left = True
                raise self._locked()

    def _wait(self) -> None:
        """Takes the lock for each who asked; for one who has left it is given on."""
        while (place := self._asked.get()) is not None:
            fcntl.flock(self._next, fcntl.LOCK_EX)
            fcntl.flock(self._main, fcntl.LOCK_EX)
            fcntl.flock(self._next, fcntl.LOCK_UN)
            with self._deciding:
                self._waiting -= 1
                if place.left:
                    fcntl.flock(self._main, fcntl.LOCK_UN)
                else:
                    place.got.set()

    def _locked(self) -> StoreLocked:
        try:
            pid = int(os.pread(self._main, 16, 0) or b"0")
        except (OSError, ValueError):
            pid = 0
        who = f"process {pid}" if pid else "another process"
        if pid and _stopped(pid):
            who += ", which is stopped"
        return StoreLocked(
            f"the store {self._path} has been locked for {self._timeout:.0f} s by {who}",
            f"continue or end it (`kill -CONT {pid}`, `kill {pid}`)" if pid else "try again",
        )


def _stopped(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except OSError:
        return False
