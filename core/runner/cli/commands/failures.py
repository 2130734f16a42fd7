"""`runner failures`: the failed tasks, why, and how to queue them again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from runner import times, why
from runner.cli import taskview
from runner.cli.taskview import put
from runner.statuses import FAILED
from runner.store.contract import TaskFilter

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation


@click.command(
    epilog=("Examples:\n\n\b\n  runner failures\n  runner failures --limit 5 --format json\n"),
)
@click.option("--work-unit", metavar="ID", help="Only this work unit.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many."
)
@click.pass_obj
def command(inv: Invocation, work_unit: str | None, limit: int) -> None:
    """List the failed tasks, newest first, each with its error and the command that queues it again."""
    store = inv.store()
    where = TaskFilter(statuses=(FAILED,), project=inv.app().project_id, unit=work_unit, limit=limit)
    tasks = store.queue.find(where)
    now = time.time()

    def text() -> None:
        if not tasks:
            inv.talk("Nothing failed.")
        for number, task in enumerate(tasks):
            if number:
                inv.line()
            when = f", {times.ago(task.finished_at, now)} ago" if task.finished_at else ""
            put(inv, f"{task.id}  {task.type}{f' by {task.agent}' if task.agent else ''}: {task.outcome}{when}")
            put(inv, f"  task      {taskview.title(task)}")
            summary = why.summary_of(task.result)
            if summary:
                put(inv, f"  error     {summary}")
            for verdict in why.verdicts_of(task.result):
                if not verdict["ok"]:
                    put(inv, f"  RED       {why.told(verdict)}")
            put(inv, f"  $ runner logs {task.id}")
            put(inv, f"  $ runner retry {task.id}")

    items = []
    if inv.format != "text":
        for task, value in zip(tasks, taskview.tasks_json(store, tasks, now), strict=True):
            value["reason"] = why.summary_of(task.result)
            value["commands"] = [f"runner logs {task.id}", f"runner retry {task.id}"]
            items.append(value)
    inv.emit_list(items, text)
