"""The queue's housekeeping, in bounded batches: due tasks, dependants, dead holders, old answers.

Reclaim has two grounds. A holder that is *proven* dead (the caller saw its process and keepers gone) is
reclaimed at once. A lease that ran out is reclaimed too, but not when nobody at all renewed for
longer than a lease: then the store was away, and the holders get one more lease to come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.store import Ticked
from runner_plugins.sql import fences
from runner_plugins.sql.admit import admit
from runner_plugins.sql.renew import stamp
from runner_plugins.sql.rows import dump, load
from runner_plugins.sql.settle import drop_unit, hand_back

if TYPE_CHECKING:
    from runner.store import Prune, Tick
    from runner_plugins.sql.tx import Tx

DUE = """SELECT seq FROM tasks WHERE status = 'scheduled' AND not_before <= {wall}
    ORDER BY not_before LIMIT :batch{skip}"""
OUTBOX = "SELECT parent FROM outbox ORDER BY parent LIMIT 1{skip}"
DEPENDANTS = "SELECT child FROM deps WHERE parent = :parent AND met = 0 ORDER BY child LIMIT :batch"
MET = "UPDATE deps SET met = 1 WHERE parent = :parent AND child = :child"
WAITING = "SELECT 1 FROM tasks WHERE seq = :seq AND status = 'blocked' AND blocked_by = 'deps'{lock}"
DELIVERED = "DELETE FROM outbox WHERE parent = :parent"
META = "SELECT value FROM meta WHERE name = :name"
PUT_META = """INSERT INTO meta (name, value) VALUES (:name, :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value"""
EXPIRED = """SELECT id, epoch, worker, 0 FROM claims WHERE {expired} ORDER BY id LIMIT :batch"""
OF_DEAD = """SELECT id, epoch, worker, 1 FROM claims WHERE worker IN @dead ORDER BY id LIMIT :batch"""
STILL = "SELECT 1 FROM claims WHERE id = :id AND epoch = :epoch AND ({expired} OR :dead = 1)"
FORGET_DEAD = "DELETE FROM workers WHERE id IN @dead AND id NOT IN (SELECT worker FROM claims)"
OLD_ANSWERS = """DELETE FROM requests WHERE id IN
    (SELECT id FROM requests WHERE at < {wall} - 3600 ORDER BY at LIMIT :batch)"""


def tick(tx: Tx, op: Tick) -> Ticked:
    """One bounded batch of each kind of housekeeping."""
    promoted = _promote(tx, op.batch)
    released = _deliver(tx, op.batch)
    reclaimed = _reclaim(tx, op)
    pruned = tx.run(OLD_ANSWERS, batch=op.batch)
    more = max(promoted, released, len(reclaimed), pruned) >= op.batch
    return Ticked(promoted, released, tuple(reclaimed), pruned, more)


def _promote(tx: Tx, batch: int) -> int:
    due = tx.all(DUE, batch=batch)
    for (seq,) in due:
        admit(tx, seq)
    return len(due)


def _deliver(tx: Tx, batch: int) -> int:
    """Tell dependants that a parent is done; a large family takes several batches."""
    count = 0
    while count < batch:
        row = tx.one(OUTBOX)
        if row is None:
            break
        children = tx.all(DEPENDANTS, parent=row[0], batch=batch - count)
        for (child,) in children:
            tx.run(MET, parent=row[0], child=child)
            if tx.one(WAITING, seq=child):
                admit(tx, child)
        count += len(children)
        if count < batch:
            tx.run(DELIVERED, parent=row[0])
    return count


def _reclaim(tx: Tx, op: Tick) -> list[str]:
    found = {row[0]: row for row in (tx.all(OF_DEAD, dead=list(op.dead), batch=op.batch) if op.dead else ())}
    expired = [row for row in tx.all(EXPIRED, batch=op.batch) if row[0] not in found]
    if expired and not _store_was_away(tx):
        found.update((row[0], row) for row in expired)
    taken = [name for name, epoch, worker, dead in found.values() if _take_back(tx, name, epoch, worker, dead)]
    if op.dead:
        tx.run(FORGET_DEAD, dead=list(op.dead))
    return taken


def _take_back(tx: Tx, name: str, epoch: int, worker: str, dead: int) -> bool:
    kind, _, key = name.partition(":")
    why = "its worker is dead" if dead else "its lease ran out"
    if kind == "unit":
        if not tx.one(STILL, id=name, epoch=epoch, dead=dead):
            return False
        drop_unit(tx, key, epoch, worker)
        return True
    row = tx.one(fences.TASK, name=name, id=key, epoch=epoch)
    # Looked at again under the task's lock: its holder may have renewed or settled since.
    if row is None or not tx.one(STILL, id=name, epoch=epoch, dead=dead):
        return False
    hand_back(tx, fences.Held(*row), why, "task.reclaimed", count=1, bump=1)
    return True


def _store_was_away(tx: Tx) -> bool:
    """Whether expired leases may be the store's own fault: nobody renewed for longer than the longest lease asked.

    Then holders get one more such time, counted from when this was first seen.
    """
    now = tx.clock()[0]
    renewed, boot = load((tx.one(META, name="renewed") or ("[0, null]",))[0])
    until, grace_boot = load((tx.one(META, name="grace") or ("[0, null]",))[0])
    if grace_boot == tx.boot and now < until:
        return True
    lease = float(load((tx.one(META, name="lease") or ("300",))[0]))
    if boot == tx.boot and now - renewed <= lease:
        return False
    if boot != tx.boot:
        return False  # another boot of this host: every holder of then is gone
    tx.run(PUT_META, name="grace", value=dump([now + lease, tx.boot]))
    stamp(tx)
    return True


PRUNABLE = """SELECT seq, id FROM tasks t WHERE status IN ('done', 'failed', 'cancelled') AND publish IS NULL
    AND (finished_at < :before OR seq <= :oldest)
    AND NOT EXISTS (SELECT 1 FROM deps d JOIN tasks c ON c.seq = d.child
        WHERE d.parent = t.seq AND c.status NOT IN ('done', 'failed', 'cancelled'))
    AND NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.task = t.id)
    ORDER BY seq LIMIT :batch{skip}"""
NTH_NEWEST = """SELECT seq FROM tasks WHERE status IN ('done', 'failed', 'cancelled')
    ORDER BY seq DESC LIMIT 1 OFFSET :keep"""


def prune(tx: Tx, op: Prune) -> int:
    """Remove old finished tasks with their attempts and events."""
    nth = tx.one(NTH_NEWEST, keep=op.keep) if op.keep is not None else None
    before = op.before if op.before is not None else -1.0
    gone = tx.all(PRUNABLE, before=before, oldest=nth[0] if nth else -1, batch=op.batch)
    for seq, task in gone:
        tx.run("DELETE FROM deps WHERE child = :seq OR parent = :seq", seq=seq)
        tx.run("DELETE FROM outbox WHERE parent = :seq", seq=seq)
        tx.run("DELETE FROM attempts WHERE task = :task", task=task)
        tx.run("DELETE FROM events WHERE task = :task", task=task)
        tx.run("DELETE FROM tasks WHERE seq = :seq", seq=seq)
    return len(gone)
