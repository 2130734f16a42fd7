"""The live view of `runner work`: a line for each slot and one of counts, redrawn in place; all else scrolls above."""

from __future__ import annotations

import io
import signal
import sys
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING, Final

from runner.cli.output import clean, colours, cut, paint, width, without_escapes
from runner.cli.region import Region
from runner.errors import RunnerError
from runner.statuses import DONE, FAILED, NEEDS_HUMAN

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any

    from runner.model import Claim
    from runner.progress import Look, Progress

_PAUSE: Final = 0.2
"""Seconds between two drawings, at least."""
_FREE_PAUSE: Final = 1.0
"""Seconds between two looks while no slot is busy."""
_COUNT_EVERY, _COUNT_SOON = 2.0, 0.5
"""Seconds between two counts of what waits, and when something has happened since; a store in which counting takes
long is asked less often."""
_COUNT_SHARE: Final = 50

_STATES: Final = {"preparing": "2", "running": "36", "checking": "33", "repairing": "35", "storing": "34"}
_LEAST: Final = 12
"""Columns that the last line gets before cells left of it are left out."""


class LiveView:
    """Use it with `with`; `follow` a worker, then run it. What is written to stderr meanwhile scrolls above the lines.

    `say` may be called by any thread. One thread draws, at most five times a second, and only what changed.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._region = Region(stream)
        self._colours = colours(stream)
        self._real: dict[str, Any] = {}
        self._said: deque[str] = deque()
        self._poke = threading.Event()
        self._over = False
        self._progress: Sequence[Progress] = ()
        self._counts: Callable[[], Counter[str]] | None = None
        self._waiting: Callable[[], int] | None = None
        self._waits: int | None = None
        self._stale = True
        self._counted, self._took = 0.0, 0.0
        self._shown: list[tuple[str, str]] = []
        self._seen = (0, 0, False)
        """Columns, rows, and whether the terminal was ours, when it was drawn last."""
        self._widest = [0, 0, 0, 9, 0, 0]
        """Of each cell, so far: columns don't jump to and fro as tasks come and go."""
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._before: Any = None

    def follow(
        self,
        progress: Sequence[Progress],
        counts: Callable[[], Counter[str]] | None = None,
        waiting: Callable[[], int] | None = None,
    ) -> None:
        """Show these slots; with `counts` what came of the tasks so far, and how many wait (asked by the thread that
        draws)."""
        self._counts, self._waiting = counts, waiting
        self._progress = progress

    def say(self, text: str) -> None:
        """Have lines scroll above the slots; they can't drive the terminal, whoever wrote them."""
        self._said.extend(clean(line) for line in text.splitlines() or [""])
        self._stale = True
        self._poke.set()

    def began(self, claim: Claim) -> None:
        """A slot has a task: look soon. Its line says so, nothing else does."""
        self._stale = True
        self._poke.set()

    def __enter__(self) -> LiveView:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream.isatty():
                self._real[name] = stream
                setattr(sys, name, _Above(stream, self.say))
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGCONT, self._continued)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over = True
        self._poke.set()
        self._thread.join()
        for name, stream in self._real.items():
            getattr(sys, name).close()
            setattr(sys, name, stream)
        if self._before is not None:
            signal.signal(signal.SIGCONT, self._before)
        self._region.draw((), self._above())

    def _continued(self, number: int, frame: FrameType | None) -> None:
        """We were stopped (Ctrl-Z), and a shell has written on the terminal since."""
        self._region.forget()
        self._seen = (0, 0, False)

    # The thread that draws

    def _run(self) -> None:
        while not self._over:
            drawn = time.monotonic()
            busy = self._tick()
            self._poke.wait(_PAUSE if busy else _FREE_PAUSE)
            self._poke.clear()
            rest = drawn + _PAUSE - time.monotonic()
            if rest > 0 and not self._over:
                time.sleep(rest)

    def _tick(self) -> bool:
        """Draw if something changed → whether a slot is busy."""
        looks = [one.look() for one in self._progress]
        busy = any(looks)
        self._count(busy)
        above, seen = self._above(), (*self._region.size(), self._region.in_front)
        lines = self._frame(looks, *seen[:2]) if self._progress else []
        if above or seen != self._seen or (lines != self._shown and seen[2]):
            self._shown, self._seen = lines, seen
            self._region.draw(lines, above)
        return busy

    def _above(self) -> list[str]:
        return [self._said.popleft() for _ in range(len(self._said))]

    def _count(self, busy: bool) -> None:
        now = time.monotonic()
        every = _COUNT_SOON if self._stale else _COUNT_EVERY if busy else 5 * _COUNT_EVERY
        if self._waiting is None or now < self._counted + max(every, self._took * _COUNT_SHARE):
            return
        self._stale = False
        try:
            self._waits = self._waiting()
        except RunnerError:
            self._waits = None  # the store is away; the worker says so
        self._counted, self._took = now, time.monotonic() - now

    # What is drawn

    def _frame(self, looks: Sequence[Look | None], columns: int, rows: int) -> list[tuple[str, str]]:
        """The lines, each plain and painted. Where there are more slots than rows, busy ones go first."""
        room = max(1, rows - 3)
        shown = list(looks)
        if len(shown) > room:
            busy = [look for look in shown if look is not None]
            shown = [*busy, *[None] * (len(shown) - len(busy))][: room - 1]
        now = time.monotonic()
        cells = [None if look is None else _cells(look, now) for look in shown]
        for row in cells:
            if row is not None:
                self._widest = [max(size, width(cell)) for size, cell in zip(self._widest, row, strict=True)]
        sizes = _sizes(self._widest, columns)
        lines = [self._row(row, look, sizes, columns - 1) for row, look in zip(cells, shown, strict=True)]
        if len(shown) < len(looks):
            hidden = sum(map(bool, looks)) - sum(map(bool, shown)), looks.count(None) - shown.count(None)
            told = [f"{n} {word}" for n, word in zip(hidden, ("busy", "free"), strict=True) if n]
            lines.append(self._plain(f"… more slots: {', '.join(told)}", columns, "2"))
        return [*lines, self._footer(columns, self._counts())] if self._counts is not None else lines

    def _row(self, cells: Sequence[str] | None, look: Look | None, sizes: Sequence[int], room: int) -> tuple[str, str]:
        if cells is None or look is None:
            return self._plain("(free)", room + 1, "2")
        plain, painted = "", ""
        for number, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
            if size:
                text = cut(cell, size)
                gap = " " * (size - width(text) + 2)
                plain += text + gap
                painted += paint(text, _STATES[look.state] if number == _STATE and self._colours else "") + gap
        line = cut(clean(without_escapes(look.line)).strip(), max(0, room - width(plain)))
        if width(plain) + width(line) > room:  # narrower than the cells that stay
            return self._plain(plain, room + 1)
        return (plain + line).rstrip(), (painted + paint(line, "2" if self._colours else "")).rstrip()

    def _plain(self, text: str, columns: int, code: str = "") -> tuple[str, str]:
        text = cut(text, columns - 1)
        return text, paint(text, code if self._colours else "")

    def _footer(self, columns: int, counts: Counter[str]) -> tuple[str, str]:
        known = {DONE: ("done", "32"), FAILED: ("failed", "31"), NEEDS_HUMAN: ("need a person", "33")}
        parts = [(counts.get(status, 0), *words) for status, words in known.items()]
        if self._waits is not None:
            parts.append((self._waits, "waiting", ""))
        if sum(len(f"{n} {word}, ") for n, word, _ in parts) > columns + 1:
            parts = [parts[0], *(part for part in parts[1:] if part[0])]
        plain = ", ".join(f"{n} {word}" for n, word, _ in parts)
        if width(plain) > columns - 1:
            return self._plain(plain, columns)
        told = [paint(f"{n} {word}", code if n and self._colours else "") for n, word, code in parts]
        return plain, ", ".join(told)


_STATE: Final = 3
"""Which of a slot's cells is its state."""


def _cells(look: Look, now: float) -> tuple[str, ...]:
    """A slot's cells but for its last line: id, type, agent, state, elapsed, cost."""
    task = look.task
    cost = f"${look.cost_usd:.2f}" if look.cost_usd is not None else ""
    if not cost and look.tokens:
        cost = f"{look.tokens / 1000:.1f}k tok" if look.tokens >= 1000 else f"{look.tokens} tok"
    return (clean(task.id), clean(task.type), clean(task.agent), look.state, elapsed(now - look.since), cost)


def _sizes(widest: Sequence[int], columns: int) -> list[int]:
    """Widths of the cells, 0 for those that are left out: on a narrow terminal the type goes first, the id last."""
    sizes = [min(size, most) for size, most in zip(widest, (16, 16, 12, 9, 8, 9), strict=True)]
    for number in (1, 2, 5, 3, 4):
        if sum(size + 2 for size in sizes if size) + _LEAST <= columns:
            break
        sizes[number] = 0
    return sizes


def elapsed(seconds: float) -> str:
    """`0:07`, `12:34`, `1:02:03`."""
    minutes, second = divmod(int(max(0.0, seconds)), 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"


class _Above(io.TextIOBase):
    """Stands for a stream to the terminal meanwhile: whole lines scroll above the view."""

    def __init__(self, real: IO[str], say: Callable[[str], None]) -> None:
        self._real = real
        self._say = say
        self._rest = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._say(line)
        return len(text)

    def isatty(self) -> bool:
        return self._real.isatty()

    def fileno(self) -> int:
        return self._real.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(getattr(self._real, "encoding", None) or "utf-8")

    def close(self) -> None:
        if self._rest:
            self._say(self._rest)
            self._rest = ""
