"""What queuing a task again means for its payload: a workflow's run forgets the results that failed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.errors import UsageError
from runner.takers import HERE_ONLY

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.model import Task


def payload_again(inv: Invocation, task: Task) -> dict[str, Any] | None:
    """The payload to queue the task with; None leaves it as it is. UsageError for a run that no worker takes."""
    if task.type != "workflow":
        return None
    if HERE_ONLY in task.requires:
        raise UsageError(f"run {task.id} belongs to a terminal", f"runner workflow resume {task.id}")
    from runner.cli.resuming import plan_resume  # here: pydantic

    return plan_resume(inv.app(code=True), task, frozen=True).payload
