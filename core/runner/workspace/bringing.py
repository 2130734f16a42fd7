"""Brings a commit into the files of a checkout as changes that nobody has committed: whole, or not at all."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.errors import GitError, RunnerError
from runner.workspace.base import locate
from runner.workspace.present import alone, commit_tree, own_index, store_present

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.workspace.base import Base
    from runner.workspace.git import Git

_TRIES: Final = 5
_LINK: Final = "160000"
_SINCE: Final = (2, 38)
"""The version in which git learned to merge without a checkout."""


@dataclass(frozen=True, slots=True)
class Brought:
    """`conflicts`: the paths that are in the way; none when it is done. `into`: the commit of the tree before it."""

    conflicts: tuple[str, ...]
    into: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A path that differs: `old` and `new` are its git modes, "000000" where it is not."""

    path: str
    old: str
    new: str

    @property
    def added(self) -> bool:
        return not self.old.strip("0")

    @property
    def deleted(self) -> bool:
        return not self.new.strip("0")


def too_old(git: Git) -> str:
    """The version of git, when it can't bring a commit into a folder; else ""."""
    said = git.line("version")
    found = re.search(r"(\d+)\.(\d+)", said)
    old = found is not None and (int(found[1]), int(found[2])) < _SINCE
    return said.removeprefix("git version ") if old else ""


def bring_in(
    folder: Path, commit: str, known: str | None = None, decided: Callable[[str], None] | None = None
) -> Brought:
    """Merge `commit` three-way with the present tree of the checkout that holds `folder`, and write what differs.

    HEAD, index and branch stay as they are, and so does every file when there is a conflict. `known` is the
    commit of the tree at which `commit` began. `decided` hears of the merged commit before the first file
    is written: brought in once more, with its first parent as `known`, it finishes what a crash cut off.
    """
    base = locate(folder)
    if base is None:
        raise GitError(f"{folder} is in no git repository (any more)")
    with alone(base.repo):
        for _ in range(_TRIES):
            with own_index(base.repo) as git:
                now = store_present(git, base, (known,) if known else ())
                tree, conflicts = _merged(git, now, commit)
                rows = [] if conflicts else _differing(git, now, tree)
                conflicts = conflicts or _in_the_way(base.repo, rows)
                if conflicts:
                    return Brought(tuple(conflicts), now)
                if _touched(git, rows):
                    continue
                if rows:
                    made = commit_tree(git, tree, (now, commit), "Brought into the folder")
                    if decided is not None:
                        decided(made)
                    _write(git, base, folder, rows, (now, made))
                return Brought((), now)
    raise GitError(f"files of {base.repo} change all the time, so nothing can be brought in")


def _merged(git: Git, now: str, commit: str) -> tuple[str, list[str]]:
    """The merged tree, and the paths in conflict."""
    words = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", now, commit)
    code, out, err = git.attempt(*words)
    if code not in (0, 1):
        raise GitError(f"git merge-tree failed in {git.directory}: {' '.join(err.split())[:300] or code}")
    tree, *paths = out.split(b"\0")
    return tree.decode("ascii").strip(), [os.fsdecode(path) for path in dict.fromkeys(paths) if path]


def _differing(git: Git, now: str, tree: str) -> list[_Row]:
    out = git.run("diff-tree", "-r", "-z", "--no-renames", now, tree).split(b"\0")
    rows = []
    for said, raw in zip(out[::2], out[1::2], strict=False):
        old, new = said.decode("ascii").lstrip(":").split(" ")[:2]
        rows.append(_Row(os.fsdecode(raw), old, new))
    return rows


def _in_the_way(root: Path, rows: Sequence[_Row]) -> list[str]:
    """What is on disk where a new file would go, though git does not know of it; submodules that would move."""
    gone = {row.path for row in rows if row.deleted}
    found = [row.path for row in rows if _LINK in (row.old, row.new)]
    for row in rows:
        if row.deleted:
            continue
        *above, _ = row.path.split("/")
        for depth in range(1, len(above) + 1):
            parent = "/".join(above[:depth])
            place = root / parent
            if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()) and parent not in gone:
                found.append(parent)
        if row.added and not _free(root, row.path, gone):
            found.append(row.path)
    return list(dict.fromkeys(found))


def _free(root: Path, path: str, gone: set[str]) -> bool:
    """Whether nothing is at a path, or a folder of which every file goes."""
    place = root / path
    above = Path(path).parents
    if any(str(parent) in gone for parent in above) or not os.path.lexists(place):
        return True
    if place.is_symlink() or not place.is_dir():
        return False
    for folder, names, files in os.walk(place):
        links = [name for name in names if os.path.islink(os.path.join(folder, name))]
        if any(os.path.relpath(os.path.join(folder, name), root) not in gone for name in [*files, *links]):
            return False
    return True


def _touched(git: Git, rows: Sequence[_Row]) -> bool:
    """Whether a file that is to be written changed since it was looked at."""
    if not rows:
        return False
    git.attempt("update-index", "-q", "--refresh")
    changed = {os.fsdecode(path) for path in git.run("diff-files", "--name-only", "-z").split(b"\0")}
    return any(row.path in changed for row in rows)


def _write(git: Git, base: Base, folder: Path, rows: Sequence[_Row], commits: tuple[str, str]) -> None:
    """Write the paths; when that fails in the middle, they become what they were."""
    before, after = commits
    try:
        _turn(git, base.repo, folder, rows, after)
    except (RunnerError, OSError) as error:
        back = [_Row(row.path, row.new, row.old) for row in rows]
        _turn(git, base.repo, folder, back, before)
        raise GitError(f"what was merged can't be written to {base.repo}: {error}") from None


def _turn(git: Git, root: Path, folder: Path, rows: Sequence[_Row], commit: str) -> None:
    for row in rows:
        if row.deleted:
            _delete(root, folder, row.path)
    bits = {row.path: mode for row in rows if row.old == row.new and (mode := _mode(root / row.path)) is not None}
    written = [os.fsencode(row.path) + b"\0" for row in rows if not row.deleted]
    if written:
        # git writes them: with its filters, its modes and its symlinks.
        git.run("read-tree", commit)
        git.run("checkout-index", "--force", "-z", "--stdin", input=b"".join(written))
    for path, mode in bits.items():
        os.chmod(root / path, mode)


def _mode(file: Path) -> int | None:
    """The permissions of a regular file."""
    try:
        info = os.lstat(file)
    except OSError:
        return None
    return stat.S_IMODE(info.st_mode) if stat.S_ISREG(info.st_mode) else None


def _delete(root: Path, folder: Path, path: str) -> None:
    """Delete a file and the folders that it leaves empty, but for the one in which the run works."""
    target = root / path
    try:
        target.unlink()
    except (FileNotFoundError, NotADirectoryError):
        return
    for parent in target.parents:
        if parent == root or folder.is_relative_to(parent):
            return
        try:
            parent.rmdir()
        except OSError:
            return
