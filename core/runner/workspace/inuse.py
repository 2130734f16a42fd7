"""Finds a process that works in a folder: a shell somebody left open there, or a program that outlived its task."""

from __future__ import annotations

import os
from pathlib import Path


def user_of(folder: Path) -> str:
    """`bash (pid 123)` for a process whose directory or open file is in `folder`; "" when there is none.

    Sees what `/proc` shows this user; where there is no `/proc`, nothing.
    """
    root = os.path.realpath(folder)
    try:
        pids = [name for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return ""
    for pid in pids:
        if pid != str(os.getpid()) and any(_inside(link, root) for link in _links(pid)):
            return f"{_name(pid)} (pid {pid})"
    return ""


def _links(pid: str) -> list[str]:
    try:
        return [f"/proc/{pid}/cwd", *(f"/proc/{pid}/fd/{fd}" for fd in os.listdir(f"/proc/{pid}/fd"))]
    except OSError:
        return []


def _inside(link: str, root: str) -> bool:
    try:
        target = os.readlink(link)
    except OSError:
        return False
    return target == root or target.startswith(f"{root}/")


def _name(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a process"
