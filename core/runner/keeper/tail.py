"""Following a log that the keeper writes, while it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PIECE = 256 << 10
"""Bytes given to the callback at once, at most."""


class Tail:
    """Reads a growing log; an exception of the callback is kept until the tree is gone."""

    def __init__(self, path: Path, on_output: Callable[[bytes], None]) -> None:
        self._path = path
        self._on_output = on_output
        self._file: Any = None
        self._error: BaseException | None = None

    def read(self) -> bool:
        """Pass on what is there now; False when the callback has failed."""
        if self._file is None:
            self._file = self._path.open("rb", buffering=0)
        while self._error is None and (data := self._file.read(PIECE)):
            try:
                self._on_output(data)
            except BaseException as error:
                self._error = error
        return self._error is None

    def finish(self) -> None:
        """Pass on the rest, or raise what the callback raised."""
        self.read()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
