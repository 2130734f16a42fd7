"""`runner review`: the tasks that wait for a person, and the commands that answer them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from runner import times, why
from runner.cli import taskview
from runner.cli.runview import waits_json
from runner.cli.taskview import put
from runner.statuses import NEEDS_HUMAN
from runner.store.contract import TaskFilter
from runner.tasknames import find_task
from runner.workflows.decisions import offers

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.model import Task


@click.command(
    epilog=("Examples:\n\n\b\n  runner review\n  runner review --format json\n"),
)
@click.argument("id", metavar="[ID]", required=False)
@click.option("--work-unit", metavar="ID", help="Only this work unit.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="At most so many.")
@click.pass_obj
def command(inv: Invocation, id: str | None, work_unit: str | None, limit: int | None) -> None:
    """List the tasks that wait for a person: the question or the red checks, and how to answer."""
    store, project = inv.store(), inv.app().project_id
    if id is not None:
        tasks = [task for task in [find_task(store, id, project)] if task.status == NEEDS_HUMAN]
    else:
        where = TaskFilter(statuses=(NEEDS_HUMAN,), project=project, unit=work_unit, limit=limit)
        tasks = store.queue.find(where)
    now = time.time()
    items = []
    if inv.format != "text":
        for task, value in zip(tasks, taskview.tasks_json(store, tasks, now), strict=True):
            value["reason"] = why.reason_for_person(task)
            value["waiting"] = waits_json(task)
            value["commands"] = [line.partition("   #")[0] for line in why.answers(task)]
            items.append(value)

    def text() -> None:
        if not tasks:
            inv.talk("Nothing waits for you.")
        for number, task in enumerate(tasks):
            if number:
                inv.line()
            _show(inv, task, now)

    inv.emit_list(items, text)


def _show(inv: Invocation, task: Task, now: float) -> None:
    put(
        inv, f"{task.id}  {task.type}{f' by {task.agent}' if task.agent else ''}, {times.ago(task.created_at, now)} old"
    )
    put(inv, f"  task      {taskview.title(task)}")
    red = [verdict for verdict in why.verdicts_of(task.result) if not verdict["ok"]]
    asked = offers(task)
    for one, _ in asked:
        options = f" ({', '.join(map(str, one['options']))})" if one.get("options") else ""
        put(inv, f"  {'why     ' if one.get('held') else 'question'}  {one['path']}: {one['question']}{options}")
    if asked:
        red = []
    elif why.asks(task):
        put(inv, f"  question  {why.reason_for_person(task)}")
    elif not red:
        put(inv, f"  why       {task.outcome}: {why.reason_for_person(task)}")
    for verdict in red:
        put(inv, f"  RED       {why.told(verdict)}")
    branch = (task.result or {}).get("branch")
    if branch:
        put(inv, f"  branch    {branch}")
    for line in why.answers(task):
        put(inv, f"  $ {line}")
