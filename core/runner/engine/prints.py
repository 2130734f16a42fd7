"""What a handler prints goes to its attempt's log: the worker's own stdout is data."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_thread = threading.local()


class _Router(io.TextIOBase):
    """Stands for sys.stdout: a thread inside `into` writes there, every other one to the real stream."""

    def __init__(self, real: IO[str]) -> None:
        self._real = real

    def write(self, text: str) -> int:
        sink: Callable[[str], None] | None = getattr(_thread, "sink", None)
        if sink is None:
            return self._real.write(text)
        sink(text)
        return len(text)

    def flush(self) -> None:
        self._real.flush()

    def isatty(self) -> bool:
        return self._real.isatty()

    def fileno(self) -> int:
        return self._real.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(getattr(self._real, "encoding", "utf-8"))

    @property
    def buffer(self) -> object:
        return getattr(self._real, "buffer", None)


@contextlib.contextmanager
def routed() -> Iterator[None]:
    """While this lasts, `into` works."""
    real = sys.stdout
    if real is not None:
        sys.stdout = _Router(real)
    try:
        yield
    finally:
        sys.stdout = real


@contextlib.contextmanager
def into(log: Callable[[str], None]) -> Iterator[None]:
    """What this thread prints is logged, a line at a time."""
    rest = ""

    def sink(text: str) -> None:
        nonlocal rest
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            log(line)

    _thread.sink = sink
    try:
        yield
    finally:
        _thread.sink = None
        if rest:
            log(rest)
