"""Where the queue lies: an SQLite file or a PostgreSQL database with so many waiting tasks, and who works on it."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any, Final

import ours
import waiting
from crew import Contender

if TYPE_CHECKING:
    from pathlib import Path

    from runner.testing.postgres import Server

DURABLE: Final = {
    "fsync": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "autovacuum_naptime": "15s",
}
"""A server as one would run it, unlike the tests' own."""


class Bed:
    """A filled queue. `level` keeps the number of routable tasks where it belongs."""

    def __init__(self, size: int, url: str, quick_url: str, **options: Any) -> None:
        self.size = size
        self.url = url
        self._store = ours.connect(quick_url, **options)
        self._spare = 0

    def need(self, count: int) -> None:
        """Have `count` tasks more than belong to the queue, for the next round."""
        if count > self._spare:
            waiting.top_up(self._store, count - self._spare)
            self._spare = count
            self.settle()

    def settle(self) -> None:
        """Have what was just added on disk, so that no round pays for it."""

    def used(self, count: int) -> None:
        self._spare -= count

    def contenders(self, synchronous: str = "full") -> list[Contender]:
        """Ours and raw SQL."""
        raise NotImplementedError

    def started(self) -> Contender:
        """Ours with a commit more for each task: its attempt is written down before the process starts."""
        return Contender("runner, started too", "ours:Ours", {**self.contenders()[0].options, "attempts": True})

    def close(self) -> None:
        self._store.close()


class SqliteBed(Bed):
    """A file of its own; both contenders work on it, never at the same time."""

    def __init__(self, folder: Path, size: int, empty: bool = False) -> None:
        self.path = folder / f"waiting-{size}.db"
        url = f"sqlite:///{self.path}"
        super().__init__(size, url, url, synchronous="off")
        self._lanes = waiting.lanes(self._store)
        if empty:
            waiting.finish_all(self._store)
        db = sqlite3.connect(self.path, isolation_level=None)
        db.execute("PRAGMA synchronous=off")
        db.execute("PRAGMA cache_size=-300000")
        db.execute("BEGIN IMMEDIATE")
        series = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {count}) SELECT n FROM s"
        for statement in () if empty else waiting.fillings(size, id="lower(hex(randomblob(8)))", numbers=series):
            db.execute(statement)
        db.execute("COMMIT")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        _grow_log(db)
        db.close()

    def settle(self) -> None:
        with open(f"{self.path}-wal", "rb") as log:
            os.fsync(log.fileno())

    def contenders(self, synchronous: str = "full") -> list[Contender]:
        raw = {"path": str(self.path), "lanes": self._lanes, "synchronous": synchronous}
        return [
            Contender("runner", "ours:Ours", {"url": self.url, "synchronous": synchronous}),
            Contender("raw SQL", "raw_sqlite:Raw", raw),
        ]


def _grow_log(db: sqlite3.Connection) -> None:
    """Give the write-ahead log the size that it has after a while: a file that still grows is slower to sync."""
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("CREATE TABLE pad (page BLOB)")
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT INTO pad VALUES (zeroblob(?))", [(4000,)] * 4200)
    db.execute("COMMIT")
    db.execute("DROP TABLE pad")
    db.execute("PRAGMA wal_checkpoint(PASSIVE)")
    os.sync()


class PostgresBed(Bed):
    """A database of its own."""

    def __init__(self, server: Server, size: int, name: str = "waiting", empty: bool = False) -> None:
        url = server.create(name=f"{name}_{size}")
        store = ours.connect(url)
        store.upgrade()
        store.close()
        super().__init__(size, url, url + "&options=-csynchronous_commit%3Doff")
        self._lanes = waiting.lanes(self._store)
        if empty:
            waiting.finish_all(self._store)
            return
        series = "SELECT n FROM generate_series(1, {count}) AS s(n)"
        id = "substr(md5(n::text || '-' || t.seq || random()), 1, 16)"
        for statement in waiting.fillings(size, id=id, numbers=series):
            server.execute(statement, url)
        server.execute("VACUUM ANALYZE", url)
        server.execute("CHECKPOINT", url)

    def contenders(self, synchronous: str = "full") -> list[Contender]:
        return [
            Contender("runner", "ours:Ours", {"url": self.url}),
            Contender("raw SQL", "raw_postgres:Raw", {"url": self.url, "lanes": self._lanes}),
        ]
