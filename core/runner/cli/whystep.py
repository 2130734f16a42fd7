"""`runner why RUN STEP`: how one step of a run came to what it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runner.cli import taskview
from runner.cli.attempttext import tell_attempt
from runner.cli.sofar import node_at, planned, so_far
from runner.cli.taskview import put
from runner.errors import UsageError, suggestion
from runner.workflows.decisions import waiting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from runner.cli.invocation import Invocation
    from runner.model import Attempt, Task


def tell(inv: Invocation, task: Task, step: str, attempts: Sequence[Attempt], folders: Mapping[int, Path]) -> None:
    """The step's state, what it waits for, and its attempts; of a container those of all its steps."""
    app = inv.app()
    steps = {str(one["path"]): one for one in (so_far(app, task, attempts).result or {}).get("steps") or ()}
    mine = [attempt for attempt in attempts if _of(attempt.step, step)]
    begun = bool(mine) or (step in steps and steps[step]["status"] != "pending")
    if step not in steps and not mine and (task.type != "workflow" or node_at(planned(app, task), step) is None):
        known = [*steps, *(attempt.step for attempt in attempts)]
        raise UsageError(f"task {task.id} has no step '{step}'", suggestion(step, known) if known else "")
    found: dict[str, Any] = dict(steps.get(step, {"path": step, "status": "running" if mine else "pending"}))
    asked = next((one for one in waiting(task) if one["path"] == step), None)
    value = {
        **found,
        "run": task.id,
        "waits": asked,
        "history": [taskview.attempt_json(attempt, folders.get(attempt.n)) for attempt in mine],
    }

    def text() -> None:
        put(inv, f"{step} is {found['status']}" + (f": {found['summary']}" if found.get("summary") else ""))
        if not begun:
            put(inv, "  it has not begun")
        if asked is not None:
            put(inv, f"  it waits: {asked['question']}")
        if found.get("kept"):
            put(inv, "  its result is of an earlier execution of the run, and holds")
        for attempt in mine:
            tell_attempt(inv, attempt, folders.get(attempt.n), time.time())

    inv.emit(value, text)


def _of(address: str, step: str) -> bool:
    bare = address.rstrip("?*")
    return bare == step or bare.startswith((f"{step}/", f"{step}["))
