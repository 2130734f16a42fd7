"""Claim: the lowest ranks among the lanes that fit, each with a new epoch and a lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.model import Claim
from runner.statuses import HELD
from runner_plugins.sql import rows
from runner_plugins.sql.admit import hide_unit, show_unit
from runner_plugins.sql.rows import dump, note

if TYPE_CHECKING:
    from runner.model import Lane
    from runner.store import ClaimTasks, ClaimUnit, ReleaseUnit
    from runner_plugins.sql.fences import Held
    from runner_plugins.sql.tx import Tx

PARKED = "SELECT name FROM accounts WHERE project = :project AND parked_until > {wall}"
LIMITS = "SELECT name, most FROM limits WHERE project = :project ORDER BY name{lock}"
HELD_TYPE = "SELECT count(*) FROM claims WHERE project = :project AND type = :name"
HELD_ACCOUNT = "SELECT count(*) FROM claims WHERE project = :project AND account = :name"
ONLY = "SELECT seq FROM tasks WHERE id IN @ids AND status = 'pending' ORDER BY rank, seq LIMIT :limit{skip}"
TAKE = f"""UPDATE tasks SET status = 'claimed', epoch = epoch + 1, cancel = 0, blocked_by = NULL
    WHERE seq = :seq RETURNING {rows.COLUMNS}"""
HOLD = """INSERT INTO claims (id, epoch, worker, machine, host, project, type, account, lease_until, lease, boot, since)
    VALUES (:id, :epoch, :worker, :machine, :host, :project, :type, :account, {now} + :lease, :lease, {boot}, {wall})"""


class Limits:
    """What is left of each limit in this transaction; empty where there are none."""

    def __init__(self, tx: Tx, project: str) -> None:
        self.left: dict[str, int] = {}
        for name, most in tx.all(LIMITS, project=project):
            kind, _, of = name.partition(":")
            held = tx.one(HELD_TYPE if kind == "type" else HELD_ACCOUNT, project=project, name=of)
            self.left[name] = most - int(held[0] if held else 0)

    def room(self, lane: Lane) -> bool:
        """Whether one more task of this lane may be held."""
        return all(self.left.get(name, 1) > 0 for name in self._names(lane))

    def spend(self, type_: str, account: str | None) -> None:
        """One task of this type and account is held now."""
        for name in (f"type:{type_}", f"account:{account}"):
            if name in self.left:
                self.left[name] -= 1

    @staticmethod
    def _names(lane: Lane) -> tuple[str, ...]:
        return (f"type:{lane.type}",) + ((f"account:{lane.account}",) if lane.account else ())


def claim(tx: Tx, op: ClaimTasks) -> list[Claim]:
    """Take up to `op.limit` tasks."""
    if op.limit <= 0:
        return []
    if op.only:
        named = tx.all(ONLY, ids=list(op.only), limit=op.limit)
        return [_take(tx, op, seq, Limits(tx, op.worker.project)) for (seq,) in named]
    lanes = tx.fitting(op.worker)
    if op.lanes is not None:
        wanted = set(op.lanes)
        lanes = [lane for lane in lanes if lane.id in wanted]
    if not lanes:
        return []
    at_once = tx.take(op, lanes)
    if at_once is not None:
        tasks = [rows.task(row) for row in at_once]
        return [Claim(f"task:{task.id}", task.epoch, op.lease, task) for task in tasks]
    closed = set(op.excluded_accounts) | {row[0] for row in tx.all(PARKED, project=op.worker.project)}
    lanes = [lane for lane in lanes if lane.account not in closed]
    limits = Limits(tx, op.worker.project)
    taken: list[Claim] = []
    while lanes and len(taken) < op.limit:
        if limits.left:
            lanes = [lane for lane in lanes if limits.room(lane)]
        # With limits, one at a time: each may close lanes for the next.
        want = 1 if limits.left else op.limit - len(taken)
        picked = tx.pick([lane.id for lane in lanes], want)
        taken += [_take(tx, op, seq, limits) for seq in picked]
        if len(picked) < want:
            break
    return taken


def _take(tx: Tx, op: ClaimTasks, seq: int, limits: Limits) -> Claim:
    row = tx.one(TAKE, seq=seq)
    assert row is not None
    task = rows.task(row)
    limits.spend(task.type, task.account)
    worker = op.worker
    name = f"task:{task.id}"
    tx.post(
        HOLD,
        id=name,
        epoch=task.epoch,
        worker=worker.id,
        machine=worker.machine,
        host=worker.host,
        project=task.project,
        type=task.type,
        account=task.account or "",
        lease=op.lease,
    )
    tx.post(
        rows.EVENT,
        kind="task.claimed",
        task=task.id,
        epoch=task.epoch,
        who=worker.id,
        data=dump({"worker": worker.id, "machine": worker.machine}),
    )
    return Claim(name, task.epoch, op.lease, task)


ADD_UNIT = (
    """INSERT INTO units (id, project, status, data) VALUES (:id, :project, 'todo', '{}') ON CONFLICT DO NOTHING"""
)
UNIT = "SELECT epoch, status FROM units WHERE id = :id{lock}"
UNIT_HELD = "SELECT 1 FROM claims WHERE id = :id"
UNIT_OPEN = """SELECT status FROM tasks WHERE unit = :unit AND status IN ('pending', 'claimed', 'in_progress')
    ORDER BY seq{lock}"""
TAKE_UNIT = "UPDATE units SET epoch = epoch + 1, status = 'in_progress' WHERE id = :id"
END_UNIT = "UPDATE units SET status = :status WHERE id = :id"
DROP = "DELETE FROM claims WHERE id = :id AND epoch = :epoch"


def claim_unit(tx: Tx, op: ClaimUnit) -> Claim | None:
    """Take a unit from outside the queue, unless somebody holds it or one of its tasks."""
    name = f"unit:{op.unit}"
    tx.lock(name)
    tx.post(ADD_UNIT, id=op.unit, project=op.project)
    row = tx.one(UNIT, id=op.unit)
    assert row is not None
    # Locked before they are looked at: one of them may be being claimed right now.
    if tx.one(UNIT_HELD, id=name) or any(status in HELD for (status,) in tx.all(UNIT_OPEN, unit=op.unit)):
        return None
    epoch = int(row[0]) + 1
    tx.post(TAKE_UNIT, id=op.unit)
    tx.post(
        HOLD,
        id=name,
        epoch=epoch,
        worker=op.holder,
        machine="",
        host="",
        project=op.project,
        type="",
        account="",
        lease=op.lease,
    )
    hide_unit(tx, op.unit)
    note(tx, "unit.claimed", None, epoch, op.holder, {"unit": op.unit})
    return Claim(name, epoch, op.lease)


def release_unit(tx: Tx, op: ReleaseUnit, held: Held) -> None:
    """End a unit claim and let its tasks go on."""
    assert op.fence is not None
    unit = op.fence.key
    tx.lock(op.fence.id)
    tx.post(END_UNIT, id=unit, status=op.status)
    tx.post(DROP, id=op.fence.id, epoch=op.fence.epoch)
    show_unit(tx, unit)
    note(tx, "unit.released", None, op.fence.epoch, "", {"unit": unit, "status": op.status})
