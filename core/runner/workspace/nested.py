"""Repositories inside the worktree: what of each is stored, its files and its git directory, as two folders of a tree.

The git directory is stored as the plain files it consists of. So an empty repository, a shallow clone, a
stash and an index come back as they were, and no git runs on a configuration that an agent wrote.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runner.workspace.blobs import NotRegular, opened, read_small
from runner.workspace.git import Git
from runner.workspace.leftout import LeftOut
from runner.workspace.part import Part
from runner.workspace.walk import Listing, walk

if TYPE_CHECKING:
    from runner.workspace.index import Index
    from runner.workspace.marker import Place

FILES: Final = "files"
GIT: Final = "git"
"""The two folders in the tree of a nested repository's snapshot."""


def nested_parts(place: Place, names: list[str], index: Index, max_file: int) -> list[Part]:
    """The nested repositories at `names`, and those inside of them."""
    parts = []
    waiting = sorted(names, reverse=True)
    while waiting:
        name = waiting.pop()
        part = Part(name)
        _git_directory(part, place, index, max_file)
        inner = _list(part, place.path / name, name)
        _take(part, inner, FILES, name)
        waiting += sorted((f"{name}/{path}" for path in inner.nested), reverse=True)
        parts.append(part)
    return parts


def _list(part: Part, folder: Path, shown: str, *, raw: bool = False, skip: str | None = None) -> Listing:
    try:
        return walk(os.fspath(folder), raw=raw, skip=skip)
    except OSError as error:
        part.left_out.append(LeftOut(shown, f"can't be read: {error.strerror}", 0))
        return Listing()


def _take(part: Part, listing: Listing, folder: str, shown: str) -> None:
    for path, seen in listing.files.items():
        part.files[f"{folder}/{path}"] = seen
    part.empty += [f"{folder}/{path}" for path in listing.empty]
    part.left_out += [LeftOut(f"{shown}/{o.path}", o.reason, o.size, o.blocks) for o in listing.left_out]


def _git_directory(part: Part, place: Place, index: Index, max_file: int) -> None:
    link = place.path / part.name / ".git"
    if link.is_symlink():
        part.extra = {"git": "link", "text": os.readlink(link)}
    elif link.is_dir():
        part.extra = {"git": "folder"}
        _store(part, link, index, max_file)
    else:
        _git_file(part, place, link, index, max_file)


def _git_file(part: Part, place: Place, link: Path, index: Index, max_file: int) -> None:
    # A submodule, a worktree of some repository, or a repository whose git directory is kept apart.
    try:
        text = os.fsdecode(link.read_bytes())
    except OSError:
        text = ""
    part.extra = {"git": "file", "text": text}
    target = Path(os.path.realpath(link.parent / text.removeprefix("gitdir: ").rstrip("\n")))
    if not text.startswith("gitdir: ") or target.is_relative_to(os.path.realpath(place.path)):
        return
    if target.is_relative_to(place.admin) and target.is_dir():
        # A submodule's git directory goes with the worktree's own: it comes back as a folder.
        part.extra = {"git": "folder", "moved": True}
        _store(part, target, index, max_file)
    elif (target / "commondir").is_file():
        _linked(part, place, target)


def _linked(part: Part, place: Place, target: Path) -> None:
    shown = f"{part.name}/.git"
    common = Path(os.path.realpath(target / os.fsdecode((target / "commondir").read_bytes()).rstrip("\n")))
    if common != place.admin.parent.parent:
        reason = f"is a worktree of another repository ({common})"
        part.left_out.append(LeftOut(shown, reason, 0))
        return
    code, out, _ = Git(place.path, git_dir=target).attempt("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if code == 0:
        part.heads.append(out.decode("ascii").strip())
    part.left_out.append(LeftOut(shown, "is a worktree of this repository: its commit is kept", 0, blocks=False))


def _store(part: Part, folder: Path, index: Index, max_file: int) -> None:
    # Refs are read before objects are listed: whatever a ref names was written before it.
    plain = _list(part, folder, f"{part.name}/.git", raw=True, skip="objects")
    plain.files = {path: seen for path, seen in plain.files.items() if not path.endswith(".lock")}
    plain.left_out = [item for item in plain.left_out if item.blocks]
    _take(part, plain, GIT, f"{part.name}/.git")
    for path, seen in plain.files.items():
        key = f"{GIT}/{path}"
        if seen.link or index.match(part.name, key, seen) is not None:
            continue
        try:
            with opened(seen.file) as (fd, now):
                part.files[key] = now
                part.loaded[key] = read_small(fd, max_file)
        except PermissionError as error:
            part.left_out.append(LeftOut(part.shown(key), f"can't be read: {error.strerror}", seen.size))
            del part.files[key]
        except (FileNotFoundError, NotADirectoryError, NotRegular):
            # A ref that vanishes here was packed, or deleted; only another look tells.
            part.torn = True
    objects = _list(part, folder / "objects", f"{part.name}/.git/objects", raw=True)
    objects.files = {
        path: seen for path, seen in objects.files.items() if not os.path.basename(path).startswith("tmp_")
    }
    _take(part, objects, f"{GIT}/objects", f"{part.name}/.git/objects")
    if not objects.files and not objects.empty and (folder / "objects").is_dir():
        part.empty.append(f"{GIT}/objects")
