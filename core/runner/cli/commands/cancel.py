"""`runner cancel`: end tasks, running or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runner.cli.decide import each
from runner.statuses import CANCELLED
from runner.store import CancelTask
from runner.who import submitter

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.model import Task


@click.command(
    epilog=(
        'Examples:\n\n\b\n  runner cancel 3fk2m9x8w1qd\n  runner cancel 3fk2 7bz1 --reason "not needed any more"\n'
    ),
)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the task's history.")
@click.pass_obj
def command(inv: Invocation, ids: tuple[str, ...], reason: str) -> None:
    """Cancel tasks. A running one is ended by its worker: asked first, then killed, until nothing of it is left."""

    def op(task: Task) -> CancelTask:
        return CancelTask(task=task.id, by=submitter(), reason=reason)

    def said(task: Task, status: str) -> str:
        if status == CANCELLED:
            return f"Task {task.id} cancelled"
        where = f" on {task.holder.machine}" if task.holder else ""
        return f"Task {task.id} is being ended{where}"

    each(inv, ids, op, said)
