"""`runner retry`: queue tasks again with fresh counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from runner.cli.again import payload_again
from runner.cli.decide import each, queued
from runner.store import RetryTask
from runner.tasknames import find_task
from runner.who import submitter

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.model import Task


@click.command(
    epilog=("Examples:\n\n\b\n  runner retry 3fk2m9x8w1qd\n  runner retry 3fk2 7bz1 --anywhere\n"),
)
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@click.option("--anywhere", is_flag=True, help="On any machine that fits, not only the one that holds its workspace.")
@click.pass_obj
def command(inv: Invocation, ids: tuple[str, ...], anywhere: bool) -> None:
    """Queue finished, held back or waiting tasks again, with all attempts left."""

    if any(find_task(inv.store(), word, inv.app().project_id).type == "workflow" for word in ids):
        inv.app(code=True)  # before anything else is open: a run's workflow may name what the project brings

    def op(task: Task) -> RetryTask:
        return RetryTask(task=task.id, by=submitter(), anywhere=anywhere, payload=payload_again(inv, task))

    each(inv, ids, op, queued)
