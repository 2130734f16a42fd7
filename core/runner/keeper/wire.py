"""The messages between a keeper and its client: a length, then JSON, over a stream socket that can pass descriptors."""

from __future__ import annotations

import json
import os
import socket

TYPE_CHECKING = False  # importing `typing` would cost the keeper's start 4 ms
if TYPE_CHECKING:
    from typing import Any

_HEADER = 4
_CHUNK = 1 << 16


def encode(message: dict[str, Any]) -> bytes:
    """A message as it goes over the socket. Undecodable bytes in names travel as lone surrogates."""
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    return len(body).to_bytes(_HEADER, "big") + body


class Inbox:
    """The receiving side: whole `messages` and the descriptors (`fds`) that came with them, in order."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._data = bytearray()
        self.messages: list[dict[str, Any]] = []
        self.fds: list[int] = []

    def receive(self) -> bool:
        """Add the messages that one read completes, perhaps none; False when the other side is gone."""
        try:
            data, fds, _flags, _address = socket.recv_fds(self._sock, _CHUNK, 1)
        except OSError:
            return False
        for fd in fds:
            os.set_inheritable(fd, False)  # a received descriptor is born inheritable
        self.fds += fds
        self._data += data
        while len(self._data) >= _HEADER:
            end = _HEADER + int.from_bytes(self._data[:_HEADER], "big")
            if len(self._data) < end:
                break
            self.messages.append(json.loads(self._data[_HEADER:end]))
            del self._data[:end]
        return bool(data)
