"""Lists everything in a folder: files, symlinks, empty folders, nested repositories, and what can't be kept."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

from runner.workspace.leftout import LeftOut


@dataclass(frozen=True, slots=True)
class Seen:
    """A file or symlink as it was listed: where it is, and what tells a change of it."""

    file: str
    mode: int
    size: int
    mtime: int
    ctime: int
    inode: int

    @property
    def link(self) -> bool:
        return stat.S_ISLNK(self.mode)

    @property
    def private(self) -> bool:
        """Only its owner may read it; git's modes can't say so."""
        return not self.link and not self.mode & 0o077

    @property
    def git_mode(self) -> str:
        return "120000" if self.link else "100755" if self.mode & 0o100 else "100644"


@dataclass(slots=True)
class Listing:
    """What a folder holds. Paths are relative to it, with `/`; names that are no UTF-8 carry surrogates."""

    files: dict[str, Seen] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def seen(file: str, info: os.stat_result) -> Seen:
    """What `info` says about the file or symlink at `file`."""
    return Seen(file, info.st_mode, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def walk(root: str, *, raw: bool = False, skip: str | None = None) -> Listing:
    """List `root`. Symlinks are not followed; what vanishes meanwhile is not listed.

    A folder below `root` that holds `.git` is a nested repository: listed, not entered. `raw` knows no
    repositories: it lists a git directory as the plain folder it is. `skip` names a path to leave out.
    """
    listing = Listing()
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(root, folder) if folder else root) as entries:
                children = list(entries)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if not folder:
                raise
            listing.left_out.append(LeftOut(folder, f"can't be read: {error.strerror}", 0))
            continue
        if not raw and folder and any(entry.name == ".git" for entry in children):
            listing.nested.append(folder)
            continue
        if not children and folder:
            listing.empty.append(folder)
        for entry in children:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if path == skip or (path == ".git" and not raw):
                continue
            _list(listing, folders, path, entry, raw)
    listing.nested.sort()
    return listing


def _list(listing: Listing, folders: list[str], path: str, entry: os.DirEntry[str], raw: bool) -> None:
    try:
        info = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    except OSError as error:
        listing.left_out.append(LeftOut(path, f"can't be read: {error.strerror}", 0))
        return
    if not raw and entry.name != ".git" and entry.name.lower() == ".git":
        listing.left_out.append(LeftOut(path, "has a name that git can't hold", info.st_size))
    elif stat.S_ISDIR(info.st_mode):
        folders.append(path)
    elif stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode):
        listing.files[path] = seen(entry.path, info)
    else:
        # It has no content that could be kept, so it stands in nobody's way.
        listing.left_out.append(LeftOut(path, f"is a {_kind(info.st_mode)}", 0, blocks=False))


def _kind(mode: int) -> str:
    if stat.S_ISSOCK(mode):
        return "socket"
    return "named pipe" if stat.S_ISFIFO(mode) else "device"
