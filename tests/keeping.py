"""What the tests of keepers share: a keeper, a way to run things in it, a look at what is left."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.keeper import Keeper, Redaction

if TYPE_CHECKING:
    from collections.abc import Callable

    from runner.model import ProcessResult

NOTHING = Redaction()


class Bench:
    """A keeper with a folder for its logs. `bench("sh", "-c", …)` runs a program in it."""

    def __init__(self, folder: Path, redact: Redaction = NOTHING, grace: float = 1.0, label: str = "test") -> None:
        self.folder = folder
        self.keeper = Keeper(label, redact, grace)

    def __call__(self, *argv: str, **settings: Any) -> ProcessResult:
        given = {
            "cwd": self.folder,
            "env": {"PATH": os.environ["PATH"]},
            "stdin": None,
            "stdout": self.folder / "stdout.log",
            "stderr": self.folder / "stderr.log",
        }
        return self.keeper.run(list(argv), **{**given, **settings})

    @property
    def stdout(self) -> bytes:
        return (self.folder / "stdout.log").read_bytes()

    @property
    def stderr(self) -> bytes:
        return (self.folder / "stderr.log").read_bytes()


def running(token: str) -> list[int]:
    """Processes that are alive and have `token` in their command line."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes()
                state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if token.encode() in line and state != "Z" and int(name) != os.getpid():
                found.append(int(name))
    return found


def environment(pid: int) -> bytes:
    """The environment a process was started with; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def until(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Whether the condition comes true within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return bool(condition())


def open_fds(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def peak_memory(pid: int) -> int:
    """Peak resident memory in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(pid)
