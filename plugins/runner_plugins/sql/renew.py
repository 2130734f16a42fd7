"""Renewal of leases, workers' rows, and the stamp of the last renewal of anyone."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from runner.store import Renewal
from runner_plugins.sql.rows import dump

if TYPE_CHECKING:
    from runner.store import Forget, Register, Renew
    from runner_plugins.sql.tx import Tx

EXTEND = """UPDATE claims SET lease_until = {now} + :lease, lease = :lease, boot = {boot}
    WHERE id IN @ids AND id || ' ' || epoch IN @held RETURNING id, epoch"""
CANCELLED = "SELECT id FROM tasks WHERE id IN @ids AND cancel = 1"
SEEN = "UPDATE workers SET seen = {now}, boot = {boot} WHERE id = :id"
STAMP = """INSERT INTO meta (name, value) VALUES ('renewed', :value)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value"""
REGISTER = """INSERT INTO workers (id, machine, host, project, data, seen, boot)
    VALUES (:id, :machine, :host, :project, :data, {now}, {boot})
    ON CONFLICT (id) DO UPDATE SET machine = excluded.machine, host = excluded.host, project = excluded.project,
    data = excluded.data, seen = excluded.seen, boot = excluded.boot"""
FORGET = "DELETE FROM workers WHERE id = :id"


def renew(tx: Tx, op: Renew) -> list[Renewal]:
    """Extend what is still the worker's; a lease that ran out unnoticed is extended too."""
    kept: set[tuple[str, int]] = set()
    cancelled: set[str] = set()
    if op.claims:
        # In one order for everybody, so that a renewal and a reclaim never lock the same claims crosswise.
        ids, held = sorted({c.id for c in op.claims}), [f"{c.id} {c.epoch}" for c in op.claims]
        kept = {(id, epoch) for id, epoch in tx.all(EXTEND, ids=ids, held=held, lease=op.lease)}
        tasks = [id.partition(":")[2] for id, _ in kept if id.startswith("task:")]
        cancelled = {f"task:{id}" for (id,) in tx.all(CANCELLED, ids=tasks)} if tasks else set()
    tx.post(SEEN, id=op.worker)
    stamp(tx)
    return [Renewal(c.id, c.epoch, (c.id, c.epoch) in kept, c.id in cancelled) for c in op.claims]


def stamp(tx: Tx) -> None:
    """Somebody reached the store now: after a longer silence the store itself was away."""
    tx.post(STAMP, value=dump([tx.clock()[0], tx.boot]))


def register(tx: Tx, op: Register) -> None:
    """Write down a worker."""
    worker = op.worker
    tx.post(
        REGISTER,
        id=worker.id,
        machine=worker.machine,
        host=worker.host,
        project=worker.project,
        data=dump(asdict(worker)),
    )
    stamp(tx)


def forget(tx: Tx, op: Forget) -> None:
    """Remove a worker's row."""
    tx.post(FORGET, id=op.worker)
