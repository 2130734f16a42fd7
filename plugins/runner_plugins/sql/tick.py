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
EXPIRED = """SELECT id, epoch, worker, 0, lease FROM claims WHERE {expired} ORDER BY id LIMIT :batch"""
OF_DEAD = """SELECT id, epoch, worker, 1, lease FROM claims WHERE worker IN @dead ORDER BY id LIMIT :batch"""
STILL = "SELECT 1 FROM claims WHERE id = :id AND epoch = :epoch AND ({expired} OR :dead = 1){lock}"
NEWEST = "SELECT max(lease_until - lease) FROM claims WHERE boot = {boot}"
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
            tx.post(MET, parent=row[0], child=child)
            if tx.one(WAITING, seq=child):
                admit(tx, child)
        count += len(children)
        if count < batch:
            tx.post(DELIVERED, parent=row[0])
    return count


def _reclaim(tx: Tx, op: Tick) -> list[str]:
    found = {row[0]: row for row in (tx.all(OF_DEAD, dead=list(op.dead), batch=op.batch) if op.dead else ())}
    expired = [row for row in tx.all(EXPIRED, batch=op.batch) if row[0] not in found]
    if expired:
        away = _Silence(tx)
        found.update((row[0], row) for row in expired if not away.excuses(row[4]))
    taken = [name for name, epoch, worker, dead, _ in found.values() if _take_back(tx, name, epoch, worker, dead)]
    if op.dead:
        tx.post(FORGET_DEAD, dead=list(op.dead))
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


class _Silence:
    """How long nobody renewed anything: after more than a lease of that, the store itself may have been away.

    Then a holder gets one more lease to come back, counted from when this was first seen.
    """

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._now = tx.clock()[0]
        renewed, boot = self._meta("renewed")
        newest = tx.one(NEWEST)
        heard = [renewed] if boot == tx.boot else []
        heard += [newest[0]] if newest and newest[0] is not None else []
        # Nobody was ever heard of in this boot: every holder of before is gone.
        self._silent = self._now - max(heard) if heard else 0.0
        since, grace_boot = self._meta("silence")
        self._since = since if grace_boot == tx.boot else None

    def _meta(self, name: str) -> tuple[float, str | None]:
        row = self._tx.one(META, name=name)
        at, boot = load(row[0]) if row else (0.0, None)
        return at, boot

    def excuses(self, lease: float) -> bool:
        """Whether a claim of this lease that ran out is left alone for now."""
        if self._since is not None and self._now < self._since + lease:
            return True
        if self._since is not None and self._silent >= self._now - self._since:
            return False  # still nobody: the extra lease is over
        if self._silent <= lease:
            return False
        self._since = self._now
        self._tx.post(PUT_META, name="silence", value=dump([self._now, self._tx.boot]))
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
        tx.post("DELETE FROM deps WHERE child = :seq OR parent = :seq", seq=seq)
        tx.post("DELETE FROM outbox WHERE parent = :seq", seq=seq)
        tx.post("DELETE FROM attempts WHERE task = :task", task=task)
        tx.post("DELETE FROM events WHERE task = :task", task=task)
        tx.post("DELETE FROM tasks WHERE seq = :seq", seq=seq)
    return len(gone)
