"""One write transaction on SQLite: what `runner_plugins.sql.tx.Tx` asks for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from runner_plugins.sql import claim
from runner_plugins.sqlite.spelling import execute, statement

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping, Sequence

    from runner.model import Lane, Worker
    from runner.store import ClaimTasks
    from runner_plugins.sql.tx import Row
    from runner_plugins.sqlite_store import SqliteStore

HEAD: Final = """SELECT t.seq FROM json_each(:lanes) l JOIN tasks t ON t.seq =
    (SELECT seq FROM tasks WHERE status = 'pending' AND lane = l.value ORDER BY rank, seq LIMIT 1)
    ORDER BY t.rank, t.seq LIMIT 1"""
"""The first of several lanes: the first of each, from the index, compared."""

LOOK: Final = f"""SELECT EXISTS (SELECT 1 FROM lanes WHERE id > :last)
    OR EXISTS (SELECT 1 FROM limits WHERE project = :project)
    OR EXISTS (SELECT 1 FROM accounts WHERE project = :project AND parked_until > {{wall}}), ({HEAD})"""
"""Whether the claim has to be made step by step, and the task it takes if not."""

HEADS: Final = "SELECT rank, seq FROM tasks WHERE status = 'pending' AND lane = :lane ORDER BY rank, seq LIMIT :want"


class Transaction:
    """Begun and ended by the store."""

    def __init__(self, store: SqliteStore, db: sqlite3.Connection) -> None:
        self.store = store
        self.db = db
        self.after: list[Callable[[], None]] = []
        self.woken: set[str] = set()
        self.boot = store.boot
        self._now, self._wall = time.monotonic(), time.time()
        self._clock = {"now": self._now, "wall": self._wall, "boot": store.boot}
        self._lanes_known = True
        """The lanes of the store's memory are enough until `take` says otherwise, or none of them fits."""

    def all(self, sql: str, **values: Any) -> Sequence[Row]:
        return execute(self.db, sql, values, self._clock).fetchall()

    def one(self, sql: str, **values: Any) -> Row | None:
        row: Row | None = execute(self.db, sql, values, self._clock).fetchone()
        return row

    def run(self, sql: str, **values: Any) -> int:
        return execute(self.db, sql, values, self._clock).rowcount

    def post(self, sql: str, **values: Any) -> None:
        execute(self.db, sql, values, self._clock)

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        known = statement(sql)
        self.db.executemany(known.text, (known.order({**row, **self._clock}) for row in rows))

    def lock(self, name: str) -> None:
        """Writers are alone already."""

    def clock(self) -> tuple[float, float]:
        return self._now, self._wall

    def fitting(self, worker: Worker) -> list[Lane]:
        if self._lanes_known:
            self._lanes_known = False
            known = self.store.known_lanes(worker)
            if known:
                return known
        return self.store.lane_cache_in(self).fitting(worker)

    def take(self, op: ClaimTasks, lanes: Sequence[Lane]) -> list[Row] | None:
        """One look, and one task; step by step where there are limits, parked accounts or new lanes."""
        if op.limit != 1:
            return None
        mine = [lane.id for lane in lanes if lane.account not in op.excluded_accounts]
        found = self.one(LOOK, lanes=str(mine), last=self.store.last_lane, project=op.worker.project)
        assert found is not None
        narrow, seq = found
        if narrow:
            return None
        return [] if seq is None else [claim.take(self, op, seq)]

    def pick(self, lanes: Sequence[int], want: int) -> list[int]:
        if want == 1:
            return [row[0] for row in self.all(HEAD, lanes=str(list(lanes)))]
        # A few at a time, each the head of its lane once the ones before it are taken.
        heads: list[Row] = []
        for lane in lanes:
            heads += self.all(HEADS, lane=lane, want=want)
        return [seq for _, seq in sorted(heads)[:want]]
