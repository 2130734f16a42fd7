"""Tasks by what people type: a whole id, or the start of one that no other task shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.errors import NotFound, UsageError
from runner.store.contract import TaskFilter

if TYPE_CHECKING:
    from runner.model import Task
    from runner.store.contract import Store


def find_task(store: Store, word: str, project: str | None = None) -> Task:
    """The task that `word` names. NotFound when there is none, UsageError when several start so."""
    if not word.strip():
        raise NotFound("an empty id names no task", "see: runner queue --all")
    task = store.queue.get(word)
    if task is not None:
        return task
    # Ids have no capitals, and people copy them from places that do.
    where = TaskFilter(statuses=None, project=project, prefix=word.strip().lower(), limit=11)
    found = store.queue.find(where)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFound(f"no task '{word}'", "see: runner queue --all")
    names = ", ".join(f"{one.id} ({one.status})" for one in found[:10])
    more = ", …" if len(found) > 10 else ""
    raise UsageError(f"'{word}' starts the ids of several tasks: {names}{more}", "type more of it")
