"""Brings files that git does not carry (`.env`, local settings) from the main checkout into a worktree."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import ConfigError
from runner.workspace.walk import walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.workspace.blobs import Hasher
    from runner.workspace.marker import Place


def copy_in(source: Path, target: Path, globs: Sequence[str], hasher: Hasher) -> dict[str, str]:
    """Copy what `globs` match in `source` and `target` does not have → path → object id of each copy."""
    copied: dict[str, str] = {}
    for glob in globs:
        if os.path.isabs(glob) or ".." in Path(glob).parts or not glob:
            raise ConfigError(f"workspace.copy: '{glob}' leads out of the repository", "name a path inside of it")
        for found in _matches(source, glob):
            for path in _files(source, found):
                if path in copied or os.path.lexists(target / path) or _through_link(target, path):
                    continue
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / path, target / path, follow_symlinks=False)
                copied[path] = hasher.file(os.fspath(target / path)) or ""
    return copied


def _matches(source: Path, glob: str) -> list[Path]:
    try:
        return sorted(source.glob(glob))
    except ValueError as error:
        raise ConfigError(f"workspace.copy: '{glob}' is not a glob: {error}", "see the manual for globs") from None


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


def _files(source: Path, found: Path) -> list[str]:
    path = os.fspath(found.relative_to(source))
    if path == ".git" or path.startswith(".git/"):
        return []
    if found.is_symlink() or found.is_file():
        return [path]
    if found.is_dir() and path != ".":
        return sorted(f"{path}/{name}" for name in walk(os.fspath(found)).files)
    return []


def _through_link(target: Path, path: str) -> bool:
    # A symlink of the repository must not lead a copy out of the worktree.
    return any((target / parent).is_symlink() for parent in Path(path).parents)
