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

CHUNK = 512 << 10
"""Bytes read at once: large enough to make calls rare, small enough to stay in the processor's cache."""
PIPE = 1 << 20
"""The pipe's size where the system grants it, so that the child seldom waits for the keeper."""
_F_SETPIPE_SZ = 1031
_SMALL = 2048
_PATTERN_TIME = 2.0
"""Seconds of CPU that redaction may take on one chunk when the user has patterns of their own."""
_NO_NULS = bytes([1, *range(1, 256)])


class PatternTooSlow(Exception):
    """A user's pattern takes for ever on what the child printed."""


class Buffer:
    """The bytes of one chunk, shared by all streams, and a fast way to find a literal in them.

    `bytes.find` looks at one byte after another; C's `strstr` compares 16 to 64 at once on x86-64
    with glibc, which is 10 to 20 times faster, and what makes searching for some twenty literals
    affordable. It stops at a NUL, so data with NULs is searched in a copy without.
    """

    def __init__(self, held: int) -> None:
        size = held + CHUNK + 2
        self.data, self._copy = bytearray(size), bytearray(size)
        self.view = memoryview(self.data)
        self._addresses = [ctypes.addressof(ctypes.c_char.from_buffer(each)) for each in (self.data, self._copy)]
        self._address: int | None = None
        self._end = 0
        self._strstr = None
        if os.uname().machine == "x86_64":
            self._strstr = ctypes.PyDLL(None).strstr
            self._strstr.restype = ctypes.c_void_p
            self._strstr.argtypes = (ctypes.c_void_p, ctypes.c_char_p)

    def look_at(self, end: int) -> None:
        """From now on `seek` is about `data[1:end]`; the byte before is context."""
        self._end = end
        self._address = None

    def seek(self, literal: bytes, start: int) -> int:
        """Where `literal` is found from `start` on, or -1."""
        if self._strstr is None or self._end < _SMALL or start >= self._end or 0 in literal:
            return self.data.find(literal, start, self._end)
        address = self._address or self._text()
        found: int | None = self._strstr(address + start, literal)
        return -1 if found is None else found - address

    def _text(self) -> int:
        """The address of the chunk as a C string."""
        end = self._end
        self.data[end] = 0
        where = 0
        if self.data.find(0, 1) < end:
            self._copy[:end] = self.data[:end].translate(_NO_NULS)
            self._copy[end] = 0
            where = 1
        self._address = self._addresses[where]
        return self._address


class Stream:
    """A pipe's reading end and the log it goes to. `written` counts the log's bytes, `received` the child's.

    After a failed write, `error` is set and what comes is thrown away, so that the child can't hang
    on a full pipe while its tree is ended. So it is when it has said enough, and is `full`.
    """

    def __init__(self, path: str, secrets: Secrets, buffer: Buffer) -> None:
        self.path = path
        self.error: str | None = None
        self.written = 0
        self.received = 0
        self.full = False
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
            self.received += count
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
        if len(head) == 1:
            return  # nothing was held back: most streams of most programs are silent
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
        if self.error is not None or self.full:
            return
        buffer = self._buffer
        buffer.look_at(end)
        try:
            if self._secrets.user:
                with _Alarm():
                    parts = self._redactor.feed(buffer.data, end, final, buffer.seek)
            else:
                parts = self._redactor.feed(buffer.data, end, final, buffer.seek)
            self._write(parts)
        except PatternTooSlow:
            self.error = (
                f"a redaction pattern of the configuration takes over {_PATTERN_TIME:g} s of CPU on one piece of output"
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
        signal.signal(signal.SIGVTALRM, _too_slow)
        signal.setitimer(signal.ITIMER_VIRTUAL, _PATTERN_TIME)

    def __exit__(self, *error: object) -> None:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _too_slow(_number: int, _frame: FrameType | None) -> None:
    raise PatternTooSlow
