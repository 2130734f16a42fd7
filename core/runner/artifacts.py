"""Artifacts as data: names, media types, the files that globs mean, and what a store of blobs offers."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from runner import globs
from runner.errors import LimitReached, NotFound, StoreError, UsageError
from runner.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runner.model import Artifact

CHUNK: Final = 1 << 20
"""Bytes that are held in memory while a blob is copied."""

_TYPES: Final = {
    ".jsonl": "application/x-ndjson",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".patch": "text/x-diff",
    ".diff": "text/x-diff",
    ".toml": "application/toml",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
_INVISIBLE: Final = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad\u061c\u200e\u200f")
"""Characters that make two names look like one; with them the bidirectional overrides (below)."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes in an artifact store: how many, and their digest, which is also their key."""

    sha256: str
    size: int


class ArtifactStore(Protocol):
    """Where blobs are kept, by digest. `open_artifact_store(url)` makes one; safe to use from several threads."""

    url: str

    def put(self, source: BinaryIO) -> Blob:
        """Take all bytes of `source`; the blob is visible only when it is whole. Bounded memory."""
        ...

    def get(self, sha256: str) -> BinaryIO:
        """A stream of the blob's bytes; NotFound when it is not here."""
        ...

    def stat(self, sha256: str) -> Blob | None: ...
    def delete(self, sha256: str) -> bool:
        """Forget the blob → whether it was here. Whether anything still needs it is the caller's to know."""
        ...

    def presign(self, sha256: str, name: str = "", seconds: float = 3600.0) -> str:
        """A link with which a person reads the blob for a while."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Found:
    """A file that a glob meant: its `name` (the path in the workspace) and the real file behind it."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Collected:
    """What globs meant: `files`, sentences about those that are `refused`, globs with no match (`missing`)."""

    files: tuple[Found, ...] = ()
    refused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


def media_type(name: str) -> str:
    """The media type that the name suggests, the same on every machine; `application/octet-stream` if none."""
    import mimetypes  # here: only an upload needs it

    suffix = Path(name).suffix.lower()
    # An own table: the system's differ from machine to machine.
    guess = _TYPES.get(suffix) or mimetypes.MimeTypes(filenames=()).guess_type(name)[0]
    return guess or "application/octet-stream"


def check_name(name: str) -> str:
    """The name in its one normal form (NFC); UsageError when it could be taken for a path out of its folder."""
    reason = _fault(name)
    if reason:
        raise UsageError(f"artifact name {_shown(name)} {reason}", "use a relative name such as shots/home.png")
    return unicodedata.normalize("NFC", name)


def _fault(name: str) -> str | None:
    if not name:
        return "is empty"
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "has bytes that are not UTF-8"
    if size > 1024:
        return f"is {size} bytes long (at most 1024)"
    for char in name:
        category = unicodedata.category(char)
        bidi = unicodedata.bidirectional(char) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        if category in ("Cc", "Zl", "Zp") or char in _INVISIBLE or bidi:
            return f"has the control character U+{ord(char):04X}"
    if name.startswith("/"):
        return "is absolute"
    if "\\" in name:
        return "has a backslash"
    parts = name.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty, '.' or '..' part"
    if any(len(part.encode()) > 255 for part in parts):
        return "has a part of more than 255 bytes"
    # NFKC turns look-alikes into what they look like: one that then reads as a path is refused.
    plain = unicodedata.normalize("NFKC", name).translate(_LOOK_ALIKES)
    if plain.count("/") != name.count("/") or "\\" in plain or any(p in (".", "..") for p in plain.split("/")):
        return "has a character that looks like a path separator or a dot"
    return None


_LOOK_ALIKES: Final = str.maketrans(dict.fromkeys("⁄∕⧸╱〳", "/") | dict.fromkeys("∖⧵⧹╲", "\\") | {"․": "."})


def _shown(name: str) -> str:
    text = ascii(name)
    return text if len(text) <= 80 else f"{text[:77]}…'"


def collect(patterns: Iterable[str], root: Path, *, max_files: int = 1000, max_size: int = 1 << 30) -> Collected:
    """The files below `root` that the globs mean, by name; `max_size` is bytes a file.

    `*` and `**` leave out names that start with a dot unless the glob says the dot; a folder means all
    files in it. A link is followed only while its target stays below `root`; `**` follows none.
    """
    patterns = tuple(patterns)
    if not patterns:
        return Collected((), (), ())
    top = Path(os.path.realpath(root))
    files: dict[str, Found] = {}
    refused: dict[str, None] = {}
    missing: list[str] = []
    for pattern in patterns:
        words = [word for word in pattern.split("/") if word not in ("", ".")]
        if pattern.startswith("/") or ".." in words or not words or "\0" in pattern:
            raise UsageError(f"artifact glob {_shown(pattern)} does not stay in the workspace", "use a relative glob")
        matched = False
        for name in _expand(top, "", words):
            matched = True
            if name in files:
                continue
            found = _judge(top, name, max_size)
            if isinstance(found, str):
                refused[found] = None
            elif len(files) >= max_files:
                refused[f"more than {max_files} files match; those after '{max(files)}' are not kept"] = None
                return _collected(files, refused, missing)
            else:
                files[name] = found
        if not matched:
            missing.append(pattern)
    return _collected(files, refused, missing)


def _collected(files: dict[str, Found], refused: dict[str, None], missing: list[str]) -> Collected:
    return Collected(tuple(files[name] for name in sorted(files)), tuple(refused), tuple(missing))


def _judge(top: Path, name: str, max_size: int) -> Found | str:
    """The file behind the name, or the sentence that refuses it."""
    fault = _fault(name)
    if fault:
        return f"artifact name {_shown(name)} {fault}"
    real = Path(os.path.realpath(top / name))
    if not real.is_relative_to(top) or ".git" in real.relative_to(top).parts:
        return f"'{name}' is a symbolic link that leaves the workspace"
    try:
        status = real.lstat()
    except OSError as error:
        return f"'{name}' can't be read: {error.strerror}"
    if not stat.S_ISREG(status.st_mode):
        return f"'{name}' is not a regular file"
    if status.st_size > max_size:
        return f"'{name}' has {status.st_size} bytes (at most {max_size})"
    return Found(name, real, status.st_size)


def _expand(top: Path, prefix: str, words: list[str]) -> Iterator[str]:
    """Names of files (or what is no folder) that the words mean below `prefix`, in order."""
    if not words:
        yield from _below(top, prefix)
        return
    word, rest = words[0], words[1:]
    if word == "**":
        yield from _expand(top, prefix, rest or ["*"])
        for entry in _entries(top / prefix):
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _expand(top, f"{prefix}{entry.name}/", words)
        return
    if globs.is_glob(word):
        regex = re.compile(globs.segment(word) + r"\Z", re.DOTALL)
        names = [e.name for e in _entries(top / prefix) if regex.match(e.name) and _dots_agree(e.name, word)]
    else:
        names = [word] if os.path.lexists(top / prefix / word) else []
    for name in names:
        if name == ".git":
            continue
        path = f"{prefix}{name}"
        folder, inside = os.path.isdir(top / path), _folder_inside(top, path)
        if folder and not inside:
            yield path
        elif rest:
            if inside:
                yield from _expand(top, path + "/", rest)
        elif not folder:
            yield path
        elif word == name:
            yield from _below(top, path + "/")


def _dots_agree(name: str, word: str) -> bool:
    return not name.startswith(".") or word.startswith(".")


def _folder_inside(top: Path, path: str) -> bool:
    real = Path(os.path.realpath(top / path))
    return real.is_dir() and real.is_relative_to(top)


def _below(top: Path, prefix: str) -> Iterator[str]:
    for entry in _entries(top / prefix):
        if entry.name == ".git":
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(top, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []


def keep(store: ArtifactStore, artifact: Artifact, source: Path) -> Artifact:
    """Put the file into the store → the artifact with `ref`, `size`, `sha256` of the bytes that were taken."""
    name = check_name(artifact.name)
    try:
        # NONBLOCK: opening a pipe that took the file's place must not wait for its writer.
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"artifact '{name}': can't read {source}: {error.strerror}") from None
    with open(handle, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UsageError(f"artifact '{name}': {source} is not a regular file")
        blob = store.put(file)
    return replace(
        artifact,
        name=name,
        type=artifact.type or media_type(name),
        ref=artifact.ref or new_id(),
        size=blob.size,
        sha256=blob.sha256,
    )


def fetch(store: ArtifactStore, artifact: Artifact, target: Path) -> None:
    """Write the artifact's bytes to `target`, which appears only when size and digest are right."""
    digest, size = hashlib.sha256(), 0
    part = target.with_name(f".{target.name[:200]}.{new_id()}.part")
    try:
        with store.get(artifact.sha256) as source, open(part, "xb") as out:
            while data := source.read(CHUNK):
                digest.update(data)
                size += len(data)
                out.write(data)
        if digest.hexdigest() != artifact.sha256:
            raise StoreError(
                f"artifact '{artifact.name}' ({artifact.ref}) is damaged: its {size} bytes have another digest",
                "upload it again; the artifact store is not to be trusted",
            )
        os.replace(part, target)
    except OSError as error:
        raise (LimitReached if error.errno == errno.ENOSPC else UsageError)(
            f"can't write {target}: {error.strerror}"
        ) from None
    finally:
        part.unlink(missing_ok=True)


def absent(sha256: str, url: str) -> NotFound:
    """The error for a blob that a store does not have."""
    return NotFound(f"no blob {sha256[:12]}… in the artifact store {url}")
