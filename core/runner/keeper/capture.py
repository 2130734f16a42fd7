"""One captured stream: pipe → redaction → log file, in one buffer however much is printed."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal

from runner.keeper.scan import Redactor, Secrets

TYPE_CHECKING = False  # importing `typing` would cost the keeper's start 4 ms
if TYPE_CHECKING:
    from types import FrameType

CHUNK = 256 << 10
"""Bytes read at once: large enough to make calls rare, small enough to stay in the processor's cache."""
PIPE = 1 << 20
"""The pipe's size where the system grants it, so that the child seldom waits for the keeper."""
_F_SETPIPE_SZ = 1031
_SMALL = 2048
_PATTERN_TIME = 10.0
"""Seconds that the user's patterns may take on one chunk."""
_NO_NULS = bytes([1, *range(1, 256)])


class PatternTooSlow(Exception):
    """A user's pattern takes for ever on what the child printed."""


class Buffer:
    """The bytes of one chunk, shared by all streams, and a fast answer to "does it contain this?".

    `bytes.find` looks at one byte after another; C's `strstr` compares 16 to 64 at once on x86-64
    with glibc, which is 10 to 20 times faster, and what makes searching for some twenty literals
    affordable. It stops at a NUL, so data with NULs is searched in a copy without.
    """

    def __init__(self, held: int) -> None:
        self.data = bytearray(held + CHUNK + 2)
        self.view = memoryview(self.data)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self.data))
        self._end = 0
        self._text: int | bytes | None = None
        self._strstr = None
        if os.uname().machine == "x86_64":
            self._strstr = ctypes.PyDLL(None).strstr
            self._strstr.restype = ctypes.c_void_p
            self._strstr.argtypes = (ctypes.c_void_p, ctypes.c_char_p)

    def look_at(self, end: int) -> None:
        """From now on `has` is about `data[1:end]`."""
        self._end = end
        if self._strstr is None or end < _SMALL:
            self._text = None
        elif self.data.find(0, 1, end) >= 0:
            self._text = bytes(self.view[1:end]).translate(_NO_NULS)
        else:
            self.data[end] = 0
            self._text = self._address + 1

    def has(self, literal: bytes) -> bool:
        if self._text is None or self._strstr is None or 0 in literal:
            return self.data.find(literal, 1, self._end) >= 0
        return self._strstr(self._text, literal) is not None


class Stream:
    """A pipe's reading end and the log it goes to. `written` counts the log's bytes.

    After a failed write, `error` is set and what comes is thrown away, so that the child can't hang
    on a full pipe while its tree is ended.
    """

    def __init__(self, path: str, secrets: Secrets, buffer: Buffer) -> None:
        self.path = path
        self.error: str | None = None
        self.written = 0
        self._buffer = buffer
        self._secrets = secrets
        self._redactor = Redactor(secrets)
        self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self.fd, self.child_end = os.pipe()
        except OSError:
            os.close(self._log)
            raise
        os.set_blocking(self.fd, False)
        try:
            fcntl.fcntl(self.fd, _F_SETPIPE_SZ, PIPE)
        except OSError:
            pass  # not Linux, or the user's pipes are at their limit: the default size works too

    def started(self) -> None:
        """The child has its own copy of the writing end."""
        os.close(self.child_end)
        self.child_end = -1

    def read(self, times: int) -> bool:
        """Take up to `times` chunks that are there; False at the end of the stream."""
        view = self._buffer.view
        for _ in range(times):
            head = self._redactor.head
            start = len(head)
            view[:start] = head
            try:
                count = os.readv(self.fd, [view[start : start + CHUNK]])
            except BlockingIOError:
                return True
            if count == 0:
                return False
            self._pass_on(start + count, final=False)
        return True

    def finish(self) -> None:
        """Write what is left in the pipe and what was held back.

        Called when the tree is empty. A process outside it may hold the pipe, so only as much is read
        as a pipe can contain.
        """
        if self.fd >= 0:
            self.read(PIPE // CHUNK + 1)
            self.close_pipe()
        head = self._redactor.head
        self._buffer.view[: len(head)] = head
        self._pass_on(len(head), final=True)

    def close_pipe(self) -> None:
        """The stream has ended."""
        os.close(self.fd)
        self.fd = -1

    def close(self) -> None:
        """Give back every descriptor that is still open."""
        for fd in (self.fd, self.child_end, self._log):
            if fd >= 0:
                os.close(fd)
        self.fd = self.child_end = self._log = -1

    def _pass_on(self, end: int, final: bool) -> None:
        if self.error is not None:
            return
        buffer = self._buffer
        buffer.look_at(end)
        try:
            if self._secrets.user:
                with _Alarm():
                    parts = self._redactor.feed(buffer.data, end, final, buffer.has)
            else:
                parts = self._redactor.feed(buffer.data, end, final, buffer.has)
            self._write(parts)
        except PatternTooSlow:
            self.error = (
                f"a redaction pattern of the configuration takes over {_PATTERN_TIME:g} s on one chunk of output"
            )
        except OSError as error:
            self.error = f"can't write {self.path}: {error.strerror}"

    def _write(self, parts: list[memoryview | bytes]) -> None:
        if len(parts) > 1:
            parts = [b"".join(parts)]
        for part in parts:
            while part:
                count = os.write(self._log, part)
                self.written += count
                part = part[count:]


class _Alarm:
    """Interrupts what takes too long: `re` looks for signals while it matches."""

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, _too_slow)
        signal.setitimer(signal.ITIMER_REAL, _PATTERN_TIME)

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise PatternTooSlow
