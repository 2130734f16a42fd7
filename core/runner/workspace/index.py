"""The snapshots' own index of a worktree: what is on disk, by its stat, and which object holds it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pathlib import Path

    from runner.workspace.walk import Seen

NAME: Final = "runner-index.json"
_VERSION: Final = 1
_RACY: Final = 2_000_000_000
"""Nanoseconds: a file that changed this shortly before it was read may change again unseen by its stat."""


@dataclass(frozen=True, slots=True)
class Known:
    """A stored file: its mode and object, and the stat under which it had this content (`mtime` -1: not reliable)."""

    mode: str
    oid: str
    size: int = -1
    mtime: int = -1
    ctime: int = -1
    inode: int = -1


@dataclass(slots=True)
class Index:
    """What snapshot `commit` holds. `trees` maps "" and the paths of nested repositories to path → Known.

    `rest` is what else the snapshot said; `heads` are the commits that HEAD has been at and that are kept.
    """

    commit: str = ""
    ref: str = ""
    rest: dict[str, Any] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    trees: dict[str, dict[str, Known]] = field(default_factory=dict)

    def match(self, tree: str, path: str, seen: Seen) -> str | None:
        """The object that holds a file, if its stat says that it did not change since."""
        known = self.trees.get(tree, {}).get(path)
        if (
            known is not None
            and known.mtime == seen.mtime
            and known.ctime == seen.ctime
            and known.size == seen.size
            and known.inode == seen.inode
        ):
            return known.oid
        return None


def known(seen: Seen, oid: str, read_at: int) -> Known:
    """An entry for a file that was read at `read_at` (Unix nanoseconds)."""
    if max(seen.mtime, seen.ctime) > read_at - _RACY:
        return Known(seen.git_mode, oid)
    return Known(seen.git_mode, oid, seen.size, seen.mtime, seen.ctime, seen.inode)


def load(admin: Path) -> Index:
    """The index of a worktree; an empty one when there is none or it can't be read."""
    try:
        data = json.loads((admin / NAME).read_text(encoding="ascii"))
        if data["version"] != _VERSION:
            return Index()
        trees = {tree: {path: Known(*row) for path, row in rows.items()} for tree, rows in data["trees"].items()}
        return Index(data["commit"], data["ref"], data["rest"], data["heads"], trees)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Index()


def save(admin: Path, index: Index) -> None:
    """Write the index, whole or not at all."""
    rows = {
        tree: {path: (k.mode, k.oid, k.size, k.mtime, k.ctime, k.inode) for path, k in entries.items()}
        for tree, entries in index.trees.items()
    }
    data = {
        "version": _VERSION,
        "commit": index.commit,
        "ref": index.ref,
        "rest": index.rest,
        "heads": index.heads,
        "trees": rows,
    }
    new = admin / f"{NAME}.{os.getpid()}.new"
    new.write_text(json.dumps(data, separators=(",", ":")), encoding="ascii")
    os.replace(new, admin / NAME)
