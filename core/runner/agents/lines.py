"""JSON objects out of a stream of bytes in which anything else may stand as well, cut anywhere."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_OBJECT: Final = re.compile(r'\{\s*"')
_DECODER: Final = json.JSONDecoder(strict=False)
_TRIES: Final = 64
"""How often one damaged line is searched for an object: bounds the time that garbage can cost."""


class JsonLines:
    """Feed it bytes, get the objects of the complete lines; it never raises, and its memory is bounded.

    Lines that are no JSON are passed over. Two objects on one line, an object after other text, and one
    that was written into the middle of another are found; of such, only those with the key `mark`
    count. A line longer than `limit` bytes is dropped. The result does not depend on how the bytes are cut.
    """

    def __init__(self, mark: str = "type", limit: int = 8 << 20) -> None:
        self._mark = mark
        self._limit = limit
        self._pending: list[bytes] = []
        self._size = 0
        self._dropping = False
        self._torn = ""
        self.dropped = 0

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The objects that the bytes complete."""
        end = data.rfind(b"\n")
        if end < 0:
            self._hold(data)
            return []
        self._hold(data[: data.index(b"\n") + 1])
        first = b"".join(self._pending)
        if self._dropping:
            self.dropped, first = self.dropped + 1, b""
        self._pending, self._size, self._dropping = [], 0, False
        found = self._line(first) if b"{" in first or self._torn else []
        middle = data[data.index(b"\n") + 1 : end + 1]
        if b"{" in middle or self._torn:
            for line in middle.split(b"\n"):
                if b"{" in line or self._torn:
                    found += self._line(line)
        self._hold(data[end + 1 :])
        return found

    def close(self) -> list[dict[str, Any]]:
        """The objects of a last line without its end."""
        found = self.feed(b"\n")
        self._torn = ""
        return found

    def _hold(self, data: bytes) -> None:
        """Keep the part of a line that may become an object."""
        self._size += len(data)
        if self._size > self._limit:
            self._dropping, self._pending = True, []
        elif data and not self._dropping and (self._pending or self._torn or b"{" in data or b"[" in data):
            self._pending.append(data)

    def _line(self, line: bytes) -> list[dict[str, Any]]:
        if len(line) > self._limit:
            self.dropped += 1
            return []
        text = line.decode("utf-8", "replace").strip()
        if self._torn:
            whole = _decode(self._torn + text)
            self._torn = ""
            if isinstance(whole, dict):
                return [whole]
        value = _decode(text)
        if isinstance(value, dict):
            return [value]
        if isinstance(value, list):
            return [item for item in value if isinstance(item, dict)]
        return self._salvage(text)

    def _salvage(self, text: str) -> list[dict[str, Any]]:
        """Objects of a line that is not one: glued together, after other text, or one inside another."""
        found: list[dict[str, Any]] = []
        place = last = 0
        for _ in range(_TRIES):
            match = _OBJECT.search(text, place)
            if match is None:
                break
            try:
                value, end = _DECODER.raw_decode(text, match.start())
            except (ValueError, RecursionError):
                place = match.start() + 1
                continue
            if isinstance(value, dict) and self._mark in value:
                found.append(value)
                before, after = text[last : match.start()].lstrip(), text[end:]
                if before.startswith("{"):
                    outer = _decode(before + after)
                    if isinstance(outer, dict):
                        return [*found, outer]
                    if not after.strip():
                        self._torn = before
                last = end
            elif not text[last : match.start()].strip():
                last = end
            place = end
        return found


def _decode(text: str) -> Any:
    if text[:1] not in ("{", "["):
        return None
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
