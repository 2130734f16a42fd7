"""`runner work --durations N`: the tasks that took longest, as a table at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner import times
from runner.cli.taskview import title

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.invocation import Invocation
    from runner.engine.run import Ended


def slowest(ended: Sequence[Ended], most: int) -> list[Ended]:
    """The `most` slowest, slowest first; 0 is all. A task that was tried again is there once for each time."""
    ordered = sorted(ended, key=lambda one: (-one.seconds, one.task.id))
    return ordered[:most] if most else ordered


def show(inv: Invocation, ended: Sequence[Ended], most: int) -> None:
    """The table; nothing for programs, whose JSON has the seconds of every task."""
    found = slowest(ended, most)
    if inv.json or not found:
        return
    inv.table(
        ("SECONDS", "STATUS", "ID", "TYPE", "TASK"),
        [(f"{one.seconds:.2f}", one.status or "lost", one.task.id, one.task.type, title(one.task)) for one in found],
    )
    whole = sum(one.seconds for one in ended)
    inv.talk(f"{len(found)} of {len(ended)} shown; {times.span(whole)} in all")
