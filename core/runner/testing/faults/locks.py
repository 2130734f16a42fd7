"""Stopping a process at the worst moment: while it holds SQLite's write lock."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

_WRITE_BYTE = "120"
"""SQLite's WAL write lock: this byte of the `-shm` file (wal.c, WAL_WRITE_LOCK)."""


def holds_write_lock(pid: int, store: Path) -> bool:
    """Whether the process holds the write lock of this SQLite file, by the kernel's own table."""
    try:
        inode = str(os.stat(f"{store}-shm").st_ino)
        table = Path("/proc/locks").read_text()
    except OSError:
        return False
    for line in table.splitlines():
        fields = line.split()
        # 1: POSIX ADVISORY WRITE 21482 fe:00:2288435 120 120
        if fields[1] == "->" or len(fields) < 8:
            continue
        if fields[3:5] == ["WRITE", str(pid)] and fields[5].endswith(f":{inode}") and fields[6] == _WRITE_BYTE:
            return True
    return False


def wait_stopped(pid: int, timeout: float = 5.0) -> bool:
    """Whether the process is stopped (state T), waited for."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state in "Tt":
            return True
        if state in "ZX":
            return False
        time.sleep(0.0005)
    return False


def stop_in_write(pid: int, store: Path, timeout: float = 10.0) -> bool:
    """SIGSTOP a process of ours while it is inside a write of this SQLite file; False when it never was."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            return False
        if not wait_stopped(pid):
            return False
        if holds_write_lock(pid, store):
            return True
        os.kill(pid, signal.SIGCONT)
        time.sleep(random.random() * 0.004)
    return False
