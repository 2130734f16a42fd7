"""How far an upload or download is: a line on a terminal from half a second on, nothing elsewhere."""

from __future__ import annotations

import io
import os
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from runner.cli.output import clean, colours, cut, size
from runner.cli.region import Region

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation

_QUIET_SECONDS: Final = 0.5
_PAUSE: Final = 0.2
"""Seconds between two drawings."""


class TransferBar:
    """Call it with the bytes so far. Use it with `with`: the line is gone afterwards."""

    def __init__(self, inv: Invocation, name: str, total: int) -> None:
        self._name = clean(name)
        self._total = total
        self._next = time.monotonic() + _QUIET_SECONDS
        stream = sys.stderr
        shown = inv.format == "text" and not inv.quiet and stream is not None and stream.isatty()
        self._region = Region(stream) if shown and os.environ.get("TERM", "dumb") != "dumb" else None
        self._drawn: Any = None

    def __enter__(self) -> TransferBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._drawn is not None and self._region is not None:
            self._region.draw(())

    def __call__(self, count: int) -> None:
        if self._region is None or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _PAUSE
        if self._drawn is None:
            self._drawn = _Line(self._name, self._total)
        columns, _ = self._region.size()
        self._region.draw([self._drawn.at(count, columns)])


class _Line:
    """The line as rich draws it: name, bar, bytes, speed, time that is left."""

    def __init__(self, name: str, total: int) -> None:
        # Here: most transfers are over before there is anything to show.
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
        )
        self._name = name
        self._progress = Progress(*columns, auto_refresh=False, expand=True)
        self._task = self._progress.add_task(name, total=total, rate="")

    def at(self, count: int, columns: int) -> tuple[str, str]:
        """The line for a terminal of so many columns: plain, and painted where that is wanted."""
        speed = self._progress.tasks[0].speed
        name, rate = cut(self._name, max(8, columns // 4)), f"{size(round(speed))}/s" if speed else ""
        self._progress.update(self._task, completed=count, description=name, rate=rate)
        plain = self._drawn(columns, None)
        return plain, self._drawn(columns, "standard") if colours(sys.stderr) else plain

    def _drawn(self, columns: int, system: Any) -> str:
        from rich.console import Console

        out = io.StringIO()
        console = Console(
            file=out,
            width=max(20, columns - 1),
            height=1,
            color_system=system,
            force_terminal=system is not None,
            no_color=system is None,
            legacy_windows=False,
        )
        console.print(self._progress.make_tasks_table(self._progress.tasks), no_wrap=True, crop=True)
        return out.getvalue().split("\n")[0].rstrip()
