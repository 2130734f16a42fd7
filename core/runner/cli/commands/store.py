"""`runner store`: bring the store's schema up to date; what is in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from runner.app import hide_password
from runner.store.contract import TaskFilter

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.group(
    epilog=("Examples:\n\n\b\n  runner store upgrade\n  runner store info\n"),
)
def command() -> None:
    """Bring the store's schema up to date; see what is in it."""


@command.command(
    epilog=("Examples:\n\n\b\n  runner store upgrade\n  runner --store postgresql://me@db/queue store upgrade\n"),
)
@click.pass_obj
def upgrade(inv: Invocation) -> None:
    """Apply the schema migrations that this version needs. A shared database is only ever upgraded by this command."""
    store = inv.store()
    applied = store.upgrade()

    def text() -> None:
        for name in applied:
            inv.line(f"Applied {name}")
        if not applied:
            inv.line("The store is up to date.")

    inv.emit({"url": hide_password(store.url), "applied": applied}, text)


@command.command(
    epilog=("Example:\n\n\b\n  runner store info --format json\n"),
)
@click.pass_obj
def info(inv: Invocation) -> None:
    """Show where the store is and what it holds."""
    store = inv.store()
    counts = store.queue.count(TaskFilter(statuses=None))
    path = store.url.removeprefix("sqlite:///") if store.url.startswith("sqlite:///") else None
    value = {
        "url": hide_password(store.url),
        "bytes": sum(os.path.getsize(name) for name in (path, f"{path}-wal") if os.path.exists(name)) if path else None,
        "tasks": sum(counts.values()),
        "counts": counts,
        "workers": len(store.queue.workers()),
        "artifacts": len(store.records.artifacts()),
    }

    def text() -> None:
        for name, shown in value.items():
            if name == "counts":
                shown = ", ".join(f"{n} {status}" for status, n in counts.items())
            if shown not in (None, ""):
                inv.line(f"{name:<10} {shown}")

    inv.emit(value, text)
