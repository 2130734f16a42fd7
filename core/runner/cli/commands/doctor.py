"""`runner doctor`: what works on this machine and in this project, what doesn't, what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runner import statuses

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(epilog="Examples:\n\n\b\n  runner doctor\n  runner doctor --format json\n")
@click.pass_obj
def command(inv: Invocation) -> int:
    """Check this machine and project, and say what to fix.

    Python, git, the settings (all mistakes at once), the state folder and its disk, processes that were left
    behind, plugins and handlers, the store, agents, and what machines.yaml says of this machine. Works outside
    a project too. Whether agents answer is what `runner test` tries.

    Exits with 1 when something failed; warnings are no failure.
    """
    from pathlib import Path  # here, both: not for --help

    from runner.doctor import Doctor

    inv.lenient = True
    items = Doctor(Path.cwd(), lambda: inv.app(code=True), named=inv.named).look()

    def text() -> None:
        inv.table(("check", "state", "found"), [(item.check, item.state, item.text) for item in items])
        for item in items:
            if item.state != "ok":
                inv.line(f"\n{item.check}: {item.text}")
                inv.line(f"  fix: {item.fix}")

    rows = [{"check": item.check, "state": item.state, "text": item.text, "fix": item.fix} for item in items]
    inv.emit_list(rows, text)
    return statuses.EXIT_FAILED if any(item.state == "failed" for item in items) else statuses.EXIT_OK
