"""`runner runs`: the runs of workflows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from runner import times
from runner.cli.runview import run_json
from runner.cli.sofar import so_far, workflow_of
from runner.errors import UsageError, suggestion
from runner.statuses import ALIASES, STATUSES
from runner.store import TaskFilter
from runner.workflows.nodes import CONTAINERS

if TYPE_CHECKING:
    from runner.cli.invocation import Invocation
    from runner.model import Task


@click.command(epilog="Examples:\n\n\b\n  runner runs\n  runner runs --workflow ship --status failed,needs_human\n")
@click.option("--workflow", metavar="NAME", help="Only runs of this workflow.")
@click.option("--status", metavar="S[,S]", help="Only runs in these statuses.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many."
)
@click.pass_obj
def command(inv: Invocation, workflow: str | None, status: str | None, limit: int) -> None:
    """List runs of workflows, the newest first: how far each came, what it cost."""
    where = TaskFilter(statuses=_statuses(status), project=inv.app().project_id, type="workflow")
    found: list[Task] = []
    for task in inv.store().queue.find(where):
        if workflow is None or workflow_of(task) == workflow:
            found.append(so_far(inv.app(), task))
        if len(found) == limit:
            break
    items = [_item(task) for task in found]

    def text() -> None:
        if not items:
            inv.talk("no runs here; `runner workflow run NAME` makes one")
        columns = ("ID", "workflow", "STATUS", "steps", "cost", "age", "what")
        inv.table(columns, [_row(task, item) for task, item in zip(found, items, strict=True)])

    inv.emit_list(items, text)


def _statuses(words: str | None) -> tuple[str, ...] | None:
    if words is None:
        return None
    found = tuple(ALIASES.get(word.strip(), word.strip()) for word in words.split(","))
    for word in found:
        if word not in STATUSES:
            raise UsageError(f"there is no status '{word}'", suggestion(word, STATUSES))
    return found


def _item(task: Task) -> dict[str, Any]:
    item = run_json(task)
    steps = [step for step in item.pop("steps") if step["kind"] not in CONTAINERS]
    counts: dict[str, int] = {}
    for step in steps:
        counts[step["status"]] = counts.get(step["status"], 0) + 1
    started = {"created_at": times.iso(task.created_at), "finished_at": None}
    if task.finished_at is not None:
        started["finished_at"] = times.iso(task.finished_at)
    return {**item, "counts": counts, **started}


def _row(task: Task, item: dict[str, Any]) -> tuple[str, ...]:
    counts = item["counts"]
    total = sum(counts.values())
    cost = (item["usage"] or {}).get("cost_usd") or 0.0
    what = item["question"] or item["summary"]
    return (
        task.id,
        str(item["workflow"]),
        task.status,
        f"{counts.get('done', 0)}/{total}" if total else "",
        f"${cost:.2f}" if cost else "",
        times.ago(task.created_at, time.time()),
        " ".join(str(what or "").split())[:120],
    )
