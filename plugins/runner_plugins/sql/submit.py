"""Submit: ids and keys that make a retried submit the same task, parents, rank, bulk."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from runner.errors import Conflict, NotFound
from runner.model import SECONDS_A_POINT
from runner.statuses import BLOCKED, DONE, PENDING, PLANNING
from runner.store import Submitted
from runner_plugins.sql import lanes
from runner_plugins.sql.admit import admit
from runner_plugins.sql.rows import EVENT, dump

if TYPE_CHECKING:
    from runner.model import NewTask
    from runner.store import SubmitTasks
    from runner_plugins.sql.tx import Tx

THERE = "SELECT id, status FROM tasks WHERE id IN @ids"
THERE_ONE = "SELECT id, status FROM tasks WHERE id = :id"
# `seq + 0`: by the key's index, of which there are few, not backwards through all tasks.
KEYED = """SELECT id, status, digest, type FROM tasks WHERE project = :project AND key = :key
    AND (status NOT IN ('done', 'failed', 'cancelled') OR key_forever = 1 OR :forever = 1)
    ORDER BY seq + 0 DESC LIMIT 1"""
PARENTS = "SELECT id, seq, status FROM tasks WHERE id IN @ids ORDER BY id{lock}"
MARK_PARENT = "UPDATE tasks SET children = 1 WHERE seq = :seq AND children = 0"
ADD_DEP = "INSERT INTO deps (child, parent, met) VALUES (:child, :parent, :met) ON CONFLICT DO NOTHING"
ADD_UNIT = """INSERT INTO units (id, project, status, data) VALUES (:id, :project, 'todo', '{}')
    ON CONFLICT DO NOTHING"""
ADD = """INSERT INTO tasks (id, project, unit, type, status, lane, rank, priority, payload, spec, machine, agent,
    account, requires, key, key_forever, digest, limit_key, attempts_max, interruptions_max, not_before, blocked_by,
    submitted_by, created_at)
    VALUES (:id, :project, :unit, :type, :status, :lane, {wall} - :head_start, :priority, :payload, :spec, :machine,
    :agent, :account, :requires, :key, :key_forever, :digest, :limit_key, :attempts, :interruptions, :not_before,
    :blocked_by, :by, {wall})"""
UNIT_PROJECT = "SELECT project FROM units WHERE id = :id"
SEQ = "SELECT seq FROM tasks WHERE id = :id"

_CHUNK = 500


def submit(tx: Tx, op: SubmitTasks) -> list[Submitted]:
    """Add tasks, all or none."""
    there = _existing(tx, [t.id for t in op.tasks])
    plain: list[dict[str, Any]] = []
    careful: dict[int, NewTask] = {}
    done: list[Submitted] = []
    routes: dict[tuple[Any, ...], int] = {}
    for task in op.tasks:
        if task.id in there:
            done.append(Submitted(task.id, there[task.id], False))
            continue
        if task.key is not None:
            if plain:
                _flush(tx, plain)
            same = _same_key(tx, task)
            if same is not None:
                done.append(same)
                continue
        route = (task.project, task.machine, task.type, task.account, task.requires)
        if route not in routes:
            routes[route] = lanes.intern(tx, *route)
        row = _row(task, routes[route])
        there[task.id] = PENDING
        if not (task.planning or task.after or task.unit or task.limit_key or task.not_before):
            plain.append(row)
            done.append(Submitted(task.id, PENDING, True))
            continue
        row["status"], row["blocked_by"] = (PLANNING, None) if task.planning else (BLOCKED, "deps")
        plain.append(row)
        careful[len(done)] = task
        done.append(Submitted(task.id, row["status"], True))
    _flush(tx, plain)
    for place, status in _careful(tx, careful).items() if careful else ():
        done[place] = Submitted(done[place].id, status, True)
    if any(one.created and one.status == PENDING for one in done):
        tx.woken.add("work")
    return done


def _existing(tx: Tx, ids: list[str]) -> dict[str, str]:
    if len(ids) == 1:
        return dict(tx.all(THERE_ONE, id=ids[0]))
    found: dict[str, str] = {}
    for start in range(0, len(ids), _CHUNK):
        found.update((i, s) for i, s in tx.all(THERE, ids=ids[start : start + _CHUNK]))
    return found


def _digest(task: NewTask) -> str:
    body = json.dumps([task.type, task.payload], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(body.encode()).hexdigest()


def _same_key(tx: Tx, task: NewTask) -> Submitted | None:
    tx.lock(f"submit:{task.project}:{task.key}")
    row = tx.one(KEYED, project=task.project, key=task.key, forever=int(task.key_forever))
    if row is None:
        return None
    if row[2] != _digest(task):
        raise Conflict(
            f"key '{task.key}' names task {row[0]} of type {row[3]}, which has another payload",
            "use another key, or submit the same payload",
        )
    return Submitted(row[0], row[1], False)


def _row(task: NewTask, lane: int) -> dict[str, Any]:
    return {
        "id": task.id,
        "project": task.project,
        "unit": task.unit,
        "type": task.type,
        "status": PENDING,
        "lane": lane,
        "head_start": task.priority * SECONDS_A_POINT,
        "priority": task.priority,
        "payload": dump(task.payload),
        "spec": dump(task.spec),
        "machine": task.machine,
        "agent": task.agent,
        "account": task.account,
        "requires": dump(sorted(set(task.requires))) if task.requires else "[]",
        "key": task.key,
        "key_forever": int(task.key_forever),
        "digest": _digest(task) if task.key is not None else None,
        "limit_key": task.limit_key,
        "attempts": task.attempts,
        "interruptions": task.interruptions,
        "not_before": task.not_before,
        "blocked_by": None,
        "by": task.by,
    }


def _flush(tx: Tx, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    tx.many(ADD, rows)
    tx.many(
        EVENT, [{"kind": "task.submitted", "task": r["id"], "epoch": 0, "who": r["by"], "data": "{}"} for r in rows]
    )
    rows.clear()


def _careful(tx: Tx, tasks: dict[int, NewTask]) -> dict[int, str]:
    """Tasks that may have to wait: they are in, out of the claim's sight; now their parents, then admission."""
    _refuse_cycles(tasks)
    seqs: dict[int, int] = {}
    for place, task in tasks.items():
        if task.unit is not None:
            _same_unit(tx, task)
        found = tx.one(SEQ, id=task.id)
        assert found is not None
        seqs[place] = int(found[0])
    for place, task in tasks.items():
        for parent, status in _parents(tx, task):
            tx.post(MARK_PARENT, seq=parent)
            tx.post(ADD_DEP, child=seqs[place], parent=parent, met=int(status == DONE))
    return {p: PLANNING if tasks[p].planning else admit(tx, seq) for p, seq in seqs.items()}


def _same_unit(tx: Tx, task: NewTask) -> None:
    """The task's unit, made when it is new; a unit belongs to one project."""
    tx.post(ADD_UNIT, id=task.unit, project=task.project)
    row = tx.one(UNIT_PROJECT, id=task.unit)
    if row is not None and row[0] != task.project:
        raise Conflict(f"work unit '{task.unit}' belongs to another project ({row[0]})", "choose another name")


def _refuse_cycles(tasks: dict[int, NewTask]) -> None:
    """Only tasks of one submit can wait for each other in a circle."""
    own = {task.id: task.after for task in tasks.values() if task.after}
    if not any(name in own for after in own.values() for name in after):
        return
    from graphlib import CycleError, TopologicalSorter  # rarely needed

    try:
        TopologicalSorter(own).prepare()
    except CycleError as error:
        raise Conflict("tasks wait for each other: " + " → ".join(error.args[1]), "break the circle") from None


def _parents(tx: Tx, task: NewTask) -> list[tuple[int, str]]:
    """(seq, status) of the parents, their rows locked so that none settles unseen in between."""
    if not task.after:
        return []
    # One order for everybody, so that two submits never lock the same parents crosswise.
    names = sorted(set(task.after))
    rows = [r for start in range(0, len(names), _CHUNK) for r in tx.all(PARENTS, ids=names[start : start + _CHUNK])]
    missing = set(names) - {r[0] for r in rows}
    if missing:
        raise NotFound(f"no task '{min(missing)}' to wait for", "see `runner queue --all`")
    return [(r[1], r[2]) for r in rows]
