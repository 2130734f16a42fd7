"""The runner's own mark in a worktree's administration, and the check that a worktree is still the one it marks."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.errors import WorkspaceLost

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKER: Final = "runner.json"
FAILED: Final = "runner-snapshot-failed"
"""Beside the marker while the last snapshot failed; it blocks deletion. Its text is the reason."""

GUARD: Final = "runner.lock"
"""Beside the marker: held by whoever writes through git for this worktree, or changes the marker."""

_KEPT_HINT = "nothing was written or deleted there; `runner rescue` lists what snapshots hold"


@dataclass(frozen=True, slots=True)
class Marker:
    """What the runner knows about a worktree it made.

    `project` and `unit` say whose it is, `epoch` is that of the newest claim that works here. `copied`
    maps paths that were copied from `repo`'s checkout to their digests. `attempt` is the last one that was
    snapshotted. `ready` is False while the worktree is being made. `superseded` is the epoch of the claim
    that made another worktree for the unit because this one's holder was lost; 0 while there is none.
    """

    project: str
    unit: str
    epoch: int
    path: str
    repo: str
    base: str
    ready: bool = False
    attempt: int = 0
    superseded: int = 0
    copied: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """A worktree that was found to be ours: its folder, git's folder for it, and our marker."""

    path: Path
    admin: Path
    marker: Marker


def read_marker(admin: Path) -> Marker | None:
    """The marker in a worktree's administration; None when there is none that can be read."""
    try:
        return Marker(**json.loads((admin / MARKER).read_text(encoding="ascii")))
    except (OSError, ValueError, TypeError):
        return None


def write_marker(admin: Path, marker: Marker) -> None:
    """Write the marker, whole or not at all."""
    new = admin / f"{MARKER}.{os.getpid()}.new"
    new.write_text(json.dumps(asdict(marker)), encoding="ascii")
    os.replace(new, admin / MARKER)


def identify(path: Path) -> Place:
    """The worktree at `path`, proven to be one the runner made there; else WorkspaceLost.

    Reads files only: folder and administration must point at each other, and the marker at both.
    """
    if not os.path.lexists(path):
        raise _lost(path, "is gone")
    if path.is_symlink() or not path.is_dir():
        raise _lost(path, "is not a folder any more")
    link = path / ".git"
    if not os.path.lexists(link):
        raise _lost(path, "has lost its `.git` file")
    if link.is_symlink() or not link.is_file():
        raise _lost(path, "holds a repository of its own instead of the runner's worktree")
    admin = admin_of(path)
    if admin is None:
        raise _lost(path, "points at a repository that is not there")
    marker = read_marker(admin)
    if marker is None:
        raise _lost(path, "belongs to a repository the runner did not make")
    if os.path.realpath(marker.path) != os.path.realpath(path):
        raise _lost(path, f"is not where it was made ({marker.path})")
    back = _pointer(admin / "gitdir", admin)
    if back is None or os.path.realpath(back.parent) != os.path.realpath(path):
        raise _lost(path, "was moved: git knows it elsewhere")
    common = _pointer(admin / "commondir", admin)
    if common is None or admin.parent.name != "worktrees" or Path(os.path.realpath(common)) != admin.parent.parent:
        raise _lost(path, "is not a worktree of its repository any more")
    if not (admin / "HEAD").is_file():
        raise _lost(path, "has no HEAD any more")
    return Place(path, admin, marker)


def check(place: Place, unit: str, epoch: int) -> Place:
    """`place` as it is now, if it is still the same and still this claim's; else WorkspaceLost."""
    now = identify(place.path)
    if now.admin != place.admin or now.marker.unit != unit:
        raise _lost(place.path, f"is not the worktree of {unit} any more")
    newest = max(now.marker.epoch, now.marker.superseded)
    if newest != epoch:
        raise _lost(place.path, f"belongs to a newer claim (epoch {newest}, ours is {epoch})")
    return now


def recheck(place: Place) -> Place:
    """`place` as it is now, if nobody else took it over since; else WorkspaceLost."""
    now = identify(place.path)
    if (now.admin, now.marker.unit) != (place.admin, place.marker.unit):
        raise _lost(place.path, f"is not the worktree of {place.marker.unit} any more")
    if (now.marker.epoch, now.marker.superseded) != (place.marker.epoch, place.marker.superseded):
        raise _lost(place.path, "belongs to a newer claim")
    return now


def mark(place: Place, **changes: object) -> Place:
    """Write `changes` into the marker → the place with its new marker."""
    marker = replace(place.marker, **changes)  # type: ignore[arg-type]
    if marker != place.marker:
        write_marker(place.admin, marker)
    return Place(place.path, place.admin, marker)


def admin_of(path: Path) -> Path | None:
    """The folder in which git administers the worktree at `path`; None when its `.git` file leads nowhere."""
    link = path / ".git"
    if link.is_symlink() or not link.is_file():
        return None
    admin = _pointer(link, path)
    return Path(os.path.realpath(admin)) if admin is not None and admin.is_dir() else None


def _pointer(file: Path, relative_to: Path) -> Path | None:
    # The one-line files by which git links worktrees; newer gits may write relative paths.
    try:
        text = os.fsdecode(file.read_bytes()).removeprefix("gitdir: ").rstrip("\n")
    except OSError:
        return None
    return relative_to / text if text else None


def _lost(path: Path, what: str) -> WorkspaceLost:
    return WorkspaceLost(f"the worktree {path} {what}", _KEPT_HINT)
