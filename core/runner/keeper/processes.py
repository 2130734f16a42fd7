"""The table of the machine's processes: who descends from whom, and what each has used so far."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing `typing` would cost the keeper's start 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterable

LINUX = sys.platform.startswith("linux")
_TICK = 1.0 / os.sysconf("SC_CLK_TCK")


class Process:
    """One line of the table. Not a dataclass: importing `dataclasses` would double the keeper's start.

    `start` is the start time as `runner.host.start_time` gives it ("" where the table does not know
    it), `cpu` seconds of CPU used by it and by the children it has waited for.
    """

    __slots__ = ("cpu", "group", "parent", "pid", "session", "start", "zombie")

    def __init__(
        self, pid: int, parent: int, group: int, session: int, zombie: bool, start: str = "", cpu: float = 0.0
    ) -> None:
        self.pid = pid
        self.parent = parent
        self.group = group
        self.session = session
        self.zombie = zombie
        self.start = start
        self.cpu = cpu


def table() -> dict[int, Process]:
    """Every process that this one can see, by pid. Not atomic: a process may come or go while it is read."""
    return _from_proc() if LINUX else _from_ps()


def descendants(root: int, processes: dict[int, Process]) -> list[Process]:
    """All that descend from `root`, itself not included, zombies neither."""
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    todo = [root]
    while todo:
        for child in children.get(todo.pop(), ()):
            todo.append(child.pid)
            if not child.zombie:
                found.append(child)
    return found


def io_bytes(pid: int) -> int:
    """Bytes that the process has read and written so far, sockets and pipes included; 0 where that is not known."""
    data = _read(f"/proc/{pid}/io") if LINUX else b""
    total = 0
    for line in data.split(b"\n")[:2]:  # rchar, wchar
        total += int(line.partition(b":")[2] or 0)
    return total


def pids() -> Iterable[int]:
    """The pids in /proc."""
    return (int(name) for name in os.listdir("/proc") if name.isdigit())


def parse_stat(pid: int, data: bytes) -> Process | None:
    """The process that a line of /proc/PID/stat describes; None when it is not whole."""
    # The name in parentheses may hold anything, so fields are counted from its last parenthesis.
    fields = data[data.rfind(b")") + 2 :].split()
    if len(fields) < 20:
        return None
    cpu = (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) * _TICK
    zombie = fields[0] in (b"Z", b"X")
    return Process(pid, int(fields[1]), int(fields[2]), int(fields[3]), zombie, fields[19].decode(), cpu)


def _from_proc() -> dict[int, Process]:
    processes = {}
    for pid in pids():
        process = parse_stat(pid, _read(f"/proc/{pid}/stat"))
        if process is not None:
            processes[pid] = process
    return processes


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _from_ps() -> dict[int, Process]:
    """The table where there is no /proc. `ps` is our own child, so it is waited for by its pid and left out."""
    read_end, write_end = os.pipe()
    try:
        actions = [(os.POSIX_SPAWN_DUP2, write_end, 1)]
        argv = ["ps", "-axo", "pid=,ppid=,pgid=,stat=,time="]
        pid = os.posix_spawn("/bin/ps", argv, {"PATH": "/bin:/usr/bin"}, file_actions=actions)
    finally:
        os.close(write_end)
    with open(read_end, "rb") as pipe:
        lines = pipe.read().decode(errors="replace").splitlines()
    os.waitpid(pid, 0)
    processes = {}
    for line in lines:
        fields = line.split()
        if len(fields) == 5 and int(fields[0]) != pid:
            number, parent, group = (int(field) for field in fields[:3])
            processes[number] = Process(number, parent, group, 0, fields[3].startswith("Z"), "", _seconds(fields[4]))
    return processes


def _seconds(text: str) -> float:
    """Seconds in what `ps` prints as a time: `[[days-]hours:]minutes:seconds[.hundredths]`."""
    days, _, clock = text.rpartition("-")
    total = 0.0
    for part in clock.split(":"):
        total = total * 60 + float(part)
    return total + 86400 * int(days or 0)
