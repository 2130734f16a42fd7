"""Locks between processes of one machine: kernel locks on files, gone with the process that holds them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Lock:
    """A held lock; it ends with `release`, with this object, or with the process."""

    def __init__(self, fd: int) -> None:
        self._close = weakref.finalize(self, _let_go, fd)

    def release(self) -> None:
        self._close()


def _let_go(fd: int) -> None:
    # By its word, too: a process that is being started elsewhere has this file open for a moment.
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def hold(path: Path, *, shared: bool = False, wait: bool = True) -> Lock | None:
    """Take the lock file at `path`, made when missing → None when it is held and `wait` is False."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(fd, mode if wait else mode | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return Lock(fd)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file at `path` alone for the length of a block."""
    lock = hold(path)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()
