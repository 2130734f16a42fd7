"""An artifact store whose uploads and downloads tell how far they are, whatever store it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from runner.artifacts import ArtifactStore, Blob


class WatchedStore:
    """The `ArtifactStore` behind it; `told` hears how many bytes of the one blob in hand have gone by."""

    def __init__(self, store: ArtifactStore, told: Callable[[int], None]) -> None:
        self._store = store
        self._told = told
        self.url = store.url

    def put(self, source: BinaryIO) -> Blob:
        return self._store.put(cast("BinaryIO", _Counted(source, self._told)))

    def get(self, sha256: str) -> BinaryIO:
        return cast("BinaryIO", _Counted(self._store.get(sha256), self._told))

    def stat(self, sha256: str) -> Blob | None:
        return self._store.stat(sha256)

    def delete(self, sha256: str) -> bool:
        return self._store.delete(sha256)

    def presign(self, sha256: str, name: str = "", seconds: float = 3600.0) -> str:
        return self._store.presign(sha256, name, seconds)

    def close(self) -> None:
        self._store.close()


class _Counted:
    """A stream of bytes that tells its place after each read; all else is the stream's own."""

    def __init__(self, stream: BinaryIO, told: Callable[[int], None]) -> None:
        self._stream = stream
        self._told = told
        self._count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._count += len(data)
        self._told(self._count)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._count = self._stream.seek(offset, whence)  # a store that tries again starts anew
        return self._count

    def __enter__(self) -> _Counted:
        self._stream.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
