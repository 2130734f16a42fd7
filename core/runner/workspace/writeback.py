"""Writes a snapshot back to disk, byte for byte: files, symlinks, empty folders, nested repositories."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, Final

from runner.errors import GitError
from runner.workspace.index import Known
from runner.workspace.nested import FILES, GIT
from runner.workspace.snapshot import parse_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from runner.workspace.git import Git
    from runner.workspace.importer import Row

_CHUNK: Final = 1 << 18


def read_about(git: Git, commit: str) -> dict[str, Any] | None:
    """What the snapshot `commit` says besides its tree; None when it is no snapshot of the runner."""
    code, out, _ = git.attempt("cat-file", "commit", commit)
    about = parse_message(_message(out)) if code == 0 else None
    return about if about is not None and "runner" in about else None


def write_whole(git: Git, commit: str, about: dict[str, Any], into: Path) -> int:
    """Write all of a snapshot into an empty folder → how many files."""
    rows = list(_tree(git, commit))
    write_rows(git, rows, into, about.get("private", []))
    _make_folders(about, into)
    return len(rows) + write_nested(git, about, into)


def write_difference(git: Git, commit: str, about: dict[str, Any], into: Path) -> None:
    """Turn a checkout of the snapshot's HEAD in `into` into what the snapshot holds."""
    out = git.run("diff-tree", "-r", "-z", "--no-renames", about["head"], commit).split(b"\0")
    rows = []
    for said, raw in zip(out[::2], out[1::2], strict=False):
        _, mode, _, oid, letter = said.decode("ascii").split(" ")
        path = os.fsdecode(raw)
        if letter == "D":
            _remove(into, path)
        elif mode != "160000":
            rows.append((path, mode, oid))
    write_rows(git, rows, into, about.get("private", []))
    _make_folders(about, into)
    write_nested(git, about, into)


def write_nested(git: Git, about: dict[str, Any], into: Path) -> int:
    """Write the nested repositories that a snapshot names → how many files."""
    count = 0
    for path, (_, commit) in sorted(about.get("nested", {}).items()):
        inner = read_about_nested(git, commit)
        folder = into / _checked(path)
        rows = list(_tree(git, commit))
        # A git directory first: with it, the folder counts as a repository from its first file on.
        rows.sort(key=lambda row: row[0].startswith(f"{FILES}/"))
        moved = [(_placed(row[0]), row[1], row[2]) for row in rows]
        private = inner.get("private", [])
        write_rows(git, moved, folder, [_placed(p) for p in private] if isinstance(private, list) else private)
        _make_folders({"dirs": [_placed(path) for path in inner.get("dirs", [])]}, folder)
        _git_link(git, inner, folder)
        count += len(rows)
    return count


def stored_trees(git: Git, commit: str, about: dict[str, Any]) -> dict[str, dict[str, Known]]:
    """What a snapshot holds, as the index of a worktree has it: "" and nested repositories, path → object."""
    commits = {"": commit, **{path: row[1] for path, row in about.get("nested", {}).items()}}
    return {path: {name: Known(mode, oid) for name, mode, oid in _tree(git, one)} for path, one in commits.items()}


def read_about_nested(git: Git, commit: str) -> dict[str, Any]:
    """What a nested repository's snapshot says."""
    about = parse_message(_message(git.run("cat-file", "commit", commit)))
    if about is None:
        raise GitError(f"{commit} is not a snapshot of a nested repository")
    return about


def _message(commit: bytes) -> str:
    return commit.partition(b"\n\n")[2].decode("utf-8", "replace")


def write_rows(git: Git, rows: Iterable[Row], into: Path, private: list[str] | bool) -> None:
    """Write blobs to their places, over what is in the way of one; `private` ones are for their owner alone."""
    rows = list(rows)
    alone = frozenset(private) if isinstance(private, list) else None
    for (path, mode, _), (size, source) in zip(rows, _blobs(git, [row[2] for row in rows]), strict=True):
        _make_room(into, _checked(path))
        target = into / path
        if mode == "120000":
            os.symlink(os.fsdecode(source.read(size)), target)
            continue
        bits = 0o777 if mode == "100755" else 0o666
        if path in alone if alone is not None else private:
            bits &= 0o700
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, bits)
        with open(fd, "wb") as file:
            while size:
                chunk = source.read(min(size, _CHUNK))
                if not chunk:
                    raise GitError(f"git ended while {target} was written")
                size -= file.write(chunk)


def _tree(git: Git, commit: str) -> Iterator[Row]:
    for row in git.run("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        about, _, raw = row.partition(b"\t")
        if row and not about.startswith(b"160000"):
            mode, _, oid = about.decode("ascii").split(" ")
            yield os.fsdecode(raw), mode, oid


def _blobs(git: Git, oids: list[str]) -> Iterator[tuple[int, IO[bytes]]]:
    """(size, source) of each blob, in order; exactly `size` bytes have to be read before the next."""
    if not oids:
        return
    import tempfile
    import threading

    with tempfile.TemporaryFile() as errors:
        process = git.stream("cat-file", "--batch", stderr=errors)
        assert process.stdin is not None
        assert process.stdout is not None
        asked = process.stdin

        def ask() -> None:
            # Its own thread: git answers while it is still being asked.
            try:
                asked.write("".join(f"{oid}\n" for oid in oids).encode("ascii"))
                asked.close()
            except BrokenPipeError:
                pass

        asker = threading.Thread(target=ask, daemon=True)
        asker.start()
        try:
            for oid in oids:
                said = process.stdout.readline().split()
                if len(said) != 3:
                    raise GitError(f"the object {oid} is missing in {git.directory}")
                yield int(said[2]), process.stdout
                process.stdout.read(1)
        finally:
            process.kill()
            process.stdout.close()
            asker.join()
            process.wait()


def _make_folders(about: dict[str, Any], into: Path) -> None:
    for path in about.get("dirs", []):
        (into / _checked(path)).mkdir(parents=True, exist_ok=True)


def _git_link(git: Git, about: dict[str, Any], folder: Path) -> None:
    link = folder / ".git"
    kind, text = about.get("git"), about.get("text", "")
    if kind == "folder" and about.get("moved") and (link / "config").is_file():
        # It used to say where its files are; now they are beside it.
        git.attempt("config", "--file", str(link / "config"), "--unset", "core.worktree")
    elif kind == "link" and not os.path.lexists(link):
        folder.mkdir(parents=True, exist_ok=True)
        os.symlink(text, link)
    elif kind == "file" and not os.path.lexists(link) and _points_somewhere(folder, text):
        link.write_bytes(os.fsencode(text))


def _points_somewhere(folder: Path, text: str) -> bool:
    # The one of a linked worktree is not written: two folders must not claim to be the same worktree.
    target = folder / text.removeprefix("gitdir: ").rstrip("\n")
    folder.mkdir(parents=True, exist_ok=True)
    return text.startswith("gitdir: ") and target.is_dir() and not (target / "commondir").exists()


def _placed(path: str) -> str:
    """A path of a nested repository's tree → where it goes in the repository's folder."""
    top, _, rest = path.partition("/")
    return f".git/{rest}" if top == GIT else rest


def _checked(path: str) -> str:
    """`path` itself: relative, and without a way out of the folder it is written to."""
    if path.startswith("/") or any(word in ("", "..", ".") for word in path.split("/")):
        raise GitError(f"a snapshot names the path '{path}', which leads elsewhere")
    return path


def _make_room(into: Path, path: str) -> None:
    """Real folders above `path`, nothing at it; only what is in the way goes, and it comes from HEAD."""
    place = into
    place.mkdir(parents=True, exist_ok=True)
    *folders, _ = path.split("/")
    for name in folders:
        place = place / name
        if os.path.lexists(place) and (place.is_symlink() or not place.is_dir()):
            place.unlink()
        place.mkdir(exist_ok=True)
    target = into / path
    if target.is_dir() and not target.is_symlink():
        # The folder lost its files to earlier rows; only empty ones can be left.
        for folder, _, _ in os.walk(target, topdown=False):
            os.rmdir(folder)
    elif os.path.lexists(target):
        target.unlink()


def _remove(into: Path, path: str) -> None:
    target = into / _checked(path)
    try:
        if any(parent.is_symlink() for parent in target.parents if parent.is_relative_to(into) and parent != into):
            return
        target.unlink()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return
    for parent in target.parents:
        if parent == into:
            return
        try:
            parent.rmdir()
        except OSError:
            return
