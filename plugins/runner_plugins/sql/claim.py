"""Claim: the lowest ranks among the lanes that fit, each with a new epoch and a lease."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from runner.model import Claim
from runner.statuses import BLOCKED, HELD
from runner_plugins.sql import rows
from runner_plugins.sql.admit import admit, hide_unit, show_unit
from runner_plugins.sql.rows import dump, note

if TYPE_CHECKING:
    from runner.model import Lane
    from runner.store import ClaimTasks, ClaimUnit, ReleaseUnit
    from runner_plugins.sql.fences import Held
    from runner_plugins.sql.tx import Row, Tx

PARKED = "SELECT name FROM accounts WHERE project = :project AND parked_until > {wall}"
LIMITS = "SELECT name, most FROM limits WHERE project = :project ORDER BY name{lock}"
HELD_TYPE = "SELECT count(*) FROM claims WHERE project = :project AND type = :name"
HELD_ACCOUNT = "SELECT count(*) FROM claims WHERE project = :project AND account = :name"
ONLY = "SELECT seq FROM tasks WHERE id IN @ids AND status = 'pending' ORDER BY rank, seq LIMIT :limit{skip}"
ONLY_FITTING = """SELECT seq FROM tasks WHERE id IN @ids AND lane IN @lanes AND status = 'pending'
    ORDER BY rank, seq LIMIT :limit{skip}"""
BEHIND = """SELECT seq, status FROM tasks WHERE id IN @ids AND (status = 'pending' OR status = 'blocked' AND
    blocked_by IN ('key', 'unit')) ORDER BY rank, seq"""
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
    """Take up to `op.limit` tasks. `only` alone names tasks whatever they need; with `lanes`, of those that fit."""
    if op.limit <= 0:
        return []
    if op.only and op.lanes is None:
        named = tx.all(ONLY, ids=list(op.only), limit=op.limit)
        return [_take(tx, op, seq, Limits(tx, op.worker.project)) for (seq,) in named]
    if op.only:
        _bring_forward(tx, op)
    lanes = _eligible(tx, op)
    at_once = tx.take(op, lanes) if lanes and not op.only else None
    if at_once is not None:
        return [_claimed(op, row) for row in at_once]
    lanes = _eligible(tx, op)
    if not lanes:
        return []
    closed = set(op.excluded_accounts) | {row[0] for row in tx.all(PARKED, project=op.worker.project)}
    lanes = [lane for lane in lanes if lane.account not in closed]
    limits = Limits(tx, op.worker.project)
    taken: list[Claim] = []
    while lanes and len(taken) < op.limit:
        if limits.left:
            lanes = [lane for lane in lanes if limits.room(lane)]
        # With limits, one at a time: each may close lanes for the next.
        want = 1 if limits.left else op.limit - len(taken)
        picked = _pick(tx, op, [lane.id for lane in lanes], want)
        taken += [_take(tx, op, seq, limits) for seq in picked]
        if len(picked) < want:
            break
    return taken


def _bring_forward(tx: Tx, op: ClaimTasks) -> None:
    """Wanted tasks that wait behind others of their unit or limit key, which nobody wants here, go before those."""
    found = tx.all(BEHIND, ids=list(op.only))
    wanted = frozenset(seq for seq, _ in found)
    for seq, status in found:
        if status == BLOCKED:
            admit(tx, seq, wanted)


def _pick(tx: Tx, op: ClaimTasks, lanes: list[int], want: int) -> list[int]:
    if not op.only:
        return tx.pick(lanes, want)
    return [seq for (seq,) in tx.all(ONLY_FITTING, ids=list(op.only), lanes=lanes, limit=want)]


def _eligible(tx: Tx, op: ClaimTasks) -> list[Lane]:
    lanes = tx.fitting(op.worker)
    if op.lanes is None:
        return lanes
    wanted = set(op.lanes)
    return [lane for lane in lanes if lane.id in wanted]


def _take(tx: Tx, op: ClaimTasks, seq: int, limits: Limits) -> Claim:
    claimed = _claimed(op, take(tx, op, seq))
    assert claimed.task is not None
    limits.spend(claimed.task.type, claimed.task.account)
    return claimed


def _claimed(op: ClaimTasks, row: Row) -> Claim:
    task = rows.task(row)
    return Claim(f"task:{task.id}", task.epoch, op.lease, task)


def take(tx: Tx, op: ClaimTasks, seq: int) -> Row:
    """Take this pending task: a new epoch, a claim, a line in the log → its row of `rows.COLUMNS`."""
    row = tx.one(TAKE, seq=seq)
    assert row is not None
    worker = op.worker
    id, epoch = row[_ID], row[_EPOCH]
    tx.post(
        HOLD,
        id=f"task:{id}",
        epoch=epoch,
        worker=worker.id,
        machine=worker.machine,
        host=worker.host,
        project=row[_PROJECT],
        type=row[_TYPE],
        account=row[_ACCOUNT] or "",
        lease=op.lease,
    )
    data = taken_by(worker.id, worker.machine)
    tx.post(rows.EVENT, kind="task.claimed", task=id, epoch=epoch, who=worker.id, data=data)
    return row


_ID, _EPOCH, _PROJECT, _TYPE, _ACCOUNT = (rows.NAMES.index(n) for n in ("id", "epoch", "project", "type", "account"))


@lru_cache(maxsize=64)
def taken_by(worker: str, machine: str) -> str:
    """What the log says of a claim: the same for all claims of a worker."""
    return dump({"worker": worker, "machine": machine})


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
