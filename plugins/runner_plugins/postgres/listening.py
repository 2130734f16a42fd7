"""Waiting for work: LISTEN on a connection of its own, regained when it is lost, ended by `wake()` at any time.

A notice is a hint. Whoever waits looks by himself from time to time, and whenever a connection is new.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg

from runner.errors import StoreError
from runner_plugins.postgres.session import channel

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner_plugins.postgres.address import Address

_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 30.0


class Listener:
    """One waiter at a time. Connecting happens in a thread of its own, so that a dead host never delays `wake()`."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: psycopg.Connection[Any] | None = None
        self._waiting = threading.Lock()
        self._seeking: threading.Thread | None = None
        self._found: psycopg.Connection[Any] | None = None
        self._handover = threading.Lock()
        self._ended = threading.Event()
        self._hear, self._tell = os.pipe()
        for end in (self._hear, self._tell):
            os.set_blocking(end, False)

    def wait(self, timeout: float, look: Callable[[], bool]) -> str:
        """What ended the wait: "" (time), "work", "cancel" or "wake"; the most urgent one of what came.

        `look` tells whether there is work; asked when a connection is new, since nobody told us before.
        """
        end = time.monotonic() + timeout
        if not self._waiting.acquire(timeout=max(0.0, timeout)):
            return ""
        try:
            while not self._ended.is_set():
                # Notices that came along with earlier input are not announced by the socket again.
                heard = self._drain(look)
                if self._connection is None:
                    self._seek()
                watched = select.poll()
                watched.register(self._hear, select.POLLIN)
                if self._connection is not None:
                    watched.register(self._connection.fileno(), select.POLLIN)
                if not heard and watched.poll(max(0.0, end - time.monotonic()) * 1000):
                    heard = self._drain(look)
                for kind in ("cancel", "work", "wake"):
                    if kind in heard:
                        return kind
                if time.monotonic() >= end:
                    return ""
            return "wake"
        finally:
            self._waiting.release()

    def _drain(self, look: Callable[[], bool]) -> set[str]:
        heard: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            told = os.read(self._hear, 4096)
            if b"x" in told:
                heard.add("wake")
            if b"c" in told:
                with self._handover:
                    self._connection, self._found = self._found, None
                with contextlib.suppress(StoreError):
                    if look():
                        heard.add("work")
        if self._connection is not None:
            try:
                self._connection.pgconn.consume_input()
                while notice := self._connection.pgconn.notifies():
                    heard.add("cancel" if notice.extra == b"cancel" else "work")
            except psycopg.Error:
                self._connection.close()
                self._connection = None
        return heard

    def _seek(self) -> None:
        if self._seeking is None or not self._seeking.is_alive():
            self._seeking = threading.Thread(target=self._connect, name="store-listen", daemon=True)
            self._seeking.start()

    def _connect(self) -> None:
        """Try until there is a connection, at growing intervals."""
        pause = _FIRST_PAUSE
        while not self._ended.is_set():
            try:
                connection = self._listen()
            except (StoreError, psycopg.Error):
                self._ended.wait(pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            with self._handover:
                if self._ended.is_set():
                    connection.close()
                else:
                    self._found = connection
                    self._write(b"c")
            return

    def _listen(self) -> psycopg.Connection[Any]:
        connection = self._address.connect()
        try:
            row = connection.execute("SELECT coalesce(current_schema(), '')").fetchone()
            connection.execute(f"LISTEN {channel(row[0] if row else '')}".encode())
        except BaseException:
            connection.close()
            raise
        return connection

    def wake(self) -> None:
        """End the wait of this process; safe in a signal handler."""
        self._write(b"x")

    def _write(self, what: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._tell, what)

    def close(self) -> None:
        """End a wait, and close the connection."""
        with self._handover:
            self._ended.set()
        self.wake()
        with self._waiting:
            for connection in (self._connection, self._found):
                if connection is not None:
                    connection.close()
            self._connection = self._found = None
            ends, self._hear, self._tell = (self._hear, self._tell), -1, -1
            for end in ends:
                if end >= 0:
                    os.close(end)
