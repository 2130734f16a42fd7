"""A few lines at the bottom of a terminal that are redrawn in place, while other lines scroll above them."""

from __future__ import annotations

import os
import shutil
from typing import IO, TYPE_CHECKING, Final

from runner.cli.output import width

if TYPE_CHECKING:
    from collections.abc import Sequence

REFLOWING: Final = (
    "VTE_VERSION",
    "KITTY_WINDOW_ID",
    "ALACRITTY_WINDOW_ID",
    "WEZTERM_PANE",
    "WT_SESSION",
    "TMUX",
    "ITERM_SESSION_ID",
    "GHOSTTY_RESOURCES_DIR",
)
"""Variables of terminals that wrap the lines on the screen anew when they get narrower; others cut them."""


class Region:
    """The lines. One thread draws. The cursor is never hidden and rests below them: nothing has to be restored,
    however the program ends, and what a person types does not move them.
    """

    def __init__(self, stream: IO[str], *, sparing: bool = False) -> None:
        self._stream = stream
        self._sparing = sparing
        """Whether lines that are on the screen already are passed over; else they are written again."""
        self._fd = stream.fileno()
        self._drawn: list[int] = []
        """The widths of the lines on the screen."""
        self._texts: list[str] = []
        self._columns = 0
        self._gone = False
        self._reflows = any(name in os.environ for name in REFLOWING)

    def size(self) -> tuple[int, int]:
        """Columns and rows of the terminal now."""
        try:
            columns, rows = os.get_terminal_size(self._fd)
        except OSError:
            columns, rows = shutil.get_terminal_size()
        return columns or 80, rows or 24

    @property
    def in_front(self) -> bool:
        """Whether the terminal is ours: a job in the background would draw into what its user types."""
        try:
            return os.tcgetpgrp(self._fd) == os.getpgrp()
        except OSError:
            return True

    def forget(self) -> None:
        """Somebody else wrote on the terminal (we were stopped): what was drawn stays, the next goes below."""
        self._drawn, self._texts = [], []

    def draw(self, lines: Sequence[tuple[str, str]], above: Sequence[str] = ()) -> None:
        """Print `above`, then `lines` in place of those drawn before, in one write.

        A line is its plain text, which must fit the terminal, and the same text as it is written (with colours).
        """
        if not self.in_front:
            self.forget()
            lines = ()
        out = [*above, *(shown for _, shown in lines)]
        up = self._height()
        start = f"\r\x1b[{up}A" if up else "\r" if self._drawn else ""
        # Each line is erased behind its text, not before it: nothing flickers.
        end = "\x1b[K\n" if self._drawn or lines else "\n"
        same = self._same(out, up) if self._sparing and not above else frozenset()
        body = "".join("\n" if n in same else line + end for n, line in enumerate(out))
        self._write(start + body + ("\x1b[J" if self._drawn else ""))
        self._drawn, self._texts = [width(text) for text, _ in lines], [shown for _, shown in lines]
        self._columns = self.size()[0]

    def _same(self, out: Sequence[str], up: int) -> frozenset[int]:
        """Which of these lines are on the screen already, at their place."""
        if up != len(self._texts) or self.size()[0] != self._columns:
            return frozenset()
        return frozenset(n for n, (old, new) in enumerate(zip(self._texts, out, strict=False)) if old == new)

    def _height(self) -> int:
        """Rows of the screen that the lines take by now: a terminal that got narrower may have wrapped them."""
        columns, rows = self.size()
        if columns >= self._columns or not self._reflows:
            height = len(self._drawn)
        else:
            height = sum(max(1, -(-size // columns)) for size in self._drawn)
        return min(height, rows - 1)

    def _write(self, text: str) -> None:
        if self._gone or not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._gone = True  # the terminal was closed; the work goes on
