"""Brings files that git does not carry (`.env`, local settings) from the main checkout into a worktree."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import ConfigError
from runner.globs import matcher
from runner.workspace.git import Git

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.workspace.blobs import Hasher
    from runner.workspace.marker import Place


def copy_in(source: Path, target: Path, globs: Sequence[str], hasher: Hasher) -> dict[str, str]:
    """Copy what git does not carry of `source`, `globs` match and `target` lacks → path → object id of each copy."""
    for glob in globs:
        if ".." in glob.split("/"):
            raise ConfigError(f"workspace.copy: '{glob}' leads out of the repository", "name a path inside of it")
    if not globs:
        return {}
    matches = matcher(globs)
    copied: dict[str, str] = {}
    for raw in Git(source).run("ls-files", "-z", "--others").split(b"\0"):
        path = os.fsdecode(raw)
        # A repository inside of the checkout is listed by its folder alone.
        if not path or path.endswith("/") or not matches(path):
            continue
        if os.path.lexists(target / path) or _through_link(target, path):
            continue
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / path, target / path, follow_symlinks=False)
        copied[path] = hasher.file(os.fspath(target / path)) or ""
    return copied


def unkept_copies(place: Place, hasher: Hasher) -> list[str]:
    """Copies whose content may exist nowhere but in the worktree: changed here, or changed in the main checkout."""
    return [
        path
        for path, oid in place.marker.copied.items()
        if not _kept(hasher, os.fspath(place.path / path), os.fspath(Path(place.marker.repo) / path), oid)
    ]


def _kept(hasher: Hasher, copy: str, source: str, oid: str) -> bool:
    try:
        now = hasher.file(copy)
        if now is None:
            return not os.path.lexists(copy)
        return now == oid == hasher.file(source)
    except OSError:
        return False


def _through_link(target: Path, path: str) -> bool:
    # A symlink of the repository must not lead a copy out of the worktree.
    return any((target / parent).is_symlink() for parent in Path(path).parents)
