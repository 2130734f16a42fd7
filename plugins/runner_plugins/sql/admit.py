"""Admission: what a task that wants to run has to wait for, and who goes on when one steps aside.

A task that waits is in a status of its own, outside the claim index: `scheduled` until a time,
`blocked` by its parents (`deps`), by its work unit (`unit`) or by its limit key (`key`). Of an
exclusive unit and of a limit key only the head is pending.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.statuses import BLOCKED, PENDING, SCHEDULED
from runner_plugins.sql import lanes
from runner_plugins.sql.rows import load, note

if TYPE_CHECKING:
    from runner_plugins.sql.tx import Row, Tx

WAITS = """SELECT seq, id, project, unit, limit_key, not_before, rank, machine, type, account, requires, epoch, status, home
    FROM tasks WHERE seq = :seq"""
UNMET = "SELECT 1 FROM deps WHERE child = :seq AND met = 0 LIMIT 1"
UNIT = "SELECT parallel, home FROM units WHERE id = :unit{lock}"
UNIT_CLAIM = "SELECT 1 FROM claims WHERE id = :id"
UNIT_BUSY = """SELECT seq, status, rank, id, epoch FROM tasks
    WHERE unit = :unit AND status IN ('pending', 'claimed', 'in_progress') AND seq <> :seq
    ORDER BY rank DESC LIMIT 1"""
KEY_BUSY = """SELECT seq, status, rank, id, epoch FROM tasks
    WHERE limit_key = :limit_key AND project = :project AND status IN ('pending', 'claimed', 'in_progress')
    AND seq <> :seq ORDER BY rank DESC LIMIT 1"""
SET_LANE = """UPDATE tasks SET status = 'pending', blocked_by = NULL, lane = :lane, not_before = NULL
    WHERE seq = :seq"""
SET_BLOCKED = "UPDATE tasks SET status = 'blocked', blocked_by = :why WHERE seq = :seq"
SET_SCHEDULED = "UPDATE tasks SET status = 'scheduled', blocked_by = NULL WHERE seq = :seq"
NEXT_OF_UNIT = """SELECT seq FROM tasks WHERE unit = :unit AND status = 'blocked' AND blocked_by = 'unit'
    ORDER BY rank, seq LIMIT 1"""
NEXT_OF_KEY = """SELECT seq FROM tasks WHERE limit_key = :limit_key AND project = :project AND status = 'blocked'
    AND blocked_by = 'key' ORDER BY rank, seq LIMIT 1"""
HOME = "UPDATE tasks SET home = :home WHERE seq = :seq"
UNIT_HOME = "UPDATE units SET home = :home WHERE id = :unit"
OPEN_OF_UNIT = """SELECT seq FROM tasks WHERE unit = :unit AND status IN ('pending') AND blocked_by IS NULL"""


def admit(tx: Tx, seq: int) -> str:
    """Let the task run or wait: sets and returns its status. The row must be locked or new."""
    row = tx.one(WAITS, seq=seq)
    assert row is not None
    _, task_id, project, unit, limit_key, not_before, rank, machine, type_, account, requires, epoch, was, home = row
    if tx.one(UNMET, seq=seq):
        return _block(tx, seq, "deps")
    if not_before is not None and not_before > tx.clock()[1]:
        tx.run(SET_SCHEDULED, seq=seq)
        return SCHEDULED
    if unit is not None:
        tx.lock(f"unit:{unit}")
        parallel, unit_home = tx.one(UNIT, unit=unit) or (0, None)
        home = home or unit_home
        if tx.one(UNIT_CLAIM, id=f"unit:{unit}"):
            return _block(tx, seq, "unit")
        if not parallel and not _step_ahead(tx, tx.one(UNIT_BUSY, unit=unit, seq=seq), rank, "unit"):
            return _block(tx, seq, "unit")
    if limit_key is not None:
        tx.lock(f"key:{project}:{limit_key}")
        busy = tx.one(KEY_BUSY, limit_key=limit_key, project=project, seq=seq)
        if not _step_ahead(tx, busy, rank, "key"):
            return _block(tx, seq, "key")
    tx.run(SET_LANE, seq=seq, lane=lanes.intern(tx, project, machine or home, type_, account, load(requires)))
    tx.woken.add("work")
    if was in (BLOCKED, SCHEDULED):
        note(tx, "task.promoted", task_id, epoch)
    return PENDING


def _block(tx: Tx, seq: int, why: str) -> str:
    tx.run(SET_BLOCKED, seq=seq, why=why)
    return BLOCKED


def _step_ahead(tx: Tx, busy: Row | None, rank: float, why: str) -> bool:
    """Whether the place is free, or its taker is only pending and comes later: then it steps back."""
    if busy is None:
        return True
    other, status, other_rank = busy[0], busy[1], busy[2]
    if status != PENDING or other_rank <= rank:
        return False
    # The other must still be pending: a claim that won the race keeps the place.
    return tx.run(SET_BLOCKED + " AND status = 'pending'", seq=other, why=why) == 1


def step_aside(tx: Tx, project: str, unit: str | None, limit_key: str | None) -> None:
    """A task of this unit and limit key left the queue's head: the next of each goes on."""
    if unit is not None:
        _next(tx, tx.one(NEXT_OF_UNIT, unit=unit))
    if limit_key is not None:
        _next(tx, tx.one(NEXT_OF_KEY, limit_key=limit_key, project=project))


def _next(tx: Tx, row: Row | None) -> None:
    if row is not None:
        admit(tx, row[0])


def stay(tx: Tx, seq: int, unit: str | None, home: str) -> None:
    """The workspace is on this machine: the task, and what its unit brings later, go on there."""
    tx.run(HOME, home=home, seq=seq)
    if unit is not None:
        tx.run(UNIT_HOME, home=home, unit=unit)


def hide_unit(tx: Tx, unit: str) -> None:
    """A claim from outside took the unit: its pending tasks wait."""
    for (seq,) in tx.all(OPEN_OF_UNIT, unit=unit):
        tx.run(SET_BLOCKED + " AND status = 'pending'", seq=seq, why="unit")


BLOCKED_OF_UNIT = (
    "SELECT seq FROM tasks WHERE unit = :unit AND status = 'blocked' AND blocked_by = 'unit' ORDER BY rank, seq"
)


def show_unit(tx: Tx, unit: str) -> None:
    """The claim from outside ended: the unit's tasks may go on (one, or all of a parallel unit)."""
    for (seq,) in tx.all(BLOCKED_OF_UNIT, unit=unit):
        if admit(tx, seq) != PENDING:
            break
