"""Who and where a process is: an id of this boot and pid namespace, and proof that a process lives."""

from __future__ import annotations

import os
import sys

_LINUX = sys.platform.startswith("linux")


def host_id() -> str:
    """`BOOT:NAMESPACE`: two processes with the same id see the same pids, and can prove each other dead.

    A reboot, or another container on the same machine, gives another id.
    """
    if not _LINUX:
        return f"{_run('sysctl', '-n', 'kern.bootsessionuuid') or 'unknown'}:{os.uname().nodename}"
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return f"unknown:{os.uname().nodename}"


def start_time(pid: int) -> str | None:
    """When the process was started, in a form that only this host can compare; None when it is gone.

    A zombie is gone: it runs nothing any more, whoever has yet to reap it.
    """
    if not _LINUX:
        # Without blanks, so that it can be found in what `ps` prints of an environment.
        return "_".join(_run("ps", "-o", "lstart=", "-p", str(pid)).split()) or None
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.read(fd, 1024)
    except OSError:
        return None
    finally:
        os.close(fd)
    # The name in parentheses may hold anything, so fields are counted from its last parenthesis.
    fields = data[data.rfind(b")") + 2 :].split()
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return fields[19].decode()


def alive(pid: int, start: str) -> bool:
    """Whether the process `pid` that was started at `start` still runs (a reused pid does not count)."""
    return start_time(pid) == start


def _run(*argv: str) -> str:
    """What a small system program prints, stripped; empty when it fails."""
    import subprocess  # 9 ms, and only needed where there is no /proc

    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return ""
