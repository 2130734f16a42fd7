"""`runner status`: how the store, the workers and the queue are; with an ID, how one task is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from runner import statuses, times, why
from runner.app import hide_password
from runner.cli import taskview
from runner.cli.taskview import put
from runner.fleet import Known, Standing, known_machines, standings
from runner.live import is_live
from runner.store.contract import TaskFilter
from runner.tasknames import find_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.app import App
    from runner.cli.invocation import Invocation
    from runner.model import JSON, Task, Worker
    from runner.store import Store

_LATEST = 300
"""Finished tasks that the numbers of machines are taken from: enough to know who does what, and quick to read."""


@click.command(
    epilog=("Examples:\n\n\b\n  runner status\n  runner status 3fk2m9x8w1qd\n"),
)
@click.argument("id", metavar="[ID]", required=False)
@click.pass_obj
def command(inv: Invocation, id: str | None) -> None:
    """Show the health of store and workers, how many tasks are where, and what runs now. With an ID: that task.

    Of each machine: how many of the latest finished tasks it did, and the agent that did most of them.
    """
    if id is not None:
        _one(inv, find_task(inv.store(), id, inv.app().project_id))
        return
    store, project, scope = inv.store(), inv.project(), inv.app().project_id
    started = time.perf_counter()
    counts = store.queue.count(TaskFilter(statuses=None, project=scope))
    took = time.perf_counter() - started
    workers = [(worker, is_live(worker)) for worker in store.queue.workers() if worker.project in ("", scope)]
    active = store.queue.find(TaskFilter(statuses=tuple(statuses.HELD), project=scope, limit=100))
    parked = _parked(store, scope)
    machines = _machines(inv.app(), [worker for worker, _ in workers])
    now = time.time()
    value = {
        "store": {"url": hide_password(store.url), "ok": True, "answer_ms": round(took * 1000, 2)},
        "project": {"id": scope, "root": str(project.root), "state": str(project.state)},
        "workers_online": sum(live for _, live in workers),
        "workers_total": len(workers),
        "parked": [_account_json(account, command) for account, command in parked],
        "workers": [taskview.worker_json(worker, live) for worker, live in workers],
        "machines": [_machine_json(known, one) for known, one in machines],
        "counts": counts,
        "active": taskview.tasks_json(store, active, now) if inv.format != "text" else [],
    }
    inv.emit(value, lambda: _text(inv, value, workers, parked, machines, active, now))


def _machines(app: App, workers: Sequence[Worker]) -> list[tuple[Known, Standing]]:
    """Each machine that is declared, has a worker or did something, with what it did of the latest tasks."""
    ended = TaskFilter((statuses.DONE, statuses.FAILED), app.project_id, limit=_LATEST)
    did = standings(app.config, app.store.queue.find(ended))
    known = known_machines(app.config, workers)
    gone = [Known(name) for name in did if name not in {one.name for one in known}]
    return [(one, did.get(one.name, Standing())) for one in (*known, *gone)]


def _machine_json(known: Known, standing: Standing) -> JSON:
    return {
        "name": known.name,
        "online": bool(known.online),
        "done": standing.done,
        "failed": standing.failed,
        "top_agent": standing.top_agent,
        "agents": dict(sorted(standing.agents.items())),
    }


def _parked(store: Store, project: str) -> list[tuple[JSON, str]]:
    """The accounts that rest now, each with the command that ends its rest ("" where no task waits for it)."""
    accounts = store.records.find("account", project)
    if not accounts:
        return []
    waiting = store.queue.find(TaskFilter((statuses.SCHEDULED, statuses.PENDING), project, limit=1000, newest=False))
    first = {task.account: task.id for task in reversed(waiting)}
    return [(one, why.unpark(first[one["id"]], one["reason"]) if one["id"] in first else "") for one in accounts]


def _account_json(account: JSON, command: str) -> JSON:
    return {
        "account": account["id"],
        "until": times.iso(account["parked_until"]),
        "reason": account["reason"],
        "command": command.partition("   #")[0] or None,
    }


def _text(
    inv: Invocation,
    value: dict[str, Any],
    workers: Sequence[tuple[Worker, bool]],
    parked: Sequence[tuple[JSON, str]],
    machines: Sequence[tuple[Known, Standing]],
    active: Sequence[Task],
    now: float,
) -> None:
    store, counts = value["store"], value["counts"]
    put(inv, f"store    ok, {store['answer_ms']} ms  {store['url']}")
    put(inv, f"workers  {value['workers_online']}/{value['workers_total']} online")
    for worker, live in workers:
        if live:
            put(inv, f"           {worker.id}  {worker.machine}, {worker.slots} slot{'' if worker.slots == 1 else 's'}")
    put(inv, f"tasks    {', '.join(f'{n} {name}' for name, n in counts.items()) or 'none'}")
    for account, command in parked:
        until = times.clock(account["parked_until"], now)
        put(inv, f"parked   account '{account['id']}' until {until}: {why.parked_words(account['reason'])}")
        if command:
            put(inv, f"           {command}")
    if machines:
        inv.line("\nMachines")
        standing = [(k.name, "on" if k.online else "off", s.done, s.failed, s.top_agent or "") for k, s in machines]
        inv.table(("MACHINE", "STATE", "DONE", "FAILED", "TOP AGENT"), standing)
    if active:
        since = {task.id: _since(inv.store(), task) for task in active}
        inv.line("\nRunning now")
        rows = [
            (
                task.id,
                task.status,
                task.holder.machine if task.holder else "",
                task.agent or "",
                times.ago(since[task.id], now),
                taskview.title(task),
            )
            for task in active
        ]
        inv.table(("ID", "STATUS", "MACHINE", "AGENT", "FOR", "TASK"), rows)
    waiting = counts.get(statuses.NEEDS_HUMAN, 0)
    if waiting:
        inv.line(f"\n{waiting} wait{'s' if waiting == 1 else ''} for a person: runner review")
    if not value["workers_online"] and counts.get(statuses.PENDING):
        inv.line("\nNo worker is running: runner work")


def _since(store: Store, task: Task) -> float | None:
    """When its holder took the task, or started it."""
    epoch = task.holder.epoch if task.holder is not None else task.epoch
    if task.status == statuses.IN_PROGRESS:
        return next((attempt.started_at for attempt in store.queue.attempts(task.id) if attempt.epoch == epoch), None)
    claims = (event for event in store.queue.events(task=task.id) if event.kind == "task.claimed")
    return next((event.at for event in claims if event.epoch == epoch), None)


def _one(inv: Invocation, task: Task) -> None:
    now = time.time()

    def text() -> None:
        outcome = f" ({task.outcome})" if task.outcome and task.outcome != "ok" else ""
        put(inv, f"{task.id}  {task.status}{outcome}  {taskview.title(task)}")
        if task.holder is not None:
            doing = f"attempt {task.attempt}" if task.status == statuses.IN_PROGRESS else "preparing it"
            since = times.ago(_since(inv.store(), task), now)
            put(inv, f"  on {task.holder.machine} ({task.holder.worker}), {doing}, for {since}")
        told = task.question or why.summary_of(task.result)
        if told:
            put(inv, f"  {told}")
        if task.status not in statuses.TERMINAL:
            put(inv, f"  more: runner why {task.id}")

    inv.emit(taskview.tasks_json(inv.store(), [task], now)[0], text)
