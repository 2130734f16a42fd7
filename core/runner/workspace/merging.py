"""Brings the commit of one worktree into another tree, whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runner.workspace.git import Git

if TYPE_CHECKING:
    from pathlib import Path


def dirty(folder: Path) -> bool:
    """Whether tracked files of the checkout differ from its HEAD."""
    return bool(Git(folder).run("status", "--porcelain=v1", "-z", "--untracked-files=no"))


def merge_into(folder: Path, commit: str, message: str) -> list[str]:
    """Merge `commit` into what is checked out in `folder` → the paths in conflict; empty when it is merged.

    After a conflict the tree is as it was before. What git refuses for another reason is one \"path\", its sentence.
    """
    git = Git(folder)
    if git.attempt("merge-base", "--is-ancestor", commit, "HEAD")[0] == 0:
        return []
    words = ("merge", "--quiet", "--no-verify", "--no-edit", "-m", message, commit)
    code, _, err = git.attempt(*git.identity(), *words)
    if code == 0:
        return []
    rows = git.run("diff", "--name-only", "--diff-filter=U", "-z").split(b"\0")
    conflicts = [os.fsdecode(path) for path in rows if path]
    git.attempt("merge", "--abort")
    return conflicts or [" ".join(err.split())[:300] or f"git merge ended with {code}"]
