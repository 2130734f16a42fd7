"""A crew of `runner work --loop` processes, and what befalls them: killed, replaced, stopped past their lease."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runner.testing.faults.locks import wait_stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WORK = (sys.executable, "-m", "runner", "work", "--loop")


@dataclass(eq=False)
class Member:
    """One worker process; `stopped` while it is under SIGSTOP."""

    process: subprocess.Popen[bytes]
    log: Path
    stopped: bool = False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def up(self) -> bool:
        """Whether it has started: its keepers are its children."""
        try:
            return bool(Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().strip())
        except FileNotFoundError:
            return self.alive  # a kernel that does not tell


@dataclass
class Crew:
    """`size` workers of the project in `cwd`, replaced when they end. `env` is added to this process's.

    `clocks` are further environments that are dealt out in turn (`skewed`).
    """

    cwd: Path
    logs: Path
    size: int
    env: Mapping[str, str] = field(default_factory=dict)
    argv: Sequence[str] = WORK
    clocks: Sequence[Mapping[str, str]] = ({},)
    seed: int = 1
    members: list[Member] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    hired: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.logs.mkdir(parents=True, exist_ok=True)

    def fill(self) -> None:
        """Replace those that ended."""
        self.members = [member for member in self.members if member.alive]
        while len(self.members) < self.size:
            self.members.append(self._hire())

    @property
    def ready(self) -> bool:
        """Whether most of the crew has started: on a busy machine that takes longer than the time between faults."""
        return sum(member.up and not member.stopped for member in self.members) * 2 >= self.size

    def kill(self) -> int | None:
        """SIGKILL a random member that is not stopped → its pid."""
        running = [member for member in self.members if member.alive and not member.stopped]
        if not running:
            return None
        member = self.dice.choice(running)
        member.process.kill()
        member.process.wait()
        self.killed.append(member.pid)
        return member.pid

    def stop(self, how: Callable[[int], bool] | None = None) -> Member | None:
        """SIGSTOP a random member (by `how(pid)`, which picks the moment) → it, or None."""
        running = [member for member in self.members if member.alive and not member.stopped]
        if not running:
            return None
        member = self.dice.choice(running)
        if how is None:
            os.kill(member.pid, signal.SIGSTOP)
            member.stopped = wait_stopped(member.pid)
        else:
            member.stopped = how(member.pid)
        return member if member.stopped else None

    def resume(self, member: Member) -> None:
        """SIGCONT."""
        member.stopped = False
        with contextlib.suppress(ProcessLookupError):
            os.kill(member.pid, signal.SIGCONT)

    def close(self, timeout: float = 30.0) -> list[int]:
        """End everybody in order (TERM; KILL after `timeout`) → the exit codes of those that ran to the end."""
        for member in self.members:
            if member.stopped:
                self.resume(member)
            if member.alive:
                member.process.send_signal(signal.SIGTERM)
        codes = []
        deadline = time.monotonic() + timeout
        for member in self.members:
            try:
                codes.append(member.process.wait(max(0.1, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                member.process.kill()
                codes.append(member.process.wait())
        self.members = []
        return codes

    def words(self) -> str:
        """What all members said on standard error."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.logs.glob("*.log")))

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close(5.0)

    def _hire(self) -> Member:
        clock = self.clocks[self.hired % len(self.clocks)]
        self.hired += 1
        log = self.logs / f"worker-{self.hired:04}.log"
        with open(log, "wb") as file:
            process = subprocess.Popen(
                self.argv,
                cwd=self.cwd,
                env={**os.environ, **self.env, **clock},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Member(process, log)


@dataclass
class Torment:
    """What happens to a crew until the work is done.

    Every `kill_every` seconds one is killed and replaced, once most of the crew has started; every
    `stop_every` one is stopped for `stop_seconds`, then continued. `stop_how` picks the moments of the
    stops in turn.
    """

    crew: Crew
    kill_every: float
    stop_every: float = 0.0
    stop_seconds: float = 0.0
    stop_how: Sequence[Callable[[int], bool] | None] = (None,)
    stopped: list[int] = field(default_factory=list)
    """Pids of those that were stopped for the whole time."""

    def until(self, done: Callable[[], bool], timeout: float) -> None:
        """Go on until `done()`; TimeoutError with the crew's last words when it never is."""
        began = time.monotonic()
        next_kill, next_stop = began + self.kill_every, began + self.stop_every
        resume: tuple[float, Member] | None = None
        self.crew.fill()
        while not done():
            now = time.monotonic()
            if now - began > timeout:
                raise TimeoutError(f"not done after {timeout} s; the workers said:\n{self.crew.words()[-4000:]}")
            if now >= next_kill and self.crew.ready:
                self.crew.kill()
                next_kill = max(next_kill + self.kill_every, now)
            if resume and now >= resume[0]:
                self.crew.resume(resume[1])
                resume, next_stop = None, now + self.stop_every
            elif self.stop_every and not resume and now >= next_stop:
                how = self.stop_how[len(self.stopped) % len(self.stop_how)]
                member = self.crew.stop(how)
                if member is not None:
                    self.stopped.append(member.pid)
                    resume = time.monotonic() + self.stop_seconds, member
            self.crew.fill()
            time.sleep(0.02)
        if resume:
            self.crew.resume(resume[1])


def pids_with(variable: str, value: str) -> list[int]:
    """Every process that was started with this environment variable, this one left out."""
    needle = f"{variable}={value}".encode()
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                environment = Path(f"/proc/{name}/environ").read_bytes().split(b"\0")
                if needle in environment:
                    found.append(int(name))
    return found
