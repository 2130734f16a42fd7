"""SQL by hand on PostgreSQL: psycopg in pipeline mode, the rows that our store writes, the fence, and no more."""

from __future__ import annotations

import itertools
import json
import os
from typing import TYPE_CHECKING, Any

import psycopg
import waiting
from fused import Fused

from runner.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import NewTask

_NOW = "extract(epoch from clock_timestamp())::float8"

SETTLE = f"""UPDATE tasks SET status = 'done', outcome = 'ok', attempts = attempts + 1, result = %s,
    finished_at = {_NOW}, blocked_by = NULL, cancel = 0
    WHERE id = %s AND epoch = %s AND status IN ('claimed', 'in_progress')"""
DROP = "DELETE FROM claims WHERE id = %s AND epoch = %s"
EVENT = f"INSERT INTO events (at, kind, task, epoch, who, data) VALUES ({_NOW}, %s, %s, %s, %s, %s)"
TAKE = f"""WITH heads AS MATERIALIZED (
        SELECT h.seq FROM unnest(%(lanes)s::bigint[]) AS l(id) CROSS JOIN LATERAL (
            SELECT seq FROM tasks WHERE status = 'pending' AND lane = l.id ORDER BY rank, seq LIMIT 16) h),
    picked AS MATERIALIZED (
        SELECT seq FROM tasks WHERE seq = ANY(ARRAY(SELECT seq FROM heads)) AND status = 'pending'
        ORDER BY rank, seq LIMIT 1 FOR UPDATE SKIP LOCKED),
    taken AS (
        UPDATE tasks SET status = 'claimed', epoch = epoch + 1, cancel = 0, blocked_by = NULL
        WHERE seq = ANY(ARRAY(SELECT seq FROM picked)) RETURNING id, epoch, type, payload, spec),
    held AS (
        INSERT INTO claims (id, epoch, worker, machine, host, project, type, account, lease_until, lease, boot, since)
        SELECT 'task:' || id, epoch, %(who)s, %(machine)s, 'bench-host', 'bench', type, '',
            {_NOW} + %(lease)s, %(lease)s, '', {_NOW} FROM taken),
    noted AS (
        INSERT INTO events (at, kind, task, epoch, who, data)
        SELECT {_NOW}, 'task.claimed', id, epoch, %(who)s, %(data)s FROM taken)
    SELECT * FROM taken"""
REQUEST = f"INSERT INTO requests (id, at, answer) VALUES (%s, {_NOW}, %s)"
ADD = f"""INSERT INTO tasks (id, project, type, status, lane, rank, priority, payload, spec, machine, requires,
    key_forever, attempts_max, interruptions_max, submitted_by, created_at)
    SELECT r.id, 'bench', r.type, 'pending', r.lane, {_NOW}, 0, r.payload, r.spec, %s, '[]', 0, 3, 10, 'bench', {_NOW}
    FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[]) AS r(id, type, lane, payload, spec)"""
ADD_EVENTS = f"""INSERT INTO events (at, kind, task, epoch, who, data)
    SELECT {_NOW}, 'task.submitted', r.id, 0, 'bench', '{{}}' FROM unnest(%s::text[]) AS r(id)"""
CHANNEL = "raw_work"


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True, prepare_threshold=0)


class Raw(Fused):
    """Claim and finish in one transaction of two round trips."""

    def __init__(self, url: str, lanes: list[int]) -> None:
        self._db = connect(url)
        self._lane_of = dict(zip(waiting.TYPES, lanes, strict=True))
        self._who = f"w{os.getpid()}-{new_id(6)}"
        self._requests = itertools.count()
        self._take = {
            "lanes": lanes,
            "who": self._who,
            "machine": waiting.MACHINE,
            "lease": waiting.LEASE,
            "data": json.dumps({"worker": self._who, "machine": waiting.MACHINE}),
        }

    def warm(self) -> None:
        self._db.execute("SELECT 1")

    def fused(self, held: tuple[Any, ...] | None, claim: bool = True) -> tuple[Any, ...] | None:
        """Finish `held` and take the next → (id, epoch, type, payload, spec), or None."""
        taken, settled = None, None
        with self._db.pipeline(), self._db.transaction():
            if held is not None:
                task, epoch = held[:2]
                settled = self._db.execute(SETTLE, (json.dumps(waiting.RESULT), task, epoch))
                self._db.execute(DROP, (f"task:{task}", epoch))
                what = {"outcome": "ok", "status": "done", "worker": self._who}
                self._db.execute(EVENT, ("task.settled", task, epoch, self._who, json.dumps(what)))
            if claim:
                taken = self._db.execute(TAKE, self._take).fetchone()
            answer = [held and "done", taken and taken[:2]]
            self._db.execute(REQUEST, (f"{self._who}-{next(self._requests):08d}", json.dumps(answer)))
        if settled is not None and settled.rowcount != 1:
            raise RuntimeError(f"{held} is not ours")
        if taken is None:
            return None
        return (*taken[:3], json.loads(taken[3]), json.loads(taken[4]))

    def enqueue(self, tasks: Sequence[NewTask], notify: bool = False) -> None:
        """The rows of the tasks, their events and the answer; with a NOTIFY."""
        ids, types = [t.id for t in tasks], [t.type for t in tasks]
        payloads, specs = [json.dumps(t.payload) for t in tasks], [json.dumps(t.spec) for t in tasks]
        lanes = [self._lane_of[type_] for type_ in types]
        with self._db.pipeline(), self._db.transaction():
            self._db.execute(ADD, (waiting.MACHINE, ids, types, lanes, payloads, specs))
            self._db.execute(ADD_EVENTS, (ids,))
            self._db.execute(REQUEST, (new_id(16), json.dumps([[id, "pending", True] for id in ids])))
            if notify:
                self._db.execute("SELECT pg_notify(%s, 'w')", (CHANNEL,))

    def close(self) -> None:
        self._db.close()
