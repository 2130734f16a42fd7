"""Wake-up between the processes of one host: a datagram to each waiting worker. A hint, never the truth."""

from __future__ import annotations

import contextlib
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

# `hashlib`, `select` and `socket` are imported where they are used: commands that only read ping nobody.
if TYPE_CHECKING:
    import socket

_KINDS = {b"w": "work", b"c": "cancel", b"x": "wake"}


def folder(of: str) -> Path:
    """Where the sockets of a store are: short, since a socket's path may have 107 bytes; mode 0700, ours."""
    import hashlib

    runtime = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(runtime) / "runner" if runtime else Path(f"/tmp/runner-{os.getuid()}")
    return base / hashlib.sha256(of.encode()).hexdigest()[:16]


def _ours(path: Path) -> bool:
    """Nobody else may own the folder: in /tmp anybody could have made it."""
    try:
        stat = path.lstat()
    except OSError:
        return False
    return stat.st_uid == os.getuid() and not path.is_symlink()


class Pings:
    """Sends pings, and receives those meant for this process once it waits."""

    def __init__(self, of: str) -> None:
        self._of = of
        self._socket: socket.socket | None = None
        self._path: Path | None = None
        self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()

    @cached_property
    def _folder(self) -> Path:
        return folder(self._of)

    def listen(self) -> None:
        """Make this process's socket; without one (no folder, path too long) polling alone remains."""
        import socket

        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            if not _ours(self._folder.parent) or not _ours(self._folder):
                return
            path = self._folder / f"{os.getpid()}-{id(self) & 0xFFFF:x}"
            path.unlink(missing_ok=True)
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind(os.fspath(path))
            self._socket, self._path = sock, path

    def send(self, kinds: set[str]) -> None:
        """Tell every waiting process; a socket that nobody reads is removed."""
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        if not names:
            return
        folder, send = os.fspath(self._folder), self._sender.sendto
        for name in names:
            path = f"{folder}/{name}"
            try:
                for kind in kinds:
                    send(kind[:1].encode(), path)
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            except OSError:
                continue  # its queue is full: it will look soon enough

    @cached_property
    def _sender(self) -> socket.socket:
        import socket

        sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sender.setblocking(False)
        return sender

    def wait(self, timeout: float) -> str:
        """What woke us within `timeout` seconds: "", "work", "cancel" or "wake" (the most urgent one)."""
        import select

        if self._socket is None:
            self.listen()
        watched: list[int] = [self._wake[0]]
        if self._socket is not None:
            watched.append(self._socket.fileno())
        ready = select.select(watched, [], [], max(0.0, timeout))[0]
        if not ready:
            return ""
        heard = {_KINDS.get(byte, "work") for byte in self._drain()}
        return "cancel" if "cancel" in heard else "work" if "work" in heard else "wake"

    def _drain(self) -> set[bytes]:
        import select

        heard: set[bytes] = set()
        with contextlib.suppress(BlockingIOError):
            while self._socket is not None:
                heard.add(self._socket.recv(16)[:1])
        with contextlib.suppress(BlockingIOError):
            if select.select([self._wake[0]], [], [], 0)[0] and os.read(self._wake[0], 4096):
                heard.add(b"x")
        return heard

    def wake(self) -> None:
        """End this process's own `wait`; safe in a signal handler."""
        with contextlib.suppress(OSError):
            os.write(self._wake[1], b"x")

    def close(self) -> None:
        """Remove the socket."""
        if self._socket is not None:
            self._socket.close()
        if "_sender" in self.__dict__:
            self._sender.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        for fd in self._wake:
            with contextlib.suppress(OSError):
                os.close(fd)
