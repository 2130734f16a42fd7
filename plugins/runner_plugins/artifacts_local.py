"""Artifacts in a local folder, stored by content, and the default answer to `upload_artifact`."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from runner import hookimpl
from runner.artifacts import CHUNK, ArtifactStore, Blob, absent, keep
from runner.errors import StoreError, UsageError

if TYPE_CHECKING:
    from runner.model import Artifact


@hookimpl
def open_artifact_store(url: str) -> ArtifactStore | None:
    """`file:///DIR`: a folder of this machine, made when it is missing."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/") or parts.query or parts.fragment:
        raise UsageError(f"artifact store '{url}' is not a folder of this machine", "write file:///ABSOLUTE/DIR")
    return LocalArtifacts(Path(unquote(parts.path)))


@hookimpl(trylast=True)
def upload_artifact(artifact: Artifact, source: Path, store: ArtifactStore) -> Artifact:
    """Give the bytes to the configured store, whichever it is, and note their size and digest."""
    return keep(store, artifact, source)


class LocalArtifacts:
    """Blobs under `folder`/ab/cdef… by SHA-256: the same bytes are kept once, and a blob is never half there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder.as_uri()

    def put(self, source: BinaryIO) -> Blob:
        """Copy into a temporary file of the same folder, sync, rename: a reader sees all of it or nothing."""
        digest, size = hashlib.sha256(), 0
        part = ""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, part = tempfile.mkstemp(prefix=".part-", dir=self.folder)
            with open(handle, "wb", buffering=0) as out:
                while data := source.read(CHUNK):
                    digest.update(data)
                    size += len(data)
                    _write_all(out, data)
                key = digest.hexdigest()
                target = self._path(key)
                if _size(target) == size and _digest(target) == key:  # a damaged one is replaced
                    return Blob(key, size)
                os.fchmod(out.fileno(), 0o444)
                os.fsync(out.fileno())
            target.parent.mkdir(exist_ok=True)
            os.replace(part, target)
            _sync_folder(target.parent)
            _sync_folder(self.folder)
            return Blob(key, size)
        except OSError as error:
            raise self._error(error) from None
        finally:
            if part:
                with contextlib.suppress(OSError):
                    os.unlink(part)

    def get(self, sha256: str) -> BinaryIO:
        try:
            return open(self._path(sha256), "rb")
        except FileNotFoundError:
            raise absent(sha256, self.url) from None
        except OSError as error:
            raise self._error(error) from None

    def stat(self, sha256: str) -> Blob | None:
        size = _size(self._path(sha256))
        return None if size is None else Blob(sha256, size)

    def delete(self, sha256: str) -> bool:
        try:
            self._path(sha256).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._error(error) from None
        return True

    def presign(self, sha256: str, name: str = "", seconds: float = 3600.0) -> str:
        """The blob's own file URL: whoever may read the folder may read it, for as long as it is there."""
        if self.stat(sha256) is None:
            raise absent(sha256, self.url)
        return self._path(sha256).as_uri()

    def close(self) -> None:
        """Nothing is held open."""

    def _path(self, sha256: str) -> Path:
        if len(sha256) != 64 or not all(char in "0123456789abcdef" for char in sha256):
            raise UsageError(f"'{sha256[:80]}' is not a SHA-256 digest", "give 64 hexadecimal digits")
        return self.folder / sha256[:2] / sha256[2:]

    def _error(self, error: OSError) -> StoreError:
        reasons = {
            errno.ENOSPC: ("is full", "make room or set another folder under `artifacts:`"),
            errno.EDQUOT: ("is over its quota", "make room or set another folder under `artifacts:`"),
            errno.EROFS: ("is read-only", "set another folder under `artifacts:`"),
            errno.EACCES: ("may not be used by this user", "change its permissions or set another folder"),
        }
        what, hint = reasons.get(error.errno or 0, (f"can't be used: {error.strerror or error}", ""))
        return StoreError(f"the artifact store {self.folder} {what}", hint)


def _write_all(out: BinaryIO, data: bytes) -> None:
    # An unbuffered file may take only a part of what it is given.
    view = memoryview(data)
    while view:
        view = view[out.write(view) :]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _digest(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
