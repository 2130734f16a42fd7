"""The client of a keeper: starts the process, has it run programs one at a time, survives its death."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from runner.errors import RunnerError
from runner.host import alive, start_time
from runner.keeper.sweep import MARK, sweep
from runner.keeper.wire import Inbox, encode
from runner.model import ProcessResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.keeper.redaction import Redaction

_PROGRAM = Path(__file__).with_name("program.py")
_SOCKET = 3
_TAIL = 256 << 10
"""Bytes of the log given to `on_output` at once."""
_SLICE = 5.0
"""Seconds between looks at whether the keeper is overdue; results wake the client at once."""
_OVERDUE = 30.0
"""Seconds after the grace time within which a keeper that was to end its tree has answered."""
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", MARK)
"""All that a keeper gets of our environment: what Python needs to start, and the mark of a keeper above us."""


class KeeperDied(RunnerError):
    """The keeper process is gone (killed, or crashed); what it left has been ended. Start a new Keeper."""

    code = "keeper_died"


class StartError(RunnerError):
    """The program can't be started: it is missing, not executable, its folder is missing, it gets too much."""

    code = "start"


class CaptureError(RunnerError):
    """The output can't be written (the disk is full, the folder is gone), so the tree was ended."""

    code = "capture"


class Keeper:
    """The process that owns what one slot runs.

    `grace`: seconds between asking a tree to end and killing it. `run` belongs to the slot's thread,
    all else may be called by any. Closing it, or losing this process, ends what runs and the keeper.
    """

    def __init__(self, label: str, redact: Redaction, grace: float = 5.0) -> None:
        self.label = label
        self._grace = grace
        self._send_lock = threading.Lock()
        self._run_lock = threading.Lock()
        self._reap_lock = threading.Lock()
        self._running = False
        self._asked_at: float | None = None
        self._reaped = False
        self._sock, theirs = socket.socketpair()
        try:
            self._pid = _spawn(theirs, label)
        except BaseException:
            self._sock.close()
            raise
        finally:
            theirs.close()
        self._start = start_time(self._pid) or ""
        self._inbox = Inbox(self._sock)
        self._send({"configure": 1, "grace": grace, "secrets": redact.secrets, "patterns": redact.patterns})

    @property
    def identity(self) -> tuple[int, str]:
        """The keeper's pid and start time: what the mark of its children names."""
        return self._pid, self._start

    @property
    def alive(self) -> bool:
        """Whether the keeper process lives."""
        return not self._reaped and alive(self._pid, self._start)

    def run(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: bytes | None,
        stdout: Path,
        stderr: Path,
        timeout: float | None = None,
        silence: float | None = None,
        on_output: Callable[[bytes], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> ProcessResult:
        """Run a program and return when it and all its descendants are gone.

        `env` is its whole environment (`RUNNER_KEEPER` is added), `stdin` its input (None is empty).
        The logs are created or emptied; they hold the redacted output. `timeout` is seconds of wall
        clock, `silence` seconds without output or a busy process. `on_output` is called in this thread
        with redacted stdout as it comes, in pieces of at most 256 KiB. If `cancelled` is set by now,
        the program is ended as by `end`. An `exit_code` below 0 is a signal; `limit` is `timeout`,
        `stalled`, `ended`, `untrusted` or None. Raises StartError, CaptureError, KeeperDied, and what `on_output`
        raises, after the tree is gone.
        """
        request = {
            "argv": [os.fspath(word) for word in argv],
            "cwd": str(cwd),
            "env": dict(env),
            "stdin": bool(stdin),
            "stdout": str(stdout.absolute()),
            "stderr": str(stderr.absolute()),
            "timeout": timeout,
            "silence": silence,
            "watch": on_output is not None,
        }
        with self._run_lock:
            self._asked_at = None
            self._running = True
            try:
                self._request(request, stdin)
                if cancelled is not None and cancelled.is_set():
                    self.end()
                answer = self._follow(stdout, on_output, timeout)
            finally:
                self._running = False
        if "message" in answer:
            raise (StartError if answer["failed"] == "start" else CaptureError)(answer["message"])
        if answer["error"] is not None:
            raise CaptureError(f"{answer['error']}; the program was ended", "make room, or correct the path or pattern")
        return ProcessResult(
            exit_code=answer["exit_code"],
            stdout=stdout,
            stderr=stderr,
            stdout_bytes=answer["stdout"],
            stderr_bytes=answer["stderr"],
            limit=answer["limit"],
            survivors=answer["survivors"],
            seconds=answer["seconds"],
        )

    def end(self) -> bool:
        """Ask what runs now to end, kill it after the grace time; False when nothing runs. Does not wait."""
        return self._order({"end": 1})

    def kill(self) -> bool:
        """Kill what runs now at once; False when nothing runs. Does not wait."""
        return self._order({"kill": 1})

    def trust(self, seconds: float | None) -> None:
        """Let the keeper kill what runs by itself in so many seconds, unless this is called again; None takes it back.

        Then `limit` is `untrusted`. For a claim's lease: it ends also while this process is stopped.
        """
        try:
            self._send({"trust": seconds})
        except KeeperDied:
            pass  # with it went everything that ran

    def close(self) -> None:
        """End what runs and the keeper itself; returns when both are gone."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # closed already, or the keeper is gone
        self._reap(self._grace + _OVERDUE)
        with self._run_lock:
            self._sock.close()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _request(self, request: dict[str, Any], stdin: bytes | None) -> None:
        if not stdin:
            self._send(request)
            return
        # A file, not a pipe: nobody has to feed it, and the child may read it or not.
        with tempfile.TemporaryFile(buffering=0) as file:
            file.write(stdin)
            file.seek(0)
            self._send(request, file.fileno())

    def _send(self, message: dict[str, Any], fd: int | None = None) -> None:
        data = encode(message)
        try:
            with self._send_lock:
                if fd is not None:
                    sent = socket.send_fds(self._sock, [data[: 1 << 16]], [fd])
                    data = data[sent:]
                self._sock.sendall(data)
        except OSError:
            self._died()

    def _order(self, message: dict[str, Any]) -> bool:
        if not self._running:
            return False
        self._asked_at = time.monotonic()
        try:
            with self._send_lock:
                self._sock.sendall(encode(message))
        except OSError:
            pass  # the keeper is gone; `run` finds out and says so
        return True

    def _follow(self, log: Path, on_output: Callable[[bytes], None] | None, timeout: float | None) -> dict[str, Any]:
        """Pass on output as it is written; the keeper's answer when the tree is empty."""
        began = time.monotonic()
        tail = _Tail(log, on_output) if on_output is not None else None
        try:
            while True:
                self._receive(began, timeout)
                while self._inbox.messages:
                    message = self._inbox.messages.pop(0)
                    if "written" in message and tail is not None:
                        self._send({"more": 1})  # first, so that what is written while we read is told again
                        if not tail.read():
                            self.end()
                    elif "crash" in message:
                        self._died(message["crash"])
                    elif "exit_code" in message or "message" in message:
                        if tail is not None and "message" not in message:
                            tail.finish()
                        return message
        finally:
            if tail is not None:
                tail.close()

    def _receive(self, began: float, timeout: float | None) -> None:
        """Wait until something comes; raises KeeperDied when nothing can come any more."""
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        while not poller.poll(_SLICE * 1000):
            now = time.monotonic()
            asked = self._asked_at
            if timeout is not None and now > began + timeout:
                asked = began + timeout if asked is None else min(asked, began + timeout)
            if asked is not None and now > asked + self._grace + _OVERDUE:
                self._died("it did not end its tree in time")
        if not self._inbox.receive():
            crash = [message["crash"] for message in self._inbox.messages if "crash" in message]
            self._died(*crash)

    def _died(self, reason: str = "") -> NoReturn:
        """Make sure that the keeper is dead and nothing of it is left; raises KeeperDied."""
        self._reap(0.0)
        # Twice: a child that was just being started gets its mark a moment later.
        swept = sweep()
        time.sleep(0.02)
        swept += sweep()
        said = f": {reason}" if reason else ""
        left = f"; {len(swept)} of its processes were killed" if swept else ""
        raise KeeperDied(f"the keeper of {self.label} (pid {self._pid}) is gone{said}{left}", "start another one")

    def _reap(self, patience: float) -> None:
        """Wait for the keeper's end, kill it when that takes longer than `patience` seconds."""
        with self._reap_lock:
            if self._reaped:
                return
            if not _ended_within(self._pid, patience):
                os.kill(self._pid, signal.SIGKILL)
            try:
                os.waitpid(self._pid, 0)
            except ChildProcessError:
                pass  # this process ignores SIGCHLD: the system has reaped it
            self._reaped = True


class _Tail:
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
        while self._error is None and (data := self._file.read(_TAIL)):
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


def _spawn(theirs: socket.socket, label: str) -> int:
    """Start the keeper process with one end of the socket pair; its pid."""
    import fcntl

    source = fcntl.fcntl(
        theirs.fileno(), fcntl.F_DUPFD_CLOEXEC, 10
    )  # never 3 itself: a dup2 onto itself stays close-on-exec
    try:
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-S", "-E", "-I", "-X", "utf8", str(_PROGRAM), label],
            {name: os.environ[name] for name in _INHERITED if name in os.environ},
            file_actions=[*null, (os.POSIX_SPAWN_DUP2, source, _SOCKET)],
            setsid=True,
            setsigmask=_IGNORED,  # until it ignores them
        )
    finally:
        os.close(source)


def _ended_within(pid: int, seconds: float) -> bool:
    """Whether our child `pid` ends within that time; it stays to be waited for."""
    if hasattr(os, "pidfd_open"):
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        try:
            poller = select.poll()
            poller.register(fd, select.POLLIN)
            return bool(poller.poll(seconds * 1000))
        finally:
            os.close(fd)
    deadline = time.monotonic() + seconds
    while start_time(pid) is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)
    return True
