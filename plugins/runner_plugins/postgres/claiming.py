"""The claim in one statement: the heads of the lanes, locked without waiting, taken and held.

The lowest ranks are first read from each lane's index, then locked in their order; what another claim has
locked is skipped (`SKIP LOCKED`). The fences (`MATERIALIZED`) keep the planner from updating more rows than
were locked. Limits, and lanes that this worker has not read yet, make it answer "step by step".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runner_plugins.sql import rows
from runner_plugins.sql.claim import taken_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import Lane
    from runner.store import ClaimTasks
    from runner_plugins.postgres.transaction import Transaction
    from runner_plugins.sql.tx import Row

_CROWD: Final = (8, 64, 4096)
"""How many more heads are read than wanted: so many others may be claiming at this moment."""

_HEADS = """heads AS MATERIALIZED (
        SELECT h.rank, h.seq FROM unnest(:lanes::bigint[], :accounts::text[]) AS l(id, account) CROSS JOIN LATERAL (
            SELECT rank, seq FROM tasks WHERE status = 'pending' AND lane = l.id
            ORDER BY rank, seq LIMIT :reach::bigint) h
        WHERE NOT EXISTS (SELECT 1 FROM accounts a
            WHERE a.project = :project AND a.name = l.account AND a.parked_until > {now})
        ORDER BY h.rank, h.seq LIMIT :reach::bigint)"""
# Joined in the order of the heads, so that only what is wanted is read and locked. The status is spelled so that
# no partial index seems to help: the row is found by its number.
_PICKED = """picked AS MATERIALIZED (
        SELECT t.rank, t.seq FROM heads h JOIN tasks t ON t.seq = h.seq WHERE t.status || '' = 'pending'
        LIMIT :want::bigint FOR UPDATE OF t SKIP LOCKED)"""

PICK: Final = f"""WITH {_HEADS}, {_PICKED}
    SELECT h.count, p.rank, p.seq FROM (SELECT count(*) FROM heads) h LEFT JOIN picked p ON true"""
"""How many heads there are, and those that are locked now."""

TAKE: Final = f"""WITH gate AS MATERIALIZED (
        SELECT EXISTS (SELECT 1 FROM limits WHERE project = :project)
            OR EXISTS (SELECT 1 FROM lanes WHERE id > :last) AS closed),
    {_HEADS.replace("WHERE NOT EXISTS", "WHERE NOT (SELECT closed FROM gate) AND NOT EXISTS")},
    {_PICKED},
    taken AS (
        UPDATE tasks SET status = 'claimed', epoch = epoch + 1, cancel = 0, blocked_by = NULL
        WHERE seq = ANY(ARRAY(SELECT seq FROM picked)) RETURNING {rows.COLUMNS}),
    held AS (
        INSERT INTO claims (id, epoch, worker, machine, host, project, type, account, lease_until, lease, boot, since)
        SELECT 'task:' || id, epoch, :worker, :machine, :host, project, type, coalesce(account, ''),
            {{now}} + :lease::float8, :lease::float8, {{boot}}, {{wall}} FROM taken)
    SELECT (SELECT closed::int FROM gate), (SELECT count(*) FROM heads), t.*
    FROM (SELECT 1) one LEFT JOIN taken t ON true"""
"""Whether it has to be done step by step, how many heads there are, and the columns of a taken task (or NULLs)."""


EXAMPLE: Final = {
    "lanes": [1, 2],
    "accounts": [None, None],
    "reach": 9,
    "want": 1,
    "last": 2,
    "project": "p",
    "worker": "w",
    "machine": "m",
    "host": "h",
    "lease": 300.0,
}
"""Values of `TAKE` to explain it with; no plan depends on them."""


def take(tx: Transaction, op: ClaimTasks, lanes: Sequence[Lane], last: int) -> list[Row] | None:
    """Claim up to `op.limit` tasks in one statement; None when it has to be done step by step.

    `last` is the newest lane that was looked at.
    """
    closed = set(op.excluded_accounts)
    open_ = [lane for lane in lanes if lane.account not in closed]
    worker = op.worker
    found = tx.all(
        TAKE,
        lanes=[lane.id for lane in open_],
        accounts=[lane.account for lane in open_],
        reach=op.limit + _CROWD[0],
        want=op.limit,
        last=last,
        project=worker.project,
        worker=worker.id,
        machine=worker.machine,
        host=worker.host,
        lease=op.lease,
    )
    narrow, heads = found[0][:2]
    taken = sorted([row[2:] for row in found if row[2] is not None], key=_order)
    if narrow or (not taken and heads):
        return None  # not one of the heads could be had: others are at them, look deeper
    data = taken_by(worker.id, worker.machine)
    for row in taken:
        tx.post(rows.EVENT, kind="task.claimed", task=row[_ID], epoch=row[_EPOCH], who=worker.id, data=data)
    return taken


def pick(tx: Transaction, lanes: Sequence[int], want: int) -> list[int]:
    """Lock up to `want` pending tasks of these lanes → `seq`, lowest rank first."""
    picked: list[Row] = []
    for crowd in _CROWD:
        values = {"lanes": list(lanes), "accounts": [None] * len(lanes), "project": ""}
        found = tx.all(PICK, reach=want + crowd, want=want, **values)
        picked = [row[1:] for row in found if row[2] is not None]
        if len(picked) == want or len(picked) == found[0][0]:
            break
    return [seq for _, seq in sorted(picked)]


_ID, _EPOCH, _RANK, _SEQ = (rows.NAMES.index(name) for name in ("id", "epoch", "rank", "seq"))


def _order(row: Row) -> tuple[float, int]:
    return row[_RANK], row[_SEQ]
