"""SQL by hand on SQLite, under the same lock: writes the rows that our store writes, checks the fence, and no more."""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import waiting
from fused import Fused

from runner.ids import new_id
from runner_plugins.sql.turnstile import Turnstile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import NewTask

SETTLE = """UPDATE tasks SET status = 'done', outcome = 'ok', attempts = attempts + 1, result = ?, finished_at = ?,
    blocked_by = NULL, cancel = 0 WHERE id = ? AND epoch = ? AND status IN ('claimed', 'in_progress')"""
DROP = "DELETE FROM claims WHERE id = ? AND epoch = ?"
HEAD = """SELECT * FROM (SELECT rank, seq FROM tasks WHERE status = 'pending' AND lane = {lane}
    ORDER BY rank, seq LIMIT 1)"""
TAKE = """UPDATE tasks SET status = 'claimed', epoch = epoch + 1, cancel = 0, blocked_by = NULL WHERE seq = ?
    RETURNING id, epoch, type, payload, spec"""
HOLD = """INSERT INTO claims (id, epoch, worker, machine, host, project, type, account, lease_until, lease, boot, since)
    VALUES (?, ?, ?, ?, ?, ?, ?, '', ?, ?, ?, ?)"""
EVENT = "INSERT INTO events (at, kind, task, epoch, who, data) VALUES (?, ?, ?, ?, ?, ?)"
REQUEST = "INSERT INTO requests (id, at, answer) VALUES (?, ?, ?)"
ADD = """INSERT INTO tasks (id, project, type, status, lane, rank, priority, payload, spec, machine, requires,
    key_forever, attempts_max, interruptions_max, submitted_by, created_at)
    VALUES (?, 'bench', ?, 'pending', ?, ?, 0, ?, ?, ?, '[]', 0, 3, 10, 'bench', ?)"""


class Raw(Fused):
    """Claim and finish in one transaction: seven statements that write, one that finds the next."""

    def __init__(self, path: str, lanes: list[int], synchronous: str = "full") -> None:
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "wal_autocheckpoint=4000"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._lock = Turnstile(Path(path))
        self._lane_of = dict(zip(waiting.TYPES, lanes, strict=True))
        self._pick = " UNION ALL ".join(HEAD.format(lane=lane) for lane in lanes) + " ORDER BY 1, 2 LIMIT 1"
        self._who = f"w{os.getpid()}-{new_id(6)}"
        self._requests = itertools.count()
        self._boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def warm(self) -> None:
        self._db.execute(self._pick).fetchall()

    def fused(self, held: tuple[Any, ...] | None, claim: bool = True) -> tuple[Any, ...] | None:
        """Finish `held` and take the next → (id, epoch, type, payload, spec), or None."""
        execute = self._db.execute
        taken = None
        self._lock.acquire()
        try:
            execute("BEGIN IMMEDIATE")
            now = time.time()
            if held is not None:
                self._finish(execute, held, now)
            if claim:
                taken = self._take(execute, now)
            answer = [held and "done", taken and taken[:2]]
            execute(REQUEST, (f"{self._who}-{next(self._requests):08d}", now, json.dumps(answer)))
            execute("COMMIT")
        finally:
            self._lock.release()
        return taken

    def _finish(self, execute: Any, held: tuple[Any, ...], now: float) -> None:
        task, epoch = held[:2]
        if execute(SETTLE, (json.dumps(waiting.RESULT), now, task, epoch)).rowcount != 1:
            raise RuntimeError(f"{task} is not ours")
        execute(DROP, (f"task:{task}", epoch))
        what = {"outcome": "ok", "status": "done", "worker": self._who}
        execute(EVENT, (now, "task.settled", task, epoch, self._who, json.dumps(what)))

    def _take(self, execute: Any, now: float) -> tuple[Any, ...] | None:
        head = execute(self._pick).fetchone()
        if head is None:
            return None
        (row,) = execute(TAKE, (head[1],)).fetchall()
        task, epoch, type_, payload, spec = row
        until = time.monotonic() + waiting.LEASE
        who = (self._who, waiting.MACHINE, "bench-host", "bench", type_)
        execute(HOLD, (f"task:{task}", epoch, *who, until, waiting.LEASE, self._boot, now))
        what = {"worker": self._who, "machine": waiting.MACHINE}
        execute(EVENT, (now, "task.claimed", task, epoch, self._who, json.dumps(what)))
        return task, epoch, type_, json.loads(payload), json.loads(spec)

    def enqueue(self, tasks: Sequence[NewTask]) -> None:
        """The rows of the tasks, their events and the answer."""
        now = time.time()
        dump = json.dumps
        rows = [
            (t.id, t.type, self._lane_of[t.type], now, dump(t.payload), dump(t.spec), t.machine, now) for t in tasks
        ]
        self._lock.acquire()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(ADD, rows)
            self._db.executemany(EVENT, [(now, "task.submitted", t.id, 0, "bench", "{}") for t in tasks])
            self._db.execute(REQUEST, (new_id(16), now, dump([[t.id, "pending", True] for t in tasks])))
            self._db.execute("COMMIT")
        finally:
            self._lock.release()

    def close(self) -> None:
        self._db.close()
        self._lock.close()
