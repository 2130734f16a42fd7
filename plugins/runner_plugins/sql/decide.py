"""What people decide: cancel, retry, resolve; and what the machine reports about a published branch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.errors import Conflict, NotFound, UsageError, suggestion
from runner.statuses import CANCELLED, DONE, FAILED, HELD, NEEDS_HUMAN, PENDING, TERMINAL
from runner_plugins.sql.admit import admit, step_aside
from runner_plugins.sql.rows import dump, load, note
from runner_plugins.sql.settle import OUTBOX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.store import CancelTask, Published, ResolveTask, RetryTask
    from runner_plugins.sql.tx import Row, Tx

PAYLOAD = "SELECT payload FROM tasks WHERE seq = :seq"
FIND = """SELECT seq, status, epoch, project, unit, limit_key, children, key, result FROM tasks WHERE id = :id{lock}"""
ASK_CANCEL = "UPDATE tasks SET cancel = 1 WHERE seq = :seq"
CANCEL = """UPDATE tasks SET status = 'cancelled', outcome = 'cancelled', blocked_by = NULL, finished_at = {wall}
    WHERE seq = :seq"""
AGAIN = """UPDATE tasks SET status = 'blocked', blocked_by = NULL, outcome = NULL, attempts = 0, interruptions = 0,
    not_before = NULL, question = CASE WHEN :answered = 1 THEN question END,
    answer = COALESCE(:answer, answer), finished_at = NULL, cancel = 0, payload = COALESCE(:payload, payload)
    WHERE seq = :seq"""
UNPARK = """DELETE FROM accounts WHERE name = (SELECT account FROM tasks WHERE seq = :seq)
    AND project = (SELECT project FROM tasks WHERE seq = :seq)"""
CLOSE = """UPDATE tasks SET status = :status, outcome = :outcome, question = NULL, result = :result, blocked_by = NULL,
    finished_at = {wall} WHERE seq = :seq"""
KEY_TAKEN = """SELECT id FROM tasks WHERE project = :project AND key = :key AND seq <> :seq
    AND status NOT IN ('done', 'failed', 'cancelled')"""
NO_HOME = "UPDATE tasks SET home = NULL WHERE seq = :seq"
NO_UNIT_HOME = "UPDATE units SET home = NULL WHERE id = :unit"
PUBLISHED = "UPDATE tasks SET publish = NULL WHERE id = :id AND epoch = :epoch"

_DECISIONS = (PENDING, DONE, FAILED)


def _find(tx: Tx, task: str) -> Row:
    row = tx.one(FIND, id=task)
    if row is None:
        raise NotFound(f"no task '{task}'", "see `runner queue --all`")
    return row


def cancel(tx: Tx, op: CancelTask) -> str:
    """Cancel at once, or ask the holder to end it."""
    seq, status, epoch, project, unit, limit_key, *_ = _find(tx, op.task)
    if status in TERMINAL:
        raise Conflict(f"task {op.task} is already {status}", "there is nothing to cancel")
    if status in HELD:
        tx.post(ASK_CANCEL, seq=seq)
        tx.woken.add("cancel")
        note(tx, "task.cancel_requested", op.task, epoch, op.by, {"reason": op.reason})
        return str(status)
    tx.post(CANCEL, seq=seq)
    if status == PENDING:
        step_aside(tx, project, unit, limit_key)
    note(tx, "task.cancelled", op.task, epoch, op.by, {"reason": op.reason})
    return CANCELLED


def retry(tx: Tx, op: RetryTask) -> str:
    """Queue the task again with fresh counters."""
    row = _find(tx, op.task)
    if row[1] in HELD:
        raise Conflict(f"task {op.task} is {row[1]}", f"cancel it first: `runner cancel {op.task}`")
    if row[1] == PENDING and not op.anywhere and op.payload is None:
        tx.run(UNPARK, seq=row[0])
        tx.woken.add("work")
        return PENDING
    if op.anywhere:
        tx.post(NO_HOME, seq=row[0])
        tx.post(NO_UNIT_HOME, unit=row[4])
    return _again(tx, op.task, row, None, op.by, "task.retried", {}, op.payload)


def _again(
    tx: Tx,
    task: str,
    row: Row,
    answer: str | None,
    by: str,
    kind: str,
    data: dict[str, Any],
    payload: Mapping[str, Any] | None,
) -> str:
    seq, status, epoch, project, unit, limit_key, _, key, _ = row
    if key is not None:
        tx.lock(f"submit:{project}:{key}")
    taken = tx.one(KEY_TAKEN, project=project, key=key, seq=seq) if key is not None and status in TERMINAL else None
    if taken is not None:
        raise Conflict(f"key '{key}' of task {task} is in use by task {taken[0]}", "wait for that one, or cancel it")
    # A person who queues it again has seen to what parked its account (a log-in, a limit that is over).
    tx.run(UNPARK, seq=seq)
    given = None if payload is None else dump(payload)
    tx.post(AGAIN, seq=seq, answer=answer, answered=int(answer is not None), payload=given)
    after = admit(tx, seq)
    if status == PENDING and after != PENDING:
        step_aside(tx, project, unit, limit_key)
    note(tx, kind, task, epoch, by, {**data, "status": after})
    return after


def resolve(tx: Tx, op: ResolveTask) -> str:
    """A person's word on a task that waits for one."""
    row = _find(tx, op.task)
    seq, status, epoch, _project, _unit, _limit_key, children, _, result = row
    data = {**op.about, "to": op.to, "notes": op.notes}
    if op.to not in _DECISIONS:
        raise UsageError(f"a task can't be resolved as '{op.to}'", suggestion(op.to, _DECISIONS))
    if status in HELD:
        hint = f"cancel it first: `runner cancel {op.task}`"
        raise Conflict(f"task {op.task} is {status}", hint if op.payload is None else "wait until it asks again")
    further = status == PENDING and op.to == PENDING and op.payload is not None
    if status not in (NEEDS_HUMAN, FAILED) and not further:
        raise Conflict(f"task {op.task} is {status}", "only needs_human and failed tasks take a decision")
    now = tx.one(PAYLOAD, seq=seq) if op.replaces is not None else None
    if now is not None and load(now[0]) != dict(op.replaces or {}):
        raise Conflict(f"somebody else has just decided about task {op.task}", "look at it again")
    if op.to == PENDING:
        return _again(tx, op.task, row, op.answer, op.by, "task.resolved", data, op.payload)
    verdict = {"by": op.by, "to": op.to, "notes": op.notes}
    outcome = "ok" if op.to == DONE else "check_failed"
    tx.post(CLOSE, seq=seq, status=op.to, outcome=outcome, result=dump({**(load(result) or {}), "human": verdict}))
    if op.to == DONE and children:
        tx.post(OUTBOX, seq=seq)
    note(tx, "task.resolved", op.task, epoch, op.by, {**data, "status": op.to})
    return op.to


def published(tx: Tx, op: Published) -> None:
    """The branch is moved, or can't be: either way it is not asked for again."""
    if tx.run(PUBLISHED, id=op.task, epoch=op.epoch):
        note(tx, "task.published", op.task, op.epoch, "", {"error": op.error} if op.error else {})
