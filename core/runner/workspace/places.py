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
