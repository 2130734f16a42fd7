"""Ending what dead keepers left: processes whose environment names a keeper that lives no more."""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from runner.host import alive
from runner.keeper.processes import descendants, pids, table

MARK = "RUNNER_KEEPER"
_PREFIX = MARK.encode() + b"="
_GONE_WITHIN = 5.0
"""Seconds to wait for killed processes to be gone."""


def sweep() -> list[int]:
    """Kill every process of this pid namespace that a dead keeper started; the pids that were killed.

    A keeper ends its own tree whatever happens to its client; only a keeper that was itself killed
    leaves anything. Found are the processes that carry its mark in their environment, their
    descendants and their sessions. Not found: one that cleared its environment, left the session and
    whose marked parent is gone. Processes of living keepers are not touched, nor those that this user
    may not look at. Where there is no /proc the marks come from `ps`.
    """
    killed: dict[int, None] = {}
    while True:
        left = [pid for pid in left_behind() if pid not in killed]
        if not left:
            return list(killed)
        # Again until nothing new turns up: a process may have forked between look and kill.
        _kill(left)
        killed.update(dict.fromkeys(left))


def left_behind() -> list[int]:
    """The processes that `sweep` would kill now."""
    lives: dict[str, bool] = {}
    dead: set[int] = set()
    kept: set[int] = set()
    for pid, mark in _marks():
        if mark not in lives:
            keeper, _, start = mark.partition(":")
            lives[mark] = keeper.isdigit() and alive(int(keeper), start)
        (kept if lives[mark] else dead).add(pid)
    if not dead:
        return []
    dead = {pid for pid in dead if _same_namespace(pid)}
    processes = table()
    sessions = {processes[pid].session for pid in dead if pid in processes} - {0, os.getsid(0)}
    # A keeper's child leads its session. One that is led by an unmarked process is somebody else's.
    sessions = {sid for sid in sessions if sid in dead or sid not in processes or processes[sid].zombie}
    found = dict.fromkeys(pid for pid in sorted(dead) if pid in processes and not processes[pid].zombie)
    for pid in list(found):
        found.update(dict.fromkeys(process.pid for process in descendants(pid, processes)))
    for process in processes.values():
        if process.session in sessions and not process.zombie:
            found[process.pid] = None
    return [pid for pid in found if pid not in kept and pid != os.getpid()]


def _marks() -> list[tuple[int, str]]:
    """Every marked process with its mark."""
    if not sys.platform.startswith("linux"):
        return _marks_from_ps()
    found = []
    buffer = bytearray(1 << 16)
    for pid in pids():
        try:
            fd = os.open(f"/proc/{pid}/environ", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            mark = _mark(fd, buffer)
        except OSError:
            continue
        finally:
            os.close(fd)
        if mark:
            found.append((pid, mark))
    return found


def _mark(fd: int, buffer: bytearray) -> str:
    count = os.readv(fd, [buffer])
    if count == len(buffer):
        data = bytearray(buffer)
        while more := os.read(fd, 1 << 20):
            data += more
    else:
        data, buffer[count:] = buffer, bytes(len(buffer) - count)
    position = 0 if data.startswith(_PREFIX) else data.find(b"\0" + _PREFIX) + 1
    if not data.startswith(_PREFIX, position):
        return ""
    position += len(_PREFIX)
    return data[position : data.find(b"\0", position)].decode("utf-8", "replace")


def _marks_from_ps() -> list[tuple[int, str]]:
    import subprocess  # only where there is no /proc

    lines = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=False).stdout
    found = []
    for line in lines.decode("utf-8", "replace").splitlines():
        pid, _, words = line.strip().partition(" ")
        _, present, rest = words.rpartition(f" {MARK}=")
        if present and pid.isdigit():
            found.append((int(pid), rest.partition(" ")[0]))
    return found


def _same_namespace(pid: int) -> bool:
    """Whether the mark of this process means pids as we see them (a container's means others)."""
    if not sys.platform.startswith("linux"):
        return True
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino == os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return False


def _kill(left: list[int]) -> None:
    poller = select.poll()
    fds = []
    for pid in left:
        try:
            if hasattr(os, "pidfd_open"):
                fds.append(os.pidfd_open(pid))
                poller.register(fds[-1], select.POLLIN)
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass  # gone already, or not ours to kill
    deadline = time.monotonic() + _GONE_WITHIN
    waiting = set(fds)
    while waiting and (left_over := deadline - time.monotonic()) > 0:
        for fd, _event in poller.poll(left_over * 1000):
            poller.unregister(fd)
            waiting.discard(fd)
    for fd in fds:
        os.close(fd)
