"""The client of a keeper: starts the process, has it run programs one at a time, survives its death."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from runner.errors import RunnerError
from runner.host import alive, start_time
from runner.keeper.spawn import ended_within, input_file, spawn
from runner.keeper.sweep import sweep
from runner.keeper.tail import Tail
from runner.keeper.wire import Inbox, encode
from runner.model import ProcessResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.keeper.redaction import Redaction

_SLICE = 5.0
"""Seconds between looks at whether the keeper is overdue; results wake the client at once."""
_OVERDUE = 30.0
"""Seconds after the grace time within which a keeper that was to end its tree has answered."""


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
        self._number = 0
        self._running = 0
        self._asked_at: float | None = None
        self._reaped = False
        self._sock, theirs = socket.socketpair()
        try:
            self._pid = spawn(theirs, label)
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
        first_output: float | None = None,
        max_output: int | None = None,
        on_output: Callable[[bytes], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> ProcessResult:
        """Run a program and return when it and all its descendants are gone.

        `env` is its whole environment (`RUNNER_KEEPER` is added), `stdin` its input (None is empty).
        The logs are created or emptied; they hold the redacted output. `timeout` is seconds of wall
        clock, `silence` seconds without output or a busy process, `first_output` seconds until the first
        byte of it, `max_output` bytes of stdout and stderr together (of what comes in one piece then, the
        logs keep all; of what comes later, nothing). `on_output` is called in this thread
        with redacted stdout as it comes, in pieces of at most 256 KiB. If `cancelled` is set by now,
        the program is ended as by `end`. An `exit_code` below 0 is a signal; `limit` is `timeout`,
        `stalled`, `first_output`, `max_output`, `ended`, `untrusted` or None. Raises StartError, CaptureError,
        KeeperDied, and what `on_output` raises, after the tree is gone.
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
            "first_output": first_output,
            "max_output": max_output,
            "watch": on_output is not None,
        }
        with self._run_lock:
            answer = self._run(request, stdin, cancelled, on_output)
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
        return self._order("end")

    def kill(self) -> bool:
        """Kill what runs now at once; False when nothing runs. Does not wait."""
        return self._order("kill")

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
        if self._reap(self._grace + _OVERDUE):
            sweep()
        with self._run_lock:
            self._sock.close()

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _run(
        self,
        request: dict[str, Any],
        stdin: bytes | None,
        cancelled: threading.Event | None,
        on_output: Callable[[bytes], None] | None,
    ) -> dict[str, Any]:
        """The keeper's answer to a request. It is idle again afterwards, or dead, whatever interrupts us."""
        fd = input_file(stdin) if stdin else None
        self._asked_at = None
        self._number += 1
        request["run"] = self._running = self._number
        tail = Tail(Path(request["stdout"]), on_output) if on_output is not None else None
        try:
            self._send(request, fd)
            if cancelled is not None and cancelled.is_set():
                self.end()
            answer = self._follow(tail, request["timeout"])
        except KeeperDied:
            raise
        except BaseException:
            self._abandon()
            raise
        else:
            if tail is not None and "message" not in answer:
                tail.finish()
            return answer
        finally:
            self._running = 0
            if fd is not None:
                os.close(fd)
            if tail is not None:
                tail.close()

    def _abandon(self) -> None:
        """Wait without looking at it for the end of a run that we were interrupted in, say by Ctrl-C."""
        try:
            self.kill()
            self._follow(None, None)
        except BaseException:
            self._sock.close()  # which ends the keeper
            raise

    def _send(self, message: dict[str, Any], fd: int | None = None) -> None:
        data = encode(message)
        try:
            with self._send_lock:
                if fd is not None:
                    data = data[socket.send_fds(self._sock, [data[: 1 << 16]], [fd]) :]
                self._sock.sendall(data)
        except OSError:
            self._died()

    def _order(self, what: str) -> bool:
        running = self._running
        if not running:
            return False
        self._asked_at = time.monotonic()
        try:
            with self._send_lock:
                self._sock.sendall(encode({what: running}))
        except OSError:
            pass  # the keeper is gone; `run` finds out and says so
        return True

    def _follow(self, tail: Tail | None, timeout: float | None) -> dict[str, Any]:
        """Pass on output as it is written; the keeper's answer when the tree is empty."""
        began = time.monotonic()
        while True:
            self._receive(began, timeout)
            while self._inbox.messages:
                message = self._inbox.messages.pop(0)
                if "crash" in message:
                    self._died(message["crash"])
                if "written" not in message:
                    return message
                if tail is not None:
                    self._send({"more": 1})  # first, so that what is written while we read is told again
                    if not tail.read():
                        self.end()

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
        raise KeeperDied(f"the keeper of {self.label} (pid {self._pid}) is gone{said}{left}")

    def _reap(self, patience: float) -> bool:
        """Wait for the keeper's end, kill it when that takes longer than `patience` seconds; True if it was killed."""
        with self._reap_lock:
            if self._reaped:
                return False
            killed = not ended_within(self._pid, patience)
            if killed:
                os.kill(self._pid, signal.SIGKILL)
            try:
                os.waitpid(self._pid, 0)
            except ChildProcessError:
                pass  # this process ignores SIGCHLD: the system has reaped it
            self._reaped = True
            return killed
