"""Text out of the log files of processes: the whole when it is small, else the end; never more than asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

OUTPUT_LIMIT: Final = 1 << 20
"""Bytes of output that a step's result holds; of more it names the log."""


def whole(path: Path, limit: int = OUTPUT_LIMIT) -> str | None:
    """The file's text without its trailing newlines; None when it has more than `limit` bytes."""
    data = _end(path, limit + 1)
    return None if len(data) > limit else data.decode("utf-8", "replace").rstrip("\r\n")


def tail(path: Path, lines: int = 15, size: int = 4096) -> str:
    """The last lines that are not blank, at most `size` bytes of them."""
    text = _end(path, size * 4).decode("utf-8", "replace")
    last = [line.rstrip() for line in text.splitlines() if line.strip()][-lines:]
    out = "\n".join(line if len(line) <= 400 else f"{line[:399]}…" for line in last)
    return out[-size:]


def last_line(path: Path) -> str:
    """The last line that is not blank, else an empty text."""
    return tail(path, 1).strip()


def _end(path: Path, size: int) -> bytes:
    try:
        with open(path, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            file.seek(max(0, length - size))
            return file.read(size)
    except OSError:
        return b""
