"""Looks over a workspace: what is stored already, what has to be read, and what the caps leave out. Writes nothing."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from runner.workspace.index import Index, known
from runner.workspace.leftout import LeftOut, size_text
from runner.workspace.nested import nested_parts
from runner.workspace.part import Entries, Part
from runner.workspace.walk import walk

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runner.workspace.blobs import Hasher
    from runner.workspace.git import Git
    from runner.workspace.marker import Place

MAX_FILE: Final = 50 * 1024 * 1024
MAX_TOTAL: Final = 500 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Caps:
    """What one snapshot may hold besides what its HEAD holds, in bytes: a file, and all of it."""

    max_file: int = MAX_FILE
    max_total: int = MAX_TOTAL


@dataclass(frozen=True, slots=True)
class Head:
    """A commit and its tree: files, and the submodules (`links`, path → commit)."""

    commit: str
    files: Entries
    links: dict[str, str]


@dataclass(slots=True)
class Survey:
    """`parts`: the worktree first, then nested repositories. `left_out` is complete but for what changes meanwhile."""

    parts: list[Part]
    read_at: int
    left_out: list[LeftOut] = field(default_factory=list)

    def torn(self) -> bool:
        return any(part.torn for part in self.parts)


def read_head(git: Git, commit: str) -> Head:
    """The files of a commit."""
    files: Entries = {}
    links = {}
    for row in git.run("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        if row:
            about, _, raw = row.partition(b"\t")
            mode, _, oid = about.decode("ascii").split(" ")
            if mode == "160000":
                links[os.fsdecode(raw)] = oid
            else:
                # Old repositories hold 100664, which git reads as 100644.
                files[os.fsdecode(raw)] = ("100644" if mode == "100664" else mode, oid)
    return Head(commit, files, links)


def survey(place: Place, git: Git, head: Head, index: Index, hasher: Hasher, caps: Caps) -> Survey:
    """Look over the workspace against its HEAD and what earlier snapshots hold."""
    read_at = time.time_ns()
    listing = walk(os.fspath(place.path))
    main = Part("", base=head.files, files=listing.files, empty=listing.empty, left_out=listing.left_out)
    for link in head.links:
        if link in main.empty:
            main.empty.remove(link)
    parts = [main, *nested_parts(place, listing.nested, index, caps.max_file)]
    result = Survey(parts, read_at)
    _leave_out_copies(place, main)
    for part in parts:
        _sort_out(part, index, hasher, caps, read_at)
    _fit(git, parts, caps)
    for part in parts:
        part.retained |= _covered(part)
        result.left_out += part.left_out
    return result


def _leave_out_copies(place: Place, main: Part) -> None:
    for path in place.marker.copied:
        seen = main.files.pop(path, None)
        if seen is not None:
            main.left_out.append(LeftOut(path, "was copied from the main checkout", seen.size, blocks=False))


def _sort_out(part: Part, index: Index, hasher: Hasher, caps: Caps, read_at: int) -> None:
    """Fill `kept` and `wanted`; files over the cap are left out unless HEAD holds their very content."""
    for path, seen in part.files.items():
        base = part.base.get(path)
        oid = index.match(part.name, path, seen)
        fresh = None
        if oid is not None:
            fresh = index.trees[part.name][path]
        elif base is not None:
            try:
                oid = hasher.file(seen.file)
            except OSError as error:
                part.left_out.append(LeftOut(part.shown(path), f"can't be read: {error.strerror}", seen.size))
                continue
            if oid == base[1]:
                fresh = known(seen, oid, read_at)
        if fresh is not None:
            part.kept[path] = fresh if fresh.mode == seen.git_mode else known(seen, fresh.oid, read_at)
        elif seen.size > caps.max_file and not path.startswith("git/objects/"):
            reason = f"is over the cap of {size_text(caps.max_file)} for one file"
            part.left_out.append(LeftOut(part.shown(path), reason, seen.size))
            part.loaded.pop(path, None)
        else:
            part.wanted.append(path)


@dataclass(slots=True)
class _Group:
    """Files that are weighed together; `whole` ones are kept all or not at all."""

    rank: int
    whole: bool
    members: list[tuple[Part, str, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(size for _, _, size in self.members)


def _fit(git: Git, parts: list[Part], caps: Caps) -> None:
    """Leave out what is over the total cap: first ignored files, then untracked ones, big groups before small ones."""
    costs = [(part, path, size) for part in parts for path, size in _costs(part)]
    if sum(size for _, _, size in costs) <= caps.max_total:
        return
    ignored = _ignored(git)
    groups: dict[tuple[int, str, str], _Group] = {}
    for part, path, size in costs:
        shown = part.shown(path)
        rank = 0 if path in part.base else 2 if _below(shown, ignored) else 1
        whole = bool(part.name) and path.startswith("git/")
        key = (rank, part.name, "git") if whole else (rank, "", shown.partition("/")[0])
        groups.setdefault(key, _Group(rank, whole)).members.append((part, path, size))
    left = caps.max_total
    reason = f"is over the cap of {size_text(caps.max_total)} for a snapshot"
    gone: dict[str, set[str]] = {part.name: set() for part in parts}
    for group in sorted(groups.values(), key=lambda g: (g.rank, g.size)):
        if group.whole and group.size > left:
            part = group.members[0][0]
            part.left_out.append(LeftOut(f"{part.name}/.git", reason, group.size))
            gone[part.name] |= {path for path in part.files if path.startswith("git/")}
            continue
        for part, path, size in sorted(group.members, key=lambda member: member[1]):
            if size > left:
                part.left_out.append(LeftOut(part.shown(path), reason, size))
                gone[part.name].add(path)
            else:
                left -= size
    for part in parts:
        _forget(part, gone[part.name])


def _costs(part: Part) -> Iterable[tuple[str, int]]:
    for path in part.wanted:
        yield path, part.files[path].size
    for path, entry in part.kept.items():
        if part.base.get(path, ("", ""))[1] != entry.oid:
            yield path, part.files[path].size


def _forget(part: Part, gone: set[str]) -> None:
    part.wanted = [path for path in part.wanted if path not in gone]
    for path in gone:
        part.kept.pop(path, None)
        part.loaded.pop(path, None)


def _ignored(git: Git) -> set[str]:
    words = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    return {os.fsdecode(raw).rstrip("/") for raw in git.run(*words).split(b"\0") if raw}


def _below(path: str, folders: set[str]) -> bool:
    while path:
        if path in folders:
            return True
        path = path.rpartition("/")[0]
    return False


def _covered(part: Part) -> set[str]:
    """Files of HEAD that are on disk but left out, or in a folder that can't be read."""
    if part.name:
        return set()
    out = {item.path for item in part.left_out}
    return {path for path in part.base if _below(path, out)} if out else set()
