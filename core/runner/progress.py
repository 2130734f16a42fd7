"""What a slot does right now, for people who watch: told by the engine and by handlers, read by the live view.

Nothing is stored and nobody waits: who tells sets a few attributes, who watches looks when it wants to.
What a program prints is not passed on at all; who watches reads the end of its log.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runner.model import Task, Usage

State = Literal["idle", "preparing", "running", "checking", "repairing", "storing"]
"""What the engine does with the task: makes its workspace, runs its step (`repairing`: again, with the red
checks), asks the checks, keeps what came of it."""

LINE: Final = 500
"""Characters of a last line that are kept: more than any terminal shows."""


@dataclass(frozen=True, slots=True)
class Look:
    """A slot as it is at one moment. `since` is a `time.monotonic()` value; None costs are not known."""

    task: Task
    state: State
    since: float
    attempt: int
    cost_usd: float | None
    tokens: int | None
    line: str
    step: str = ""
    """The path of the step that runs, of a workflow."""


class Progress:
    """One slot. The engine calls `begin`, `enter`, `attempt`, `spent`, `follow`, `end`; handlers `told` (as
    `Context.progress`); whoever watches calls `look`, from any thread. `redact` takes secrets out of a line.
    """

    def __init__(self, redact: Callable[[str], str] = str) -> None:
        self._redact = redact
        self._task: Task | None = None
        self._clear()

    def _clear(self) -> None:
        self._state: State = "idle"
        self._since = time.monotonic()
        self._attempt = 0
        self._step = ""
        self._spent: float | None = None
        self._cost: float | None = None
        self._tokens: int | None = None
        self._line = ""
        self._logs: tuple[Path, ...] = ()
        self._seen: tuple[tuple[int, int], ...] = ()
        self._last = ""

    # Told by the engine

    def begin(self, task: Task) -> None:
        """The slot has this task now."""
        self._clear()
        self._state = "preparing"
        self._task = task

    def end(self) -> None:
        """The slot is free."""
        self._task = None
        self._clear()

    def enter(self, state: State) -> None:
        """The task is in this state now; what was said in the one before is past."""
        self._logs, self._line = (), ""
        self._state = state

    def attempt(self, n: int, *, repair: bool, step: str = "") -> None:
        """Attempt `n` runs now, of that `step` of a workflow."""
        self._attempt = n
        if step != self._step:
            self._step, self._since, self._spent, self._tokens = step, time.monotonic(), None, None
        self.enter("repairing" if repair else "running")

    def spent(self, usage: Usage | None) -> None:
        """The running attempt's process has ended and cost this: from now on a fact, whatever was told before."""
        cost = usage.cost_usd if usage is not None else self._cost
        if cost is not None:
            self._spent = (self._spent or 0.0) + cost
        self._cost = None

    def follow(self, logs: Sequence[Path]) -> None:
        """Programs write here now: the last line of the newest of these files is the last line of the task."""
        self._seen, self._last = (), ""
        self._logs = tuple(logs)

    # Told by a handler

    def told(self, line: str | None = None, *, cost_usd: float | None = None, tokens: int | None = None) -> None:
        """As `Context.progress`."""
        if line is not None:
            # Of a long text only the end is looked at, less the first word, which may be half a secret.
            end = line[-8 * LINE :].partition(" ")[2] if len(line) > 8 * LINE else line
            last = end.rstrip().rpartition("\n")[2].strip()
            if last:
                self._logs, self._line = (), last
        if cost_usd is not None:
            self._cost = cost_usd
        if tokens is not None:
            self._tokens = tokens

    # Read

    def look(self) -> Look | None:
        """How it is now; None when the slot is free."""
        task = self._task
        if task is None:
            return None
        cost = self._spent if self._cost is None else (self._spent or 0.0) + self._cost
        line = self._log_line() or self._redact(self._line)
        return Look(task, self._state, self._since, self._attempt, cost, self._tokens, line[:LINE], self._step)

    def _log_line(self) -> str:
        """The last line of the log that was written to last; the file is read only when one has grown."""
        logs = self._logs
        if not logs:
            return ""
        seen = tuple(_written(path) for path in logs)
        if seen != self._seen:
            from runner.logtext import last_line  # here: only who watches reads

            _, newest = max(zip(seen, logs, strict=True), key=lambda pair: pair[0])
            self._last = last_line(newest) or self._last
            self._seen = seen
        return self._last


def _written(path: Path) -> tuple[int, int]:
    """When the file was last written to (0: it is empty or not there), and its size."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size) if status.st_size else (0, 0)
