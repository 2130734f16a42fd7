"""The live view of `runner work`: a line for each slot and one of counts, redrawn in place; all else scrolls above."""

from __future__ import annotations

import time
from typing import IO, TYPE_CHECKING, Final

from runner.cli.drawing import Drawing, elapsed
from runner.cli.output import clean, cut, paint, width, without_escapes
from runner.errors import RunnerError
from runner.statuses import DONE, FAILED, NEEDS_HUMAN

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from runner.model import Claim
    from runner.progress import Look, Progress

_COUNT_EVERY, _COUNT_SOON = 2.0, 0.5
"""Seconds between two counts of what waits, and when something has happened since; a store in which counting takes
long is asked less often."""
_COUNT_SHARE: Final = 50

_STATES: Final = {"preparing": "2", "running": "36", "checking": "33", "repairing": "35", "storing": "34"}
_LEAST: Final = 12
"""Columns that the last line gets before cells left of it are left out."""


class LiveView(Drawing):
    """Use it with `with`; `follow` a worker, then run it."""

    def __init__(self, stream: IO[str]) -> None:
        super().__init__(stream)
        self._progress: Sequence[Progress] = ()
        self._counts: Callable[[], Counter[str]] | None = None
        self._waiting: Callable[[], int] | None = None
        self._waits: int | None = None
        self._stale = True
        self._counted, self._took = 0.0, 0.0
        self._widest = [0, 0, 0, 9, 0, 0]
        """Of each cell, so far: columns don't jump to and fro as tasks come and go."""

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

    def began(self, claim: Claim) -> None:
        """A slot has a task: look soon. Its line says so, nothing else does."""
        self._stale = True
        self._poke.set()

    # The thread that draws

    def _slots(self) -> Sequence[Progress]:
        return self._progress

    def _heard(self) -> None:
        self._stale = True

    def _look(self, busy: bool) -> None:
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
