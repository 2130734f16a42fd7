"""Attempts: written down before the process starts, closed with their result, late evidence kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner_plugins.sql.admit import stay
from runner_plugins.sql.rows import dump, load, note

if TYPE_CHECKING:
    from runner.store import FinishAttempt, LateEvidence, StartAttempt
    from runner_plugins.sql.fences import Held
    from runner_plugins.sql.tx import Tx

START = """UPDATE tasks SET status = 'in_progress', attempt = attempt + 1, started_at = COALESCE(started_at, {wall})
    WHERE seq = :seq RETURNING attempt"""
ADD = """INSERT INTO attempts (task, n, step, epoch, agent, worker, repair, started_at)
    VALUES (:task, :n, :step, :epoch, :agent, :worker, :repair, {wall})"""
FINISH = """UPDATE attempts SET ended_at = {wall}, outcome = :outcome, result = :result
    WHERE task = :task AND n = :n AND epoch = :epoch"""
INTERRUPT = """UPDATE attempts SET ended_at = {wall}, outcome = :outcome
    WHERE task = :task AND epoch = :epoch AND outcome IS NULL"""
OWN = "SELECT n, late FROM attempts WHERE task = :task AND epoch = :epoch ORDER BY n DESC LIMIT 1{lock}"
LATE = "UPDATE attempts SET late = :late WHERE task = :task AND n = :n"


def start(tx: Tx, op: StartAttempt, held: Held) -> int:
    """The next attempt of a held task."""
    row = tx.one(START, seq=held.seq)
    assert row is not None
    n = int(row[0])
    held.attempt = n
    tx.post(
        ADD,
        task=held.id,
        n=n,
        step=op.step,
        epoch=held.epoch,
        agent=op.agent,
        worker=held.worker,
        repair=int(op.repair),
    )
    if op.home is not None:
        stay(tx, held.seq, held.unit, op.home)
    note(tx, "attempt.started", held.id, held.epoch, held.worker, {"n": n, "worker": held.worker, **op.data})
    return n


def finish(tx: Tx, op: FinishAttempt, held: Held) -> None:
    """Close an attempt of the present holder."""
    values = {"task": held.id, "n": op.n, "epoch": held.epoch, "outcome": op.outcome}
    tx.post(FINISH, **values, result=dump(op.result))
    note(tx, "attempt.finished", held.id, held.epoch, held.worker, {"n": op.n, "outcome": op.outcome})


def interrupt(tx: Tx, task: str, epoch: int, outcome: str) -> None:
    """Attempts of this epoch that have no result will get none: their outcome is unknown to us."""
    tx.post(INTERRUPT, task=task, epoch=epoch, outcome=outcome)


def late(tx: Tx, op: LateEvidence) -> bool:
    """What a stale holder found out is kept with its own attempt."""
    row = tx.one(OWN, task=op.task, epoch=op.epoch)
    if row is None:
        return False
    entries = [*(load(row[1]) or {"entries": []})["entries"], op.data]
    tx.post(LATE, task=op.task, n=row[0], late=dump({"late": True, "entries": entries}))
    note(tx, "attempt.late", op.task, op.epoch, "", {"n": row[0]})
    return True
