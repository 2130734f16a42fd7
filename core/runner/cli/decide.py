"""Decisions on several tasks: each in its own commit, so that one that can't be carried out stops no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.cli import taskview
from runner.errors import RunnerError
from runner.ids import new_id
from runner.statuses import PENDING
from runner.tasknames import find_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner.cli.invocation import Invocation
    from runner.model import Task
    from runner.store import Op


def each(inv: Invocation, ids: Sequence[str], op: Callable[[Task], Op], said: Callable[[Task, str], str]) -> None:
    """Commit `op(task)` for every task that `ids` name; `said(task, status after)` tells people.

    Every name is looked up first: a wrong one changes nothing. One task shows as an object, more as a list.
    Raises the first error after all were tried.
    """
    store = inv.store()
    tasks = [find_task(store, word, inv.app().project_id) for word in dict.fromkeys(ids)]
    decide(inv, list({task.id: task for task in tasks}.values()), op, said, single=len(ids) == 1)


def decide(
    inv: Invocation, tasks: Sequence[Task], op: Callable[[Task], Op], said: Callable[[Task, str], str], *, single: bool
) -> None:
    """As `each`, for tasks that are at hand."""
    store = inv.store()
    items: list[Any] = []
    lines: list[str] = []
    errors: list[RunnerError] = []
    for task in tasks:
        try:
            status = store.commit([op(task)], request_id=new_id(16))[0]
        except RunnerError as error:
            if single:
                raise
            errors.append(error)
            items.append({"id": task.id, "error": {"code": error.code, "message": error.message, "hint": error.hint}})
            inv.talk(f"error: {error}")
            continue
        lines.append(said(task, status))
        after = store.queue.get(task.id)
        items.append(taskview.task_json(after) if after is not None else {"id": task.id, "status": status})

    def text() -> None:
        for line in lines:
            inv.line(line)

    if single:
        inv.emit(items[0], text)
    else:
        inv.emit_list(items, text)
    if errors:
        raise SystemExit(errors[0].exit_code)


def queued(task: Task, status: str) -> str:
    """What to say when a task is in the queue again."""
    return f"Task {task.id} queued again" + ("" if status == PENDING else f" ({status})")
