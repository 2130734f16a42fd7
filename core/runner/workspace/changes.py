"""What differs in a workspace between two moments: commits, index, files and untracked files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runner.workspace.blobs import Hasher
from runner.workspace.walk import walk

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from runner.workspace.git import Git


@dataclass(frozen=True, slots=True)
class State:
    """A workspace at one moment: equal digests mean equal HEAD, index, files and untracked (not ignored) files.

    `head` is "" outside a repository. `entries` holds what differs from HEAD (outside: every file).
    """

    head: str
    digest: str
    entries: Mapping[str, Entry] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """A path that differs from HEAD: `in_head` and `on_disk` say whether it exists there, `mark` what it is."""

    in_head: bool
    on_disk: bool
    mark: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Paths relative to the workspace's root, sorted; a renamed file is one deleted and one added."""

    added: tuple[str, ...] = ()
    modified: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.deleted)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(sorted((*self.added, *self.modified, *self.deleted)))


def capture(root: Path, git: Git, base: str, copied: Collection[str]) -> State:
    """The state of a worktree; on a branch without a commit HEAD counts as `base`. `copied` files do not count."""
    head = base
    hasher = Hasher(base)
    entries: dict[str, Entry] = {}
    for item in status(git):
        kind, _, rest = item.partition(b" ")
        if kind == b"#":
            key, _, value = rest.partition(b" ")
            if key == b"branch.oid" and not value.startswith(b"("):
                head = value.decode("ascii")
        elif kind == b"?":
            _untracked(entries, root, os.fsdecode(rest), hasher, copied)
        elif kind in (b"1", b"u"):
            # 1 XY sub mH mI mW hH hI path; u XY sub m1 m2 m3 mW h1 h2 h3 path (m2 is ours, HEAD's).
            words = rest.split(b" ", 7 if kind == b"1" else 9)
            path = os.fsdecode(words[-1])
            if path not in copied:
                in_head = words[2 if kind == b"1" else 3] != b"000000"
                entries[path] = _entry(root, path, in_head, b" ".join(words[:-1]).decode("ascii"), hasher)
    return State(head, _digest(head, entries), entries)


def state_of(folder: Path) -> State:
    """The state of the user's own checkout that holds `folder`; of a plain folder where there is none."""
    from runner.workspace.base import locate
    from runner.workspace.git import Git

    base = locate(folder)
    return capture(base.repo, Git(base.repo), base.commit, ()) if base is not None else capture_plain(folder)


def paths_between(folder: Path, before: State, after: State) -> tuple[str, ...]:
    """The paths that differ between two states of the checkout that holds `folder`, commits in between included."""
    from runner.workspace.base import locate
    from runner.workspace.git import Git

    base = locate(folder)
    return compare(before, after, Git(base.repo) if base is not None else None).paths


def capture_plain(root: Path) -> State:
    """The state of a folder outside any repository, by size and times of its files."""
    files = walk(os.fspath(root)).files
    entries = {p: Entry(False, True, f"{s.mode} {s.size} {s.mtime} {s.ctime}") for p, s in files.items()}
    return State("", _digest("", entries), entries)


def status(git: Git) -> list[bytes]:
    """git's own list of what differs from HEAD and index, one item a path; renames are not guessed."""
    words = ("status", "--porcelain=v2", "-z", "--branch", "--untracked-files=all", "--no-renames", "--no-ahead-behind")
    return [item for item in git.run(*words, "--ignore-submodules=dirty").split(b"\0") if item]


def unstaged(git: Git, copied: Collection[str]) -> list[bytes]:
    """Paths whose file differs from the index, untracked ones included; no nested repository, none of `copied`."""
    paths = []
    for item in status(git):
        kind, _, rest = item.partition(b" ")
        if kind == b"?":
            path, changed = rest, not rest.endswith(b"/")
        elif kind in (b"1", b"u"):
            path, changed = rest.split(b" ", 7 if kind == b"1" else 9)[-1], kind == b"u" or rest[1:2] != b"."
        else:
            continue
        if changed and os.fsdecode(path) not in copied:
            paths.append(path)
    return paths


def readable(root: Path, path: bytes) -> bool:
    """Whether a path can be stored: a file nobody may read can't be."""
    file = os.path.join(os.fsencode(root), path)
    return os.path.islink(file) or not os.path.lexists(file) or os.access(file, os.R_OK)


def compare(before: State, after: State, git: Git | None) -> Changes:
    """What changed from `before` to `after`; a path is listed when its content on disk, index or HEAD differs."""
    committed = _committed(git, before.head, after.head) if git and before.head != after.head else {}
    groups: dict[str, list[str]] = {"added": [], "modified": [], "deleted": []}
    for path in sorted({*before.entries, *after.entries, *committed}):
        old, new, commit = before.entries.get(path), after.entries.get(path), committed.get(path)
        if commit is None and old is not None and new is not None and old.mark == new.mark:
            continue
        existed = old.on_disk if old else commit != "A" if commit else bool(new and new.in_head)
        exists = new.on_disk if new else commit != "D" if commit else bool(old and old.in_head)
        if existed and exists:
            groups["modified"].append(path)
        elif exists:
            groups["added"].append(path)
        elif existed:
            groups["deleted"].append(path)
    return Changes(*(tuple(groups[name]) for name in ("added", "modified", "deleted")))


def _committed(git: Git, before: str, after: str) -> dict[str, str]:
    words = git.run("diff-tree", "-r", "-z", "--no-renames", "--name-status", before, after).split(b"\0")
    return {os.fsdecode(path): letter.decode("ascii") for letter, path in zip(words[::2], words[1::2], strict=False)}


def _untracked(entries: dict[str, Entry], root: Path, path: str, hasher: Hasher, copied: Collection[str]) -> None:
    if not path.endswith("/"):
        if path not in copied:
            # Taken out of the index alone, a file of HEAD is listed twice.
            staged = entries.get(path)
            entries[path] = _entry(root, path, bool(staged and staged.in_head), "?", hasher)
        return
    # A nested repository: git names its folder alone.
    waiting = [path.rstrip("/")]
    while waiting:
        folder = waiting.pop()
        inner = walk(os.fspath(root / folder))
        waiting += [f"{folder}/{name}" for name in inner.nested]
        for name in inner.files:
            entries[f"{folder}/{name}"] = _entry(root, f"{folder}/{name}", False, "?", hasher)


def _entry(root: Path, path: str, in_head: bool, said: str, hasher: Hasher) -> Entry:
    file = os.fspath(root / path)
    try:
        oid = hasher.file(file)
    except OSError as error:
        # It can't be read, but it is there.
        oid = f"errno {error.errno}"
    return Entry(in_head, oid is not None or os.path.lexists(file), f"{said} {oid}")


def _digest(head: str, entries: Mapping[str, Entry]) -> str:
    digest = hashlib.sha256(head.encode("ascii"))
    for path in sorted(entries):
        digest.update(b"\0" + os.fsencode(path) + b"\0" + entries[path].mark.encode("ascii"))
    return digest.hexdigest()
