"""Commits what an agent left uncommitted, on the worktree's detached HEAD, never on a branch of anybody."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from runner.workspace.changes import readable, unstaged
from runner.workspace.snapshot import head_commit

if TYPE_CHECKING:
    from collections.abc import Collection

    from runner.workspace.git import Git
    from runner.workspace.marker import Place

_GITLINK: Final = b"160000"
_PATIENCE: Final = 2.0
"""Seconds a lock on the index may last: its holders are gone by now, so one that stays was left by a killed git."""


def commit_leftovers(place: Place, git: Git, message: str) -> str | None:
    """Commit everything that differs from HEAD → the new commit; None when nothing does.

    Untracked files count, ignored ones and the runner's copies do not. A nested repository is never
    added: as a link to a commit that exists nowhere else it would be worth nothing.
    """
    _clear_locks(place)
    detach(place, git)
    # A file nobody may read can't be committed; the snapshot lists it as left out.
    paths = [path for path in unstaged(git, place.marker.copied) if readable(place.path, path)]
    if paths:
        # Tolerates what vanishes meanwhile, which `git add` does not.
        words = ("update-index", "--add", "--remove", "--replace", "-z", "--stdin")
        git.run(*words, input=b"".join(path + b"\0" for path in paths))
    if not _staged(git, place.marker.copied):
        return None
    words = ("commit", "--quiet", "--no-verify", "--allow-empty-message", "--cleanup=verbatim", "--file=-")
    git.run(*git.identity(), *words, input=message.encode("utf-8", "replace"))
    return head_commit(place, git)


def detach(place: Place, git: Git) -> None:
    """Leave a branch that the agent checked out, at the commit it is at: the runner moves no branch of others."""
    if git.attempt("symbolic-ref", "--quiet", "HEAD")[0] == 0:
        git.run("update-ref", "--no-deref", "-m", "runner: detached", "HEAD", head_commit(place, git))


def _staged(git: Git, copied: Collection[str]) -> bool:
    """Whether the index differs from HEAD, once new gitlinks and the runner's copies are out of it."""
    rows = git.run("diff-index", "--cached", "--raw", "-z", "--no-renames", "HEAD").split(b"\0")
    differs = False
    unwanted = []
    for about, path in zip(rows[::2], rows[1::2], strict=False):
        old, new = about.lstrip(b":").split(b" ")[:2]
        linked = new == _GITLINK and old != _GITLINK
        secret = os.fsdecode(path) in copied
        if (linked and not _submodule(git, path)) or secret:
            unwanted.append((path, old, about.split(b" ")[2]))
        else:
            differs = True
    if unwanted:
        # Back to what HEAD has there: nothing, or the file it was.
        rows = [mode + b" " + oid + b"\t" + path for path, mode, oid in unwanted]
        git.run("update-index", "-z", "--index-info", input=b"".join(row + b"\0" for row in rows))
    return differs


def _submodule(git: Git, path: bytes) -> bool:
    words = ("config", "-z", "--blob", ":.gitmodules", "--get-regexp", r"^submodule\..*\.path$")
    code, out, _ = git.attempt(*words)
    return code == 0 and path in {row.partition(b"\n")[2] for row in out.split(b"\0")}


def _clear_locks(place: Place) -> None:
    for name in ("index.lock", "HEAD.lock"):
        lock = place.admin / name
        until = time.monotonic() + _PATIENCE
        while lock.exists() and time.monotonic() < until:
            time.sleep(0.05)
        try:
            os.replace(lock, place.admin / f"{name}-stale")
        except FileNotFoundError:
            pass
