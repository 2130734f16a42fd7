"""Draws a picture at the bottom of a terminal from a thread of its own; what is written meanwhile scrolls above it."""

from __future__ import annotations

import io
import signal
import sys
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING, Final

from runner.cli.output import clean, colours, cut, paint
from runner.cli.region import Region

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import Any, Self

    from runner.progress import Look, Progress

_PAUSE: Final = 0.2
"""Seconds between two drawings, at least."""
_FREE_PAUSE: Final = 1.0
"""Seconds between two looks while no slot is busy."""


class Drawing:
    """Use it with `with`. What is written to stderr meanwhile scrolls above the lines.

    `say` may be called by any thread. One thread draws, at most five times a second, and only when something
    changed (`sparing`: only the lines that did). What is drawn is `_frame`'s.
    """

    def __init__(self, stream: IO[str], *, sparing: bool = False) -> None:
        self._region = Region(stream, sparing=sparing)
        self._colours = colours(stream)
        self._real: dict[str, Any] = {}
        self._said: deque[str] = deque()
        self._poke = threading.Event()
        self._over = False
        self._shown: list[tuple[str, str]] = []
        self._seen = (0, 0, False)
        """Columns, rows, and whether the terminal was ours, when it was drawn last."""
        self._thread = threading.Thread(target=self._run, name="live", daemon=True)
        self._before: Any = None

    def say(self, text: str) -> None:
        """Have lines scroll above the picture; they can't drive the terminal, whoever wrote them."""
        self._said.extend(clean(line) for line in text.splitlines() or [""])
        self._heard()
        self._poke.set()

    def __enter__(self) -> Self:
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
        slots = self._slots()
        looks = [one.look() for one in slots]
        busy = any(looks)
        self._look(busy)
        above, seen = self._above(), (*self._region.size(), self._region.in_front)
        lines = self._frame(looks, *seen[:2]) if slots else []
        if above or seen != self._seen or (lines != self._shown and seen[2]):
            self._shown, self._seen = lines, seen
            self._region.draw(lines, above)
        return busy

    def _above(self) -> list[str]:
        return [self._said.popleft() for _ in range(len(self._said))]

    def _plain(self, text: str, columns: int, code: str = "") -> tuple[str, str]:
        text = cut(text, columns - 1)
        return text, paint(text, code if self._colours else "")

    # What is drawn

    def _slots(self) -> Sequence[Progress]:
        """What is looked at for the picture; nothing is drawn without."""
        raise NotImplementedError

    def _frame(self, looks: Sequence[Look | None], columns: int, rows: int) -> list[tuple[str, str]]:
        """The lines, each plain and painted, for a terminal of that size."""
        raise NotImplementedError

    def _look(self, busy: bool) -> None:
        """Before a picture is made: ask what takes long to ask."""

    def _heard(self) -> None:
        """Something was said."""


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
