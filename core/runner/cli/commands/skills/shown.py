"""How the commands about skills show what checks found, and how far they are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from runner.cli.output import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.cli.invocation import Invocation
    from runner.skills.checking import Checked

_STATES = {"installed": "installed", "missing": "missing", "timeout": "timeout", "no_check": "unknown"}


def table(inv: Invocation, found: Sequence[Checked]) -> None:
    """A row for each skill."""
    columns = ["skill", "category", "state", "found", "description"]
    rows = [
        [
            one.skill.name,
            one.skill.category,
            _STATES.get(one.state, one.detail),
            one.detail if one.state in ("installed", "timeout") else "",
            one.skill.description,
        ]
        for one in found
    ]
    if len({one.skill.category for one in found}) == 1:
        # Asked for one category: its name in each row says nothing.
        columns, rows = [columns[0], *columns[2:]], [[row[0], *row[2:]] for row in rows]
    inv.table(columns, rows)


def overrides(inv: Invocation, found: Sequence[Checked]) -> None:
    """Say which skills are the project's own in the place of shipped ones."""
    for one in found:
        if one.skill.overrides:
            inv.talk(f"'{one.skill.name}' is the one of {one.skill.place}; it replaces the shipped one")


class Progress:
    """Counts checks on stderr where a person is there to see it; leaves nothing behind."""

    def __init__(self, inv: Invocation, total: int) -> None:
        self._shown = not inv.quiet and sys.stderr is not None and sys.stderr.isatty()
        self._total, self._count = total, 0

    def __enter__(self) -> Progress:
        return self

    def seen(self, one: Checked) -> None:
        """One more is known."""
        self._count += 1
        if self._shown:
            name = clean(one.skill.name)[:40]
            sys.stderr.write(f"\r\x1b[K{self._count} of {self._total} checked: {name}")
            sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
