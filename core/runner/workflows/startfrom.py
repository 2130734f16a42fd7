"""Begin in the middle: what another run came to stands for the steps before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.errors import UsageError
from runner.store import TaskFilter
from runner.tasknames import find_task
from runner.workflows.select import needed_by

if TYPE_CHECKING:
    from runner.app import App
    from runner.model import Attempt, Task
    from runner.workflows.load import Loaded


def seeds(app: App, loaded: Loaded, step: str, previous: str | None) -> dict[str, dict[str, Any]]:
    """Results by address, of all that `step` needs; UsageError where one of them never came to one."""
    before = needed_by(loaded.root, step)
    if not before:
        return {}
    run = _run(app, loaded, previous)
    # What that run itself took from an earlier one stands here too.
    known = {**(run.payload.get("_seed") or {}), **{path: _seed(row) for path, row in _finals(app, run).items()}}
    found: dict[str, dict[str, Any]] = {}
    for id in sorted(before):
        own = {path: one for path, one in known.items() if path.split("/")[0].split("[")[0].rstrip("?*") == id}
        if not own:
            raise UsageError(f"run {run.id} has no result of step '{id}', which '{step}' needs", f"--from {id}")
        found |= own
    return found


def _run(app: App, loaded: Loaded, previous: str | None) -> Task:
    if previous is not None:
        return find_task(app.store, previous, app.project_id)
    name = loaded.source.workflow.name
    where = TaskFilter(statuses=None, project=app.project_id, type="workflow")
    for task in app.store.queue.find(where):
        if (task.result or {}).get("workflow") == name:
            return task
    raise UsageError(f"no run of workflow '{name}' has ended here yet", "run it from its beginning")


def _finals(app: App, run: Task) -> dict[str, Attempt]:
    rows: dict[str, Attempt] = {}
    for row in app.store.queue.attempts(run.id):
        if (row.result or {}).get("final"):
            rows[row.step] = row
    return rows


def _seed(row: Attempt) -> dict[str, Any]:
    body = row.result or {}
    output = body.get("whole", body.get("output") or "")
    return {"outcome": row.outcome, "output": output, "values": dict(body.get("values") or {})}
