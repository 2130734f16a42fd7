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

WAITS = """SELECT seq, id, project, unit, limit_key, not_before, rank, machine, type, account, requires, epoch,
    status, home FROM tasks WHERE seq = :seq{lock}"""
UNMET = "SELECT 1 FROM deps WHERE child = :seq AND met = 0 LIMIT 1"
UNIT = "SELECT parallel, home FROM units WHERE id = :unit{lock}"
UNIT_CLAIM = "SELECT 1 FROM claims WHERE id = :id"
# The NOT IN repeats the condition of the partial indexes: SQLite does not conclude it from the status itself.
UNIT_BUSY = """SELECT seq, status, rank, project, unit, limit_key FROM tasks
    WHERE unit = :unit AND status IN ('pending', 'claimed', 'in_progress') AND seq <> :seq
    AND status NOT IN ('done', 'failed', 'cancelled') ORDER BY rank DESC LIMIT 1"""
KEY_BUSY = """SELECT seq, status, rank, project, unit, limit_key FROM tasks
    WHERE limit_key = :limit_key AND project = :project AND status IN ('pending', 'claimed', 'in_progress')
    AND seq <> :seq AND status NOT IN ('done', 'failed', 'cancelled') ORDER BY rank DESC LIMIT 1"""
SET_LANE = """UPDATE tasks SET status = 'pending', blocked_by = NULL, lane = :lane, not_before = NULL,
    unit_epoch = :unit_epoch
    WHERE seq = :seq"""
GROW_UNIT = "UPDATE units SET epoch = epoch + 1 WHERE id = :unit RETURNING epoch"
SET_BLOCKED = "UPDATE tasks SET status = 'blocked', blocked_by = :why WHERE seq = :seq"
STEP_BACK = SET_BLOCKED + " AND status = 'pending'"
SET_SCHEDULED = "UPDATE tasks SET status = 'scheduled', blocked_by = NULL WHERE seq = :seq"
NEXT_OF_UNIT = """SELECT seq FROM tasks WHERE unit = :unit AND status = 'blocked' AND blocked_by = 'unit'
    AND status NOT IN ('done', 'failed', 'cancelled') ORDER BY rank, seq LIMIT 1"""
NEXT_OF_KEY = """SELECT seq FROM tasks WHERE limit_key = :limit_key AND project = :project AND status = 'blocked'
    AND blocked_by = 'key' AND status NOT IN ('done', 'failed', 'cancelled') ORDER BY rank, seq LIMIT 1"""
OPEN_OF_UNIT = """SELECT seq, project, limit_key FROM tasks
    WHERE unit = :unit AND status = 'pending' AND status NOT IN ('done', 'failed', 'cancelled')"""
BLOCKED_OF_UNIT = """SELECT seq FROM tasks WHERE unit = :unit AND status = 'blocked' AND blocked_by = 'unit'
    AND status NOT IN ('done', 'failed', 'cancelled') ORDER BY rank, seq"""
HOME = "UPDATE tasks SET home = :home WHERE seq = :seq"
UNIT_HOME = "UPDATE units SET home = :home WHERE id = :unit"

Gate = tuple[str, str, str]
"""What only one task passes at a time: ("unit", project, unit) or ("key", project, limit key)."""


def admit(tx: Tx, seq: int, ahead_but_of: frozenset[int] | None = None) -> str:
    """Let a blocked or scheduled task run or wait: sets and returns its status.

    With `ahead_but_of` it goes ahead of whoever is pending at its gates, whatever the rank, but of these.
    """
    freed: list[Gate] = []
    status = _admit(tx, seq, freed, ahead_but_of)
    _pass_on(tx, freed)
    return status


def _admit(tx: Tx, seq: int, freed: list[Gate], ahead_but_of: frozenset[int] | None = None) -> str:
    row = tx.one(WAITS, seq=seq)
    assert row is not None
    _, task_id, project, unit, limit_key, not_before, rank, machine, type_, account, requires, epoch, was, home = row
    if was not in (BLOCKED, SCHEDULED):
        return str(was)  # somebody else decided meanwhile
    if tx.one(UNMET, seq=seq):
        return _block(tx, seq, "deps")
    if not_before is not None and not_before > tx.clock()[1]:
        tx.post(SET_SCHEDULED, seq=seq)
        return SCHEDULED
    in_the_way: list[tuple[str, Row]] = []
    exclusive = False
    if unit is not None:
        tx.lock(f"unit:{unit}")
        parallel, unit_home = tx.one(UNIT, unit=unit) or (0, None)
        home = home or unit_home
        if tx.one(UNIT_CLAIM, id=f"unit:{unit}"):
            return _block(tx, seq, "unit")
        exclusive = not parallel
        busy = tx.one(UNIT_BUSY, unit=unit, seq=seq) if exclusive else None
        if busy is not None:
            in_the_way.append(("unit", busy))
    if limit_key is not None:
        tx.lock(f"key:{project}:{limit_key}")
        busy = tx.one(KEY_BUSY, limit_key=limit_key, project=project, seq=seq)
        if busy is not None:
            in_the_way.append(("key", busy))
    # All gates are looked at before anybody steps back: a place is only taken by who can use it.
    for why, busy in in_the_way:
        before = busy[2] <= rank if ahead_but_of is None else busy[0] in ahead_but_of
        if busy[1] != PENDING or before:
            return _block(tx, seq, why)
    for why, busy in in_the_way:
        if not _step_back(tx, busy, why, freed):
            return _block(tx, seq, why)
    # One admission leads to one claim at most, so this numbers the unit's holders over all its tasks.
    grown = tx.one(GROW_UNIT, unit=unit) if exclusive else None
    lane = lanes.intern(tx, project, machine or home, type_, account, load(requires))
    tx.post(SET_LANE, seq=seq, lane=lane, unit_epoch=grown[0] if grown else 0)
    tx.woken.add("work")
    note(tx, "task.promoted", task_id, epoch)
    return PENDING


def _block(tx: Tx, seq: int, why: str) -> str:
    tx.post(SET_BLOCKED, seq=seq, why=why)
    return BLOCKED


def _step_back(tx: Tx, busy: Row, why: str, freed: list[Gate]) -> bool:
    """The pending task that comes later gives up its place; its other gate is free for the next."""
    seq, _, _, project, unit, limit_key = busy
    # It must still be pending: a claim that won the race keeps the place.
    if tx.run(STEP_BACK, seq=seq, why=why) != 1:
        return tx.one("SELECT 1 FROM tasks WHERE seq = :seq AND status = 'blocked'", seq=seq) is not None
    freed += [gate for gate in gates(project, unit, limit_key) if gate[0] != why]
    return True


def gates(project: str, unit: str | None, limit_key: str | None) -> list[Gate]:
    """The gates of a task."""
    found: list[Gate] = []
    if unit is not None:
        found.append(("unit", project, unit))
    if limit_key is not None:
        found.append(("key", project, limit_key))
    return found


def step_aside(tx: Tx, project: str, unit: str | None, limit_key: str | None) -> None:
    """A task of this unit and limit key left the queue's head: the next of each goes on."""
    _pass_on(tx, gates(project, unit, limit_key))


def _pass_on(tx: Tx, freed: list[Gate]) -> None:
    """Fill each freed gate with the first that can use it; who steps back meanwhile frees gates of its own."""
    # Before looking: one that is being blocked by such a gate right now must be seen, or it waits for ever.
    for gate in sorted(freed, reverse=True):  # units first, as above
        _lock(tx, gate)
    while freed:
        kind, project, name = gate = freed.pop()
        _lock(tx, gate)
        seen = -1
        while True:
            if kind == "unit":
                row = tx.one(NEXT_OF_UNIT, unit=name)
            else:
                row = tx.one(NEXT_OF_KEY, limit_key=name, project=project)
            # The same one again: it waits for this very gate, which is taken once more.
            if row is None or row[0] == seen or _admit(tx, row[0], freed) == PENDING:
                break
            seen = row[0]


def _lock(tx: Tx, gate: Gate) -> None:
    kind, project, name = gate
    tx.lock(f"unit:{name}" if kind == "unit" else f"key:{project}:{name}")


def stay(tx: Tx, seq: int, unit: str | None, home: str) -> None:
    """The workspace is on this machine: the task, and what its unit brings later, go on there."""
    tx.post(HOME, home=home, seq=seq)
    if unit is not None:
        tx.post(UNIT_HOME, home=home, unit=unit)


def hide_unit(tx: Tx, unit: str) -> None:
    """A claim from outside took the unit: its pending tasks wait."""
    freed: list[Gate] = []
    for seq, project, limit_key in tx.all(OPEN_OF_UNIT, unit=unit):
        if tx.run(STEP_BACK, seq=seq, why="unit"):
            freed += gates(project, None, limit_key)
    _pass_on(tx, freed)


def show_unit(tx: Tx, unit: str) -> None:
    """The claim from outside ended: the unit's tasks may go on (one, or all of a parallel unit)."""
    for (seq,) in tx.all(BLOCKED_OF_UNIT, unit=unit):
        admit(tx, seq)
