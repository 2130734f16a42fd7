"""`runner queue`: the tasks, newest first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from runner import statuses
from runner.cli import taskview
from runner.cli.output import terminal_width
from runner.errors import UsageError, suggestion
from runner.store.contract import TaskFilter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.cli.invocation import Invocation
    from runner.model import Task

_ON_A_SCREEN = 50
"""Rows shown on a terminal without --limit; pipes and JSON always get all."""


@click.command(
    epilog=(
        "Examples:\n\n\b\n"
        "  runner queue\n"
        "  runner queue --status needs_human,failed\n"
        "  runner queue --all --limit 20 --format json\n"
    ),
)
@click.option("--status", metavar="S[,S]", multiple=True, help="Only these statuses.")
@click.option("--all", "every", is_flag=True, help="Finished tasks too (a --status still narrows).")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="At most so many.")
@click.option("--type", metavar="T", help="Only this type.")
@click.option("--agent", metavar="A", help="Only this agent.")
@click.option("--machine", metavar="M", help="Only tasks for this machine.")
@click.option("--work-unit", metavar="ID", help="Only this work unit.")
@click.option("-k", "words", metavar="WORDS", help="Only tasks that hold all these words.")
@click.pass_obj
def command(
    inv: Invocation,
    status: tuple[str, ...],
    every: bool,
    limit: int | None,
    type: str | None,
    agent: str | None,
    machine: str | None,
    work_unit: str | None,
    words: str | None,
) -> None:
    """List the tasks that are not finished, newest first."""
    store = inv.store()
    where = TaskFilter(
        statuses=None if every and not status else read_statuses(status),
        project=inv.app().project_id,
        unit=work_unit,
        type=type,
        agent=agent,
        machine=machine,
    )
    screen = limit is None and inv.format == "text" and terminal_width() is not None
    most = _ON_A_SCREEN + 1 if screen else limit
    now = time.time()
    tasks: list[Task] = []
    found = _matching(taskview.find_all(store, where, None if words else most), words)
    for task in found:
        tasks.append(task)
        if most is not None and len(tasks) >= most:
            break

    def text() -> None:
        shown = tasks[:_ON_A_SCREEN] if screen else tasks
        if not shown:
            inv.talk("No tasks." if every or status or words else "Nothing is waiting or running.")
            return
        inv.table(taskview.COLUMNS, [taskview.row(task, now) for task in shown])
        if len(shown) < len(tasks):
            inv.talk(f"… and more: the newest {len(shown)} are shown, see --limit")

    inv.emit_list(taskview.tasks_json(store, tasks, now) if inv.format != "text" else [], text)


def _matching(pages: Iterator[list[Task]], words: str | None) -> Iterator[Task]:
    wanted = (words or "").split()
    for page in pages:
        for task in page:
            if taskview.matches(task, wanted):
                yield task


def read_statuses(words: tuple[str, ...]) -> tuple[str, ...]:
    """The statuses that `--status` names; none given are the unfinished ones."""
    names = []
    for word in ",".join(words).split(","):
        if word.strip():
            try:
                names.append(statuses.parse_status(word.strip()))
            except ValueError:
                known = (*statuses.STATUSES, *statuses.ALIASES)
                raise UsageError(f"'{word.strip()}' is not a status", suggestion(word.strip(), known)) from None
    return tuple(names)
