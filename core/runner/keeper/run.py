"""One child of the keeper from its launch to the proof that nothing of it is left."""

from __future__ import annotations

import math
import os
import select
import signal
import time

from runner.keeper.activity import Activity
from runner.keeper.capture import Stream
from runner.keeper.launch import CannotStart, start
from runner.keeper.processes import LINUX
from runner.keeper.tree import Tree

TYPE_CHECKING = False  # importing `typing` would cost the keeper's start 4 ms
if TYPE_CHECKING:
    from typing import Any

    from runner.keeper.capture import Buffer
    from runner.keeper.scan import Secrets
    from runner.keeper.serve import Service

_READS = 8
"""Chunks taken from a flooding pipe before commands and limits are looked at again."""
_LINGER = 0.05
"""Seconds that helpers (`| tee` and the like) have to finish by themselves after the main child."""
_KILL_AGAIN = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between rounds of SIGKILL: a process may fork between being listed and being killed."""

_RUNNING, _LINGERING, _ASKED, _KILLED = range(4)


class Run:
    """A state machine: running → (lingering) → asked to end → killed → empty."""

    def __init__(self, service: Service, request: dict[str, Any], secrets: Secrets, buffer: Buffer) -> None:
        self._service = service
        self._request = request
        self._grace: float = service.grace
        self._watched = bool(request["watch"])
        self._noted = False
        self._noted_bytes = 0
        self._phase = _RUNNING
        self._phase_end = math.inf
        self._rounds = 0
        self._limit: str | None = None
        self._error: str | None = None
        self._streams: list[Stream] = []
        self._secrets, self._buffer = secrets, buffer

    def go(self) -> dict[str, Any]:
        """Run it; the message for the client. Whatever happens, nothing of the child is left."""
        self._began = time.monotonic()
        stdin = self._service.take_fd() if self._request["stdin"] else None
        try:
            for key in ("stdout", "stderr"):
                try:
                    self._streams.append(Stream(self._request[key], self._secrets, self._buffer))
                except (OSError, ValueError) as error:
                    reason = error.strerror if isinstance(error, OSError) else str(error)
                    return {"failed": "log", "message": f"can't write {self._request[key]}: {reason}"}
            self._start(stdin)
            return self._run()
        except CannotStart as error:
            return {"failed": "start", "message": str(error)}
        finally:
            if stdin is not None:
                os.close(stdin)
            for stream in self._streams:
                stream.close()

    def _start(self, stdin: int | None) -> None:
        request = self._request
        out, err = self._streams
        env = {**request["env"], "RUNNER_KEEPER": self._service.mark}
        self._tree = Tree(start(request["argv"], request["cwd"], env, stdin, out.child_end, err.child_end))

    def _run(self) -> dict[str, Any]:
        try:
            self._watch()
            self._obey()
            self._loop()
        except BaseException:
            self._kill_all()
            raise
        for stream in self._streams:
            stream.finish()
            self._error = self._error or stream.error
        if self._said() > self._most:
            self._limit = self._limit or "max_output"
        out, err = self._streams
        return {
            "exit_code": self._tree.status,
            "limit": self._limit,
            "error": self._error,
            "survivors": len(self._tree.ended),
            "seconds": time.monotonic() - self._began,
            "stdout": out.written,
            "stderr": err.written,
        }

    def _watch(self) -> None:
        """Set up all that the loop waits for."""
        request = self._request
        now = time.monotonic()
        timeout, silence, first = request["timeout"], request["silence"], request["first_output"]
        self._deadline = math.inf if timeout is None else now + timeout
        self._first_due = math.inf if first is None else now + first
        self._most = math.inf if request["max_output"] is None else request["max_output"]
        self._activity = None if silence is None else Activity(silence, now)
        self._poller = select.poll()
        for stream in self._streams:
            stream.started()
            self._poller.register(stream.fd, select.POLLIN)
        self._poller.register(self._service.sock, select.POLLIN)
        self._poller.register(self._service.wake, select.POLLIN)

    def _loop(self) -> None:
        out, err = self._streams
        while True:
            for fd, _event in self._poller.poll(self._wait()):
                if fd == out.fd:
                    self._read(out)
                elif fd == err.fd:
                    self._read(err)
                elif fd == self._service.wake:
                    os.read(fd, 4096)
                    if self._tree.reap():
                        return
                else:
                    self._command()
            if not LINUX and self._tree.reap():
                return
            self._advance(time.monotonic())

    def _wait(self) -> int:
        """Milliseconds to the next thing to do by the clock; -1 when there is none."""
        at = self._phase_end
        if self._phase == _RUNNING:
            at = min(self._deadline, self._first_due)
            if self._activity is not None:
                at = min(at, self._activity.next_look)
        elif not LINUX:
            at = min(at, time.monotonic() + _LINGER)  # orphans are not our children there: no signal tells
        if self._phase < _KILLED:
            at = min(at, self._service.trusted_until)
        if at == math.inf:
            return -1
        return min(max(0, math.ceil((at - time.monotonic()) * 1000)), 1 << 30)

    def _read(self, stream: Stream) -> None:
        # One chunk at a time under a cap: that is all that a log may grow beyond it.
        if not stream.read(_READS if self._most == math.inf else 1):
            self._poller.unregister(stream.fd)
            stream.close_pipe()
        if self._activity is not None:
            self._activity.output(time.monotonic())
        if stream.received:
            self._first_due = math.inf
        self._measure()
        if stream.error is not None and self._error is None:
            self._error = stream.error
            self._end()
        if stream is self._streams[0]:
            self._note()

    def _measure(self) -> None:
        """End a child that has said more than it may; what it goes on to say is thrown away."""
        if self._said() > self._most:
            for stream in self._streams:
                stream.full = True
            self._limit = self._limit or "max_output"
            self._end()

    def _said(self) -> int:
        return sum(stream.received for stream in self._streams)

    def _note(self) -> None:
        """Tell a client that follows the log of new bytes, once until it has asked for more."""
        out = self._streams[0]
        if self._watched and not self._noted and out.written > self._noted_bytes:
            self._noted, self._noted_bytes = True, out.written
            self._service.send({"written": out.written})

    def _command(self) -> None:
        gone = not self._service.inbox.receive()
        self._obey()
        if gone:  # nobody wants the result any more
            self._poller.unregister(self._service.sock)
            self._limit = self._limit or "ended"
            self._end()

    def _obey(self) -> None:
        """Do what the client has asked for, perhaps before the child had even started."""
        messages = self._service.inbox.messages
        while messages:
            message = messages.pop(0)
            if "more" in message:
                self._noted = False
                self._note()
            elif message.get("end") == self._request["run"] and self._phase < _ASKED:
                self._limit = self._limit or "ended"
                self._end()
            elif "trust" in message:
                self._service.trust(message["trust"])
            elif message.get("kill") == self._request["run"]:
                self._limit = self._limit or "ended"
                self._enter(_KILLED, 0.0)

    def _advance(self, now: float) -> None:
        if self._phase < _KILLED and now >= self._service.trusted_until:
            # Somebody else may own this work from now on: no grace.
            self._limit = "untrusted"
            self._enter(_KILLED, 0.0)
        if self._phase == _RUNNING:
            if self._tree.status is not None:
                self._enter(_LINGERING, _LINGER)
            elif now >= self._deadline:
                self._limit = "timeout"
                self._end()
            elif now >= self._first_due:
                self._limit = "first_output"
                self._end()
            elif self._activity is not None and now >= self._activity.next_look and self._activity.stalled(now):
                self._limit = "stalled"
                self._end()
        elif now >= self._phase_end:
            if self._phase == _LINGERING:
                self._end()
            else:
                self._enter(_KILLED, 0.0)
        if self._phase == _KILLED and now >= self._phase_end:
            self._tree.signal(signal.SIGKILL)
            pause = _KILL_AGAIN[min(self._rounds, len(_KILL_AGAIN) - 1)]
            self._rounds += 1
            self._phase_end = time.monotonic() + pause

    def _end(self) -> None:
        """Ask the tree to end; it has the grace time to do so."""
        if self._phase < _ASKED:
            self._enter(_ASKED, self._grace)
            self._tree.signal(signal.SIGTERM)

    def _enter(self, phase: int, seconds: float) -> None:
        if phase > self._phase:
            self._phase = phase
            self._phase_end = time.monotonic() + seconds

    def _kill_all(self) -> None:
        """The way out when the keeper itself fails: no capture, no grace."""
        while not self._tree.reap():
            self._tree.signal(signal.SIGKILL)
            time.sleep(_KILL_AGAIN[0])
