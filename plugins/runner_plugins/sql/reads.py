"""The read facets, in SQL that both backends speak. A read takes no lock."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from runner.model import Holder, Message, Worker
from runner.statuses import HELD, STATUSES, TERMINAL
from runner.store import Facts
from runner_plugins.sql import lanes, records, rows
from runner_plugins.sql.rows import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import Artifact, Attempt, Event, Lane, Task
    from runner.store import TaskFilter
    from runner_plugins.sql.tx import Row

GET = f"SELECT {rows.COLUMNS} FROM tasks WHERE id = :id"
HOLDER = "SELECT worker, machine, epoch, lease_until - {now} FROM claims WHERE id = :id"
HOLDERS = "SELECT id, worker, machine, epoch, lease_until - {now} FROM claims WHERE id IN @ids"
PARENTS = """SELECT p.id, p.status, d.met FROM deps d JOIN tasks p ON p.seq = d.parent
    WHERE d.child = :seq ORDER BY p.seq"""
ATTEMPTS = f"SELECT {rows.ATTEMPT} FROM attempts WHERE task = :task ORDER BY n"
WORKERS = "SELECT data, {now} - seen, boot FROM workers ORDER BY id"
HOLDING = """SELECT data, {now} - seen, boot FROM workers
    WHERE host = :host AND id IN (SELECT worker FROM claims WHERE host = :host) ORDER BY id"""
PUBLISH = f"""SELECT {rows.QUALIFIED} FROM tasks t WHERE t.publish IS NOT NULL
    ORDER BY t.seq LIMIT 100"""
EVENTS = (
    "SELECT id, at, kind, task, epoch, who, data FROM events WHERE id > :after{safe_events} ORDER BY id LIMIT :limit"
)
EVENTS_OF = """SELECT id, at, kind, task, epoch, who, data FROM events
    WHERE task = :task AND id > :after{safe_events} ORDER BY id LIMIT :limit"""
WAITS = """SELECT CASE WHEN EXISTS (SELECT 1 FROM tasks WHERE status = 'pending' AND lane IN @lanes)
    OR EXISTS (SELECT 1 FROM tasks WHERE status = 'scheduled' AND not_before <= {wall})
    OR EXISTS (SELECT 1 FROM outbox) OR EXISTS (SELECT 1 FROM claims WHERE {expired}) THEN 1 ELSE 0 END"""
READ = """SELECT stream, position, body, at, who FROM messages WHERE stream = :stream AND position > :after
    ORDER BY position LIMIT :limit"""
RECORD = "SELECT data FROM records WHERE kind = :kind AND id = :id"
RECORDS = "SELECT id, data, project FROM records WHERE kind = :kind ORDER BY id"
UNIT = "SELECT id, data, project, status, epoch, parallel, home FROM units WHERE id = :id"
UNITS = "SELECT id, data, project, status, epoch, parallel, home FROM units ORDER BY id"
ACCOUNTS = """SELECT name, project, parked_until, reason FROM accounts WHERE parked_until > {wall}
    ORDER BY name, project"""
ARTIFACT = f"SELECT {records.ARTIFACT} FROM artifacts WHERE ref = :ref"
ARTIFACTS = f"""SELECT {records.ARTIFACT} FROM artifacts
    WHERE (:project = '' OR project = :project) AND (:unit = '' OR unit = :unit) AND (:task = '' OR task = :task)
    ORDER BY created_at, ref"""
LIMITS = "SELECT name, most FROM limits WHERE project = :project"
HELD_OF = """SELECT count(*) FROM claims
    WHERE project = :project AND ((:kind = 'type' AND type = :of) OR (:kind = 'account' AND account = :of))"""
AHEAD = "SELECT count(*) FROM tasks WHERE status = 'pending' AND lane = :lane AND (rank, seq) < (:rank, :seq)"
ROUTING = "SELECT seq, lane, rank FROM tasks WHERE id = :id"
PARKED = "SELECT parked_until FROM accounts WHERE project = :project AND name = :name AND parked_until > {wall}"
UNIT_HOLDER = """SELECT id FROM tasks WHERE unit = :unit AND id <> :id
    AND status IN ('pending', 'claimed', 'in_progress')
    AND status NOT IN ('done', 'failed', 'cancelled') ORDER BY rank LIMIT 1"""
UNIT_CLAIM = "SELECT worker FROM claims WHERE id = :id"
KEY_HOLDER = """SELECT id FROM tasks WHERE limit_key = :key AND id <> :id
    AND status IN ('pending', 'claimed', 'in_progress')
    AND status NOT IN ('done', 'failed', 'cancelled') ORDER BY rank LIMIT 1"""

_LIVE_SECONDS = 90.0
"""A worker that was heard of within this time counts as live: several renewals."""


class Reader(Protocol):
    """What the facets need of a backend: run a statement outside a transaction."""

    def rows(self, sql: str, **values: Any) -> Sequence[Row]: ...
    def lane_cache(self) -> lanes.LaneCache:
        """The lanes, topped up now."""
        ...

    def safe(self) -> str:
        """What of `{now}` is comparable: the boot that leases count from."""
        ...


class Queue:
    """Reads of tasks."""

    def __init__(self, db: Reader) -> None:
        self._db = db

    def get(self, id: str) -> Task | None:
        found = self._db.rows(GET, id=id)
        return self._whole(found[0]) if found else None

    def _whole(self, row: Row) -> Task:
        """The task with its parents and holder."""
        task = rows.task(row)
        parents = tuple(r[0] for r in self._db.rows(PARENTS, seq=row[-1]))
        holder = None
        if task.status in HELD:
            held = self._db.rows(HOLDER, id=f"task:{task.id}")
            holder = Holder(*held[0]) if held else None
        return replace(task, after=parents, holder=holder)

    def find(self, where: TaskFilter) -> list[Task]:
        clause, values = _where(where)
        order = "t.seq DESC" if where.newest else "t.rank, t.seq"
        limit = f" LIMIT {int(where.limit)} OFFSET {int(where.offset)}" if where.limit is not None else ""
        # _where makes the clause of literals and parameters only.
        found = self._db.rows(f"SELECT {rows.QUALIFIED} FROM tasks t WHERE {clause} ORDER BY {order}{limit}", **values)
        tasks = [rows.task(row) for row in found]
        held = [f"task:{t.id}" for t in tasks if t.status in HELD]
        if not held:
            return tasks
        holders = {r[0][5:]: Holder(*r[1:]) for r in self._db.rows(HOLDERS, ids=held)}
        return [replace(t, holder=holders[t.id]) if t.id in holders else t for t in tasks]

    def count(self, where: TaskFilter) -> dict[str, int]:
        clause, values = _where(where)
        found = self._db.rows(f"SELECT t.status, count(*) FROM tasks t WHERE {clause} GROUP BY t.status", **values)
        counts = {status: int(n) for status, n in found}
        return {s: counts[s] for s in STATUSES if s in counts}

    def attempts(self, task: str) -> list[Attempt]:
        counts: Counter[str] = Counter()
        found = []
        for row in self._db.rows(ATTEMPTS, task=task):
            attempt = rows.attempt(row)
            counts[attempt.step] += 1
            found.append(replace(attempt, number=counts[attempt.step]))
        return found

    def lanes(self) -> list[Lane]:
        return list(self._db.lane_cache().lanes)

    def workers(self) -> list[Worker]:
        return [self._worker(row) for row in self._db.rows(WORKERS)]

    def _worker(self, row: Row) -> Worker:
        data = load(row[0])
        data["keepers"] = tuple((pid, start) for pid, start in data["keepers"])
        for name in ("names", "types", "capabilities"):
            data[name] = tuple(data[name])
        age = float(row[1]) if row[2] == self._db.safe() else float("inf")
        return Worker(**{**data, "heartbeat": age})

    def work_waits(self, worker: Worker) -> bool:
        fitting = [lane.id for lane in self._db.lane_cache().fitting(worker)]
        return bool(self._db.rows(WAITS, lanes=fitting)[0][0])

    def holding(self, host: str) -> list[Worker]:
        return [self._worker(row) for row in self._db.rows(HOLDING, host=host)]

    def to_publish(self, machine: str) -> list[Task]:
        tasks = [rows.task(row) for row in self._db.rows(PUBLISH)]
        return [t for t in tasks if t.publish and t.publish.get("machine") in (None, machine)]

    def events(self, after: int = 0, task: str | None = None, limit: int = 1000) -> list[Event]:
        values: dict[str, Any] = {"after": after, "limit": limit}
        if task is not None:
            return [rows.event(row) for row in self._db.rows(EVENTS_OF, task=task, **values)]
        return [rows.event(row) for row in self._db.rows(EVENTS, **values)]

    def facts(self, task: str) -> Facts:
        one = self.get(task)
        routing = self._db.rows(ROUTING, id=task)
        if one is None or not routing:
            return Facts()
        seq, lane_id, rank = routing[0]
        lane = next((x for x in self.lanes() if x.id == lane_id), None)
        waiting = [(i, s) for i, s, met in self._db.rows(PARENTS, seq=seq) if not met]
        parked = self._db.rows(PARKED, project=one.project, name=one.account or "")
        live = [w for w in self.workers() if w.heartbeat <= _LIVE_SECONDS]
        return Facts(
            parents=tuple(waiting),
            ahead=int(self._db.rows(AHEAD, lane=lane_id, rank=rank, seq=seq)[0][0]) if one.status == "pending" else 0,
            key_holder=self._in_the_way(one),
            limit=self._saturated(one),
            parked_until=parked[0][0] if parked else None,
            lane=lane,
            fitting=tuple(w.id for w in live if lane is not None and lanes.fits(lane, w)),
        )

    def _in_the_way(self, task: Task) -> str | None:
        if task.blocked_by == "unit" and task.unit is not None:
            outside = self._db.rows(UNIT_CLAIM, id=f"unit:{task.unit}")
            found = outside or self._db.rows(UNIT_HOLDER, unit=task.unit, id=task.id)
            return found[0][0] if found else None
        if task.blocked_by == "key":
            found = self._db.rows(KEY_HOLDER, key=task.limit_key, id=task.id)
            return found[0][0] if found else None
        return None

    def _saturated(self, task: Task) -> tuple[str, int, int] | None:
        for name, most in self._db.rows(LIMITS, project=task.project):
            kind, _, of = name.partition(":")
            if of == (task.type if kind == "type" else task.account):
                held = int(self._db.rows(HELD_OF, project=task.project, kind=kind, of=of)[0][0])
                if held >= most:
                    return (name, held, int(most))
        return None


def _where(where: TaskFilter) -> tuple[str, dict[str, Any]]:
    """The condition of a filter: literals and `:name` parameters."""
    parts: list[str] = []
    values: dict[str, Any] = {}
    statuses = where.statuses
    if statuses == ():
        # The same words as the partial index, so that the planner can use it.
        parts.append("t.status NOT IN ('done', 'failed', 'cancelled')")
    elif statuses is not None:
        known = [s for s in STATUSES if s in statuses]
        if known and all(s in TERMINAL for s in known):
            parts.append("t.status IN ('done', 'failed', 'cancelled')")
        elif known and all(s not in TERMINAL for s in known):
            parts.append("t.status NOT IN ('done', 'failed', 'cancelled')")
        parts.append("t.status IN (" + ", ".join(f"'{s}'" for s in known) + ")" if known else "1 = 0")
    for name in ("project", "unit", "type", "machine", "agent", "key"):
        wanted = getattr(where, name)
        if wanted is not None:
            parts.append(f"t.{name} = :{name}")
            values[name] = wanted
    if where.prefix is not None:
        # A range, not LIKE: it can use the index on every collation, and a prefix holds no wildcard.
        parts.append("t.id >= :prefix AND t.id < :prefix_end")
        values.update(prefix=where.prefix, prefix_end=where.prefix + "\x7f")
    return " AND ".join(parts) or "1 = 1", values


class Streams:
    """Reads of streams."""

    def __init__(self, db: Reader) -> None:
        self._db = db

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> list[Message]:
        found = self._db.rows(READ, stream=stream, after=after, limit=limit)
        return [Message(r[0], r[1], load(r[2]), r[3], r[4]) for r in found]

    def wait(self, stream: str, after: int, timeout: float) -> list[Message]:
        end = time.monotonic() + timeout
        pause = 0.01
        while not (found := self.read(stream, after)) and time.monotonic() < end:
            time.sleep(max(0.0, min(pause, end - time.monotonic())))
            pause = min(pause * 1.5, 0.5)
        return found


class Records:
    """Reads of records and of artifacts' metadata."""

    def __init__(self, db: Reader) -> None:
        self._db = db

    def get(self, kind: str, id: str) -> dict[str, Any] | None:
        if kind == "unit":
            found = self._db.rows(UNIT, id=id)
            return _unit(found[0]) if found else None
        found = self._db.rows(RECORD, kind=kind, id=id)
        return {**load(found[0][0]), "id": id} if found else None

    def find(self, kind: str, project: str | None = None) -> list[dict[str, Any]]:
        if kind == "unit":
            units = [_unit(row) for row in self._db.rows(UNITS)]
            return [u for u in units if project is None or u["project"] == project]
        if kind == "account":
            return [a for a in map(_account, self._db.rows(ACCOUNTS)) if project is None or a["project"] == project]
        found = self._db.rows(RECORDS, kind=kind)
        return [{**load(data), "id": id} for id, data, of in found if project is None or of == project]

    def artifact(self, ref: str) -> Artifact | None:
        found = self._db.rows(ARTIFACT, ref=ref)
        return records.artifact_of(found[0]) if found else None

    def artifacts(self, project: str | None = None, unit: str | None = None, task: str | None = None) -> list[Artifact]:
        found = self._db.rows(ARTIFACTS, project=project or "", unit=unit or "", task=task or "")
        return [records.artifact_of(row) for row in found]


def _account(row: Row) -> dict[str, Any]:
    return {"id": row[0], "project": row[1], "parked_until": row[2], "reason": row[3]}


def _unit(row: Row) -> dict[str, Any]:
    data = load(row[1])
    status, epoch, parallel, home = row[3:7]
    return {
        **data,
        "id": row[0],
        "project": row[2],
        "status": status,
        "epoch": epoch,
        "parallel": bool(parallel),
        "home": home,
    }
