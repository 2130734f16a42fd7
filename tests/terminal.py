"""A real terminal for tests: the program on a PTY, and the screen that a person would see."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

import pexpect
import pyte

from runner.cli.region import REFLOWING


class Terminal:
    """Runs a program on a terminal of `columns` × `rows`. `screen` is what it shows, `history` what scrolled away.

    Use it with `with`: a program that still runs is killed at the end.
    """

    def __init__(
        self, argv: Sequence[str], cwd: Path, columns: int = 80, rows: int = 24, env: dict[str, str] | None = None
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=0.001)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = b""
        self.writes = 0
        # It is not the terminal in which the tests were started.
        inherited = {name: value for name, value in os.environ.items() if name not in REFLOWING}
        with warnings.catch_warnings():
            # Newer Pythons warn of a fork beside threads; what comes after this one is an exec.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._child = pexpect.spawn(
                argv[0],
                list(argv[1:]),
                cwd=str(cwd),
                env={**inherited, "TERM": "xterm-256color", "LANG": "C.UTF-8", **(env or {})},
                dimensions=(rows, columns),
                timeout=30,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._child.close(force=True)

    def read(self, seconds: float = 0.1) -> None:
        """Take what the program writes for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            try:
                data = self._child.read_nonblocking(1 << 16, timeout=left)
            except pexpect.TIMEOUT:
                return
            except pexpect.EOF:
                return
            self.raw += data
            self.writes += 1
            self._stream.feed(data)

    def until(self, what: str | Callable[[], bool], seconds: float = 30) -> None:
        """Read until a text is on the screen, or a condition holds."""
        holds = what if callable(what) else lambda: what in self.text
        end = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < end, f"not seen: {what}\n{self.text}"
            self.read(0.05)

    @property
    def lines(self) -> list[str]:
        """The rows of the screen, without the empty ones at its end."""
        rows = [row.rstrip() for row in self._screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def whole(self) -> str:
        """All that was shown: what scrolled away, and the screen."""
        top = ["".join(row[n].data for n in range(self._screen.columns)) for row in self._screen.history.top]
        return "\n".join([*(row.rstrip() for row in top), *self.lines])

    @property
    def cursor_is_shown(self) -> bool:
        return not self._screen.cursor.hidden

    def type(self, text: str) -> None:
        """Press keys."""
        self._child.send(text)

    def resize(self, columns: int, rows: int) -> None:
        """Another size, as when a person drags the window."""
        self._screen.resize(rows, columns)
        self._child.setwinsize(rows, columns)

    def signal(self, number: int) -> None:
        self._child.kill(number)

    @property
    def pid(self) -> int:
        return int(self._child.pid)

    def wait(self, seconds: float = 60) -> int:
        """Read to the end → the exit code (negative: a signal)."""
        end = time.monotonic() + seconds
        while self._child.isalive():
            assert time.monotonic() < end, self.text
            self.read(0.05)
        self.read(0.2)
        code, number = self._child.exitstatus, self._child.signalstatus
        return int(code) if code is not None else -int(number or 0)
