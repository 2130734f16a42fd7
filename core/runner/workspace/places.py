"""Where the worktrees of a project are: `<state>/worktrees/<unit>/<epoch>`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

WORKTREES: Final = "worktrees"
LOCK: Final = "lock"
REPO: Final = "repo"
"""In `<state>/worktrees/<unit>/`: the lock that open workspaces share, and the path of the unit's repository."""
OWNER: Final = "owner"
"""Beside them where the unit is a step of a run that works apart from it: the run's unit."""


def worktrees_of(home: Path) -> list[Path]:
    """The folders of a unit's worktrees, newest claim first."""
    found = []
    try:
        for entry in os.scandir(home):
            epoch, _, number = entry.name.partition("-")
            if epoch.isdecimal() and (number or "1").isdecimal():
                found.append((int(epoch), int(number or 1), home / entry.name))
    except FileNotFoundError:
        return []
    return [path for _, _, path in sorted(found, reverse=True)]


def owner_of(home: Path) -> str:
    """The unit whose work is done in a unit's worktrees: its own, or the run's that it is a step of."""
    try:
        return (home / OWNER).read_text(encoding="utf-8")
    except OSError:
        return home.name
