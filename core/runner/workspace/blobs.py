"""Reads files as git blobs: their object ids, and their bytes exactly as they are on disk (no filters)."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Any, Final

from runner.workspace.walk import Seen, seen

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL: Final = 1 << 20
"""Files up to this size are read whole; larger ones are streamed."""

_CHUNK: Final = 1 << 18


class Hasher:
    """Object ids by the repository's algorithm, told by the length of one of its ids."""

    def __init__(self, example: str) -> None:
        self.name = "sha256" if len(example) == 64 else "sha1"

    def start(self, size: int) -> Any:
        # Not for security: it has to be what git uses.
        return hashlib.new(self.name, b"blob %d\0" % size, usedforsecurity=False)

    def data(self, content: bytes) -> str:
        """The id of a blob with this content."""
        digest = self.start(len(content))
        digest.update(content)
        return str(digest.hexdigest())

    def file(self, path: str) -> str | None:
        """The id of the file or symlink at `path`; None when it vanished or is something else."""
        try:
            info = os.lstat(path)
            if stat.S_ISLNK(info.st_mode):
                return self.data(os.fsencode(os.readlink(path)))
            with opened(path) as (fd, now):
                digest = self.start(now.size)
                left = now.size
                while left and (chunk := os.read(fd, min(_CHUNK, left))):
                    digest.update(chunk)
                    left -= len(chunk)
                return None if left else str(digest.hexdigest())
        except (FileNotFoundError, NotADirectoryError, NotRegular):
            return None


class NotRegular(Exception):
    """What is at a path now is no regular file any more."""


@contextlib.contextmanager
def opened(path: str) -> Iterator[tuple[int, Seen]]:
    """Open a regular file → (fd, what it is now). Neither waits on a pipe nor follows a symlink put there since."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # ELOOP: it is a symlink now; ENXIO: a socket.
        if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError):
            raise
        raise NotRegular(path) from None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise NotRegular(path)
        yield fd, seen(path, info)
    finally:
        os.close(fd)


def read_small(fd: int, limit: int) -> bytes:
    """Everything up to `limit` bytes and one more, so that a file that grew shows."""
    parts = []
    left = limit + 1
    while left and (chunk := os.read(fd, min(_CHUNK, left))):
        parts.append(chunk)
        left -= len(chunk)
    return b"".join(parts)


def chunks(fd: int, size: int) -> Iterator[bytes]:
    """Up to `size` bytes of an open file, piece by piece."""
    left = size
    while left and (chunk := os.read(fd, min(_CHUNK, left))):
        yield chunk
        left -= len(chunk)
