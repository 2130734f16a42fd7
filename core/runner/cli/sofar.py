"""A run that has not come to a result of its own: its steps, and what they cost, by its journal and its file."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from runner.errors import RunnerError
from runner.statuses import CANCELLED, HELD, PENDING
from runner.why import summary_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runner.app import App
    from runner.model import Attempt, Task
    from runner.workflows.nodes import Node

_OPEN: Final = frozenset((*HELD, PENDING, CANCELLED))
"""Statuses in which the journal may know more than the result, which is that of an earlier execution."""


def workflow_of(task: Task) -> str:
    """The name of a run's workflow; what it was called by where nobody has read its file yet."""
    return str((task.result or {}).get("workflow") or task.payload.get("_name") or task.payload.get("workflow"))


def planned(app: App, task: Task) -> Node | None:
    """The run's steps as they are planned; None when its files can't be read, of which the run itself will tell."""
    from runner.workflows.payload import library  # here: pydantic
    from runner.workflows.select import only_until

    payload = task.payload
    cwd = Path(task.spec.get("cwd") or app.project.root)
    try:
        loaded = library(app, cwd, payload.get("_files") or {}).load(str(payload.get("_path") or payload["workflow"]))
        return only_until(loaded.root, payload.get("_until"))
    except RunnerError:
        return None


def node_at(root: Node | None, path: str) -> Node | None:
    """The step that a path names, in whatever iteration; None when the plan has none."""
    node, rest = root, path
    while rest and node is not None:
        node = next(
            (one for one in node.children if rest == one.id or rest.startswith((f"{one.id}/", f"{one.id}["))), None
        )
        if node is not None:
            rest = rest[len(node.id) :]
            rest = rest[rest.find("]") + 1 :] if rest.startswith("[") else rest
            rest = rest.removeprefix("/")
    return node


def so_far(app: App, task: Task, attempts: Sequence[Attempt] | None = None) -> Task:
    """The same task; of a run that goes on, or ended without a result, with the steps as its journal has them."""
    result = dict(task.result or {})
    if task.type != "workflow" or ("steps" in result and task.status not in _OPEN):
        return task
    from runner.engine.budget import Spending, usage_of  # here, these: most runs have a result

    if attempts is None:
        attempts = app.store.queue.attempts(task.id) if task.attempt else []
    spent = Spending(None, [usage_of(row.result) for row in attempts])
    usage = {"cost_usd": spent.usd, "tokens": spent.tokens, "turns": spent.turns}
    return replace(task, result={**result, "steps": _steps(app, task, attempts), "usage": usage})


def _steps(app: App, task: Task, attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    rows: dict[str, list[Attempt]] = {}
    for row in attempts:
        if not row.step.endswith(("?", "*")):  # what is asked before a step begins is no step
            rows.setdefault(row.step, []).append(row)
    before = {str(one["path"]): one for one in (task.result or {}).get("steps") or ()}
    root = None if before else planned(app, task)
    found = dict(before) or {path: _not_begun(task, node, path) for path, node in _places(root, rows)}
    for path, mine in rows.items():
        known = found.get(path)
        if known is None or known["status"] == "pending" or known.get("attempts", 0) < mine[-1].number:
            node = node_at(root, path)
            kind = (
                node.kind if node is not None else (known or {}).get("kind") or ("agent" if mine[-1].agent else "shell")
            )
            found[path] = {"id": path.rpartition("/")[2], "path": path, "kind": kind, **_came_to(task, mine)}
    return list(found.values())


def _places(root: Node | None, paths: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Node]]:
    """The steps that do something, in the order of the file; those of loops as far as they have begun."""
    for node in root.children if root is not None else ():
        path = f"{above}{node.id}"
        if node.kind == "loop":
            inside = [one for one in paths if one.startswith(f"{path}[")]
            yield from ((one, found) for one in inside if (found := node_at(root, one[len(above) :])) is not None)
        elif node.is_container:
            yield from _places(node, paths, f"{path}/")
        else:
            yield path, node


def _not_begun(task: Task, node: Node, path: str) -> dict[str, Any]:
    status = "not_run" if task.status == CANCELLED else "pending"
    return {"id": node.id, "path": path, "kind": node.kind, "status": status, "attempts": 0}


def _came_to(task: Task, rows: Sequence[Attempt]) -> dict[str, Any]:
    """What the attempts of a step say of it."""
    from runner.engine.budget import total, usage_of

    last = rows[-1]
    body, status = last.result or {}, _status(task, last)
    spent = total(usage_of(row.result) for row in rows)
    summary = str((body.get("values") or {}).get("summary") or "") if status == "done" else summary_of(body)
    return {
        "status": status,
        "outcome": last.outcome,
        "summary": summary or ("it was interrupted" if status == "pending" else ""),
        "output": str(body.get("output") or "")[:500],
        "duration_s": None if last.ended_at is None else round(last.ended_at - last.started_at, 3),
        "attempts": last.number,
        "usage": None if spent is None else asdict(spent),
        "kept": False,
    }


def _status(task: Task, last: Attempt) -> str:
    body = last.result or {}
    if body.get("final"):
        return "done" if last.outcome == "ok" else "failed"
    if task.status == CANCELLED:
        return "cancelled"
    from runner.engine.tried import PARKS

    if last.outcome in PARKS or body.get("held"):
        return "waiting"
    ours = task.holder is not None and last.epoch == task.holder.epoch
    return "running" if ours else "pending"
