"""`runner plugins`: what is loaded, from where, which hooks it implements, and what is off or broken."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from runner import statuses
from runner.errors import RunnerError

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(epilog="Example:\n\n\b\n  runner plugins\n  runner plugins -p no:routing --format json")
@click.pass_obj
def command(inv: Invocation) -> int:
    """List plugins and handlers: origin, version, hooks and state (on, off, broken).

    Exits with 2 when one is broken in a way that stops other commands.
    """
    inv.lenient = True
    app = inv.app(code=True)
    plugins = app.plugins
    problems: list[RunnerError] = []
    try:
        app.registry.types  # noqa: B018 - made here, so that two owners of one name are found
    except RunnerError as error:
        problems.append(error)
    plugins.load_all()
    records = sorted(plugins.records.values(), key=lambda record: (record.origin, record.name))

    def text() -> None:
        rows = [
            (r.name, r.origin, f"{r.source} {r.version}".strip(), ", ".join(r.hooks), _state(r.state, r.reason))
            for r in records
        ]
        inv.table(("name", "origin", "source", "hooks", "state"), rows)

    inv.emit_list([asdict(record) for record in records], text)
    for problem in (*plugins.problems, *problems):
        inv.error(problem)
    return statuses.EXIT_USAGE if plugins.problems or problems else statuses.EXIT_OK


def _state(state: str, reason: str) -> str:
    return f"{state}: {reason}" if reason else state
