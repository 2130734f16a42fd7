"""Starting a keeper process, handing it a program's input, waiting for its end."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from runner.host import start_time
from runner.keeper.sweep import MARK

if TYPE_CHECKING:
    import socket

_PROGRAM = Path(__file__).with_name("program.py")
_SOCKET = 3
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", MARK)
"""All that a keeper gets of our environment: what Python needs to start, and the mark of a keeper above us."""


def spawn(theirs: socket.socket, label: str) -> int:
    """Start the keeper process with one end of the socket pair; its pid."""
    # Never 3 itself: a dup2 of a descriptor onto itself would leave it close-on-exec.
    source = fcntl.fcntl(theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 10)
    try:
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-S", "-E", "-I", "-X", "utf8", str(_PROGRAM), label],
            {name: os.environ[name] for name in _INHERITED if name in os.environ},
            file_actions=[*null, (os.POSIX_SPAWN_DUP2, source, _SOCKET)],
            setsid=True,
            setsigmask=_IGNORED,  # until it ignores them
        )
    finally:
        os.close(source)


def input_file(data: bytes) -> int:
    """A descriptor to read `data` from. A file, not a pipe: nobody has to feed it, and it may be left unread."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("stdin")
    else:
        import tempfile  # 5 ms, and only needed here

        number, path = tempfile.mkstemp()
        os.unlink(path)
        fd = number
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def ended_within(pid: int, seconds: float) -> bool:
    """Whether our child `pid` ends within that time; it stays to be waited for."""
    if hasattr(os, "pidfd_open"):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            return bool(poller.poll(seconds * 1000))
        finally:
            os.close(fd)
    deadline = time.monotonic() + seconds
    while start_time(pid) is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True
