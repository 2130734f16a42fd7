"""The end of a claim: settled with an outcome, handed back, or taken back from a dead holder."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from runner.errors import UsageError, suggestion
from runner.statuses import CANCELLED, DONE, NEEDS_HUMAN, OUTCOMES, PENDING, SCHEDULED, TERMINAL
from runner.store.transitions import interrupted, settled
from runner_plugins.sql.admit import admit, show_unit, stay, step_aside
from runner_plugins.sql.attempts import interrupt
from runner_plugins.sql.rows import EVENT, dump, note

if TYPE_CHECKING:
    from runner.store import Release, Settle
    from runner_plugins.sql.fences import Held
    from runner_plugins.sql.tx import Tx

END = """UPDATE tasks SET status = :status, outcome = :outcome, attempts = :attempts, result = :result,
    question = :question, publish = :publish, not_before = :not_before, blocked_by = NULL, cancel = 0,
    finished_at = CASE WHEN :final = 1 THEN {wall} ELSE NULL END WHERE seq = :seq"""
HAND_BACK = """UPDATE tasks SET status = :status, interruptions = :interruptions, cancel = 0, blocked_by = NULL,
    question = COALESCE(:question, question), epoch = epoch + :bump,
    finished_at = CASE WHEN :final = 1 THEN {wall} ELSE NULL END WHERE seq = :seq"""
END_ATTEMPT = """UPDATE attempts SET ended_at = {wall}, outcome = :outcome, result = :result
    WHERE task = :task AND epoch = :epoch AND outcome IS NULL"""
DROP = "DELETE FROM claims WHERE id = :id"
OUTBOX = "INSERT INTO outbox (parent) VALUES (:seq) ON CONFLICT DO NOTHING"
PARK = """INSERT INTO accounts (project, name, parked_until, reason) VALUES (:project, :name, :until, :reason)
    ON CONFLICT (project, name) DO UPDATE SET parked_until = excluded.parked_until, reason = excluded.reason
    WHERE accounts.parked_until < excluded.parked_until"""

_PARKED_SECONDS = 300.0
"""How long an account rests when the limit did not say when it ends."""


def settle(tx: Tx, op: Settle, held: Held) -> str:
    """Close the claim; what the outcome becomes is `runner.store.transitions`'s to say."""
    if op.outcome not in OUTCOMES or op.outcome == "lost_claim":
        raise UsageError(f"no holder may settle with the outcome '{op.outcome}'", suggestion(op.outcome, OUTCOMES))
    after = settled(op.outcome, held.attempts, held.attempts_max, op.repairable)
    status = after.status
    if status in (PENDING, SCHEDULED) and held.cancel:
        status = CANCELLED
    not_before = None
    if status == SCHEDULED:
        not_before = op.retry_at or tx.clock()[1] + _PARKED_SECONDS
        account = op.account or held.account
        if account:
            tx.post(PARK, project=held.project, name=account, until=not_before, reason=op.outcome)
    tx.post(
        END,
        seq=held.seq,
        status="blocked" if status == PENDING else status,
        outcome=op.outcome,
        attempts=after.attempts,
        result=dump(op.result),
        question=op.question,
        publish=dump({"machine": held.machine, **op.publish}) if op.publish else None,
        not_before=not_before,
        final=int(status in TERMINAL),
    )
    tx.post(DROP, id=f"task:{held.id}")
    if held.attempt:
        tx.post(END_ATTEMPT, task=held.id, epoch=held.epoch, outcome=op.outcome, result=dump(op.result))
    if op.home is not None:
        stay(tx, held.seq, held.unit, op.home)
    if status == DONE and held.children:
        tx.post(OUTBOX, seq=held.seq)
    if status == PENDING:
        status = admit(tx, held.seq)
    if status != PENDING:
        step_aside(tx, held.project, held.unit, held.limit_key)
    data = _ended(op.outcome, status, held.worker)
    tx.post(EVENT, kind="task.settled", task=held.id, epoch=held.epoch, who=held.worker, data=data)
    return status


@lru_cache(maxsize=256)
def _ended(outcome: str, status: str, worker: str) -> str:
    """What the log says of an end: the same for most tasks of a worker."""
    return dump({"outcome": outcome, "status": status, "worker": worker})


def release(tx: Tx, op: Release, held: Held) -> str:
    """Hand the claim back; an interruption counts when an attempt had started."""
    return hand_back(tx, held, op.reason, "task.released", int(held.status == "in_progress"), bump=0)


def hand_back(tx: Tx, held: Held, why: str, kind: str, count: int, bump: int) -> str:
    """A holder that did not finish: the task goes on, or to a person when it was interrupted too often."""
    times = held.interruptions + count
    status = interrupted(times, held.interruptions_max, bool(held.cancel)) if count or held.cancel else PENDING
    question = None
    if status == NEEDS_HUMAN:
        question = f"interrupted {times} times, last: {why}; `runner why {held.id}` shows the history"
    interrupt(tx, held.id, held.epoch, "cancelled" if status == CANCELLED else "lost_claim")
    tx.post(
        HAND_BACK,
        seq=held.seq,
        status="blocked" if status == PENDING else status,
        interruptions=times,
        question=question,
        bump=bump,
        final=int(status in TERMINAL),
    )
    tx.post(DROP, id=f"task:{held.id}")
    note(tx, kind, held.id, held.epoch, held.worker, {"reason": why, "worker": held.worker, "why": why})
    if status == PENDING:
        status = admit(tx, held.seq)
    if status != PENDING:
        step_aside(tx, held.project, held.unit, held.limit_key)
    return status


def drop_unit(tx: Tx, unit: str, epoch: int, holder: str) -> None:
    """The lease of a unit claimed from outside ran out: its tasks may go on."""
    tx.lock(f"unit:{unit}")
    tx.post("UPDATE units SET status = 'todo', epoch = epoch + 1 WHERE id = :id", id=unit)
    tx.post(DROP, id=f"unit:{unit}")
    note(tx, "unit.reclaimed", None, epoch, holder, {"unit": unit})
    show_unit(tx, unit)
