"""The SQLite store: one file for one host, WAL, FULL synchronisation, a fair queue of writers."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from runner.errors import StoreError, StoreLocked, StoreUnavailable
from runner.hookspecs import hookimpl
from runner_plugins.sql import schema
from runner_plugins.sql.lanes import READ_NEW, LaneCache
from runner_plugins.sql.ping import Pings
from runner_plugins.sql.reads import Queue, Records, Streams
from runner_plugins.sql.turnstile import Turnstile
from runner_plugins.sqlite.spelling import execute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.model import Lane, Worker
    from runner.store import Op
    from runner_plugins.sql.tx import Row
    from runner_plugins.sqlite.transaction import Transaction

T = TypeVar("T")

_PREFIX = "sqlite:///"
_CHECKPOINT_PAGES: Final = 4000
"""16 MB of write-ahead log. Each checkpoint writes a page once that hundreds of commits changed."""
_NETWORK: Final = frozenset(
    "nfs nfs4 cifs smb smb2 smb3 smbfs 9p afs ceph fuse.sshfs fuse.glusterfs glusterfs lustre beegfs "
    "fuse.s3fs fuse.rclone".split()
)


class SqliteStore:
    """A store in one SQLite file. Safe to use from several threads; one writer at a time."""

    def __init__(self, path: Path, synchronous: str = "full", timeout: float = 30.0) -> None:
        self.url = f"{_PREFIX}{path}"
        self.path = path
        self._timeout = timeout
        self._synchronous = synchronous
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._lanes = LaneCache()
        self._lanes_lock = threading.Lock()
        self.boot = _boot()
        _refuse_network(path)
        self._explained = _Explained(path)
        with self._explained:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._turnstile = Turnstile(path, timeout)
            self._writer = self._connect()
            self._check_version()
        self._pings = Pings(os.fspath(path))
        self.queue = Queue(self)
        self.streams = Streams(self)
        self.records = Records(self)

    # Connections

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=self._timeout, isolation_level=None, check_same_thread=False)
        self._opened.append(db)
        db.execute("PRAGMA journal_mode=WAL").fetchone()
        db.execute(f"PRAGMA synchronous={self._synchronous}")
        db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        db.execute("PRAGMA foreign_keys=ON")
        return db

    def _reader(self) -> sqlite3.Connection:
        db = getattr(self._local, "db", None)
        if db is None:
            db = self._local.db = self._connect()
        return db

    # Writing

    def commit(self, ops: Sequence[Op], request_id: str | None = None) -> list[Any]:
        """As `runner.store.Store.commit`."""
        from runner_plugins.sql.apply import apply  # here: commands that only read start without the writes

        tx, results = self._write(lambda tx: apply(tx, ops, request_id))
        for done in tx.after:
            done()
        if tx.woken:
            self._pings.send(tx.woken)
        return results

    def _write(self, work: Callable[[Transaction], T]) -> tuple[Transaction, T]:
        """What `work` makes of a write transaction: immediate, in the queue of writers, undone on any error."""
        from runner_plugins.sqlite.transaction import Transaction  # here, too

        with self._explained:
            self._turnstile.acquire()
            db = self._writer
            try:
                db.execute("BEGIN IMMEDIATE")
                tx = Transaction(self, db)
                result = work(tx)
                db.execute("COMMIT")
            except BaseException:
                self._forget_lanes()
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            finally:
                self._turnstile.release()
        return tx, result

    # Reading

    def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        """The rows of a read, outside any transaction."""
        with self._explained:
            return execute(self._reader(), sql, values, self._clock()).fetchall()

    def _clock(self) -> dict[str, Any]:
        return {"now": time.monotonic(), "wall": time.time(), "boot": self.boot}

    def lane_cache(self) -> LaneCache:
        """The lanes, topped up by a read."""
        with self._lanes_lock:
            self._lanes.extend(self.rows(READ_NEW, last=self._lanes.last))
            return self._lanes

    def lane_cache_in(self, tx: Transaction) -> LaneCache:
        """The lanes, topped up within a transaction."""
        with self._lanes_lock:
            self._lanes.extend(tx.all(READ_NEW, last=self._lanes.last))
            return self._lanes

    @property
    def last_lane(self) -> int:
        """The newest lane that was looked at."""
        return self._lanes.last

    def known_lanes(self, worker: Worker) -> list[Lane]:
        """The lanes that fit `worker`, as far as they were looked at."""
        with self._lanes_lock:
            return self._lanes.fitting(worker)

    def _forget_lanes(self) -> None:
        """A transaction that was rolled back may have shown lanes that do not exist."""
        with self._lanes_lock:
            self._lanes = LaneCache()

    def safe(self) -> str:
        """The boot that leases and heartbeats count from."""
        return self.boot

    # Waiting

    def wait_for_work(self, worker: Worker, timeout: float) -> str:
        """As `runner.store.Store.wait_for_work`."""
        return self._pings.wait(timeout)

    def wake(self) -> None:
        """End this process's own wait."""
        self._pings.wake()

    # Schema

    def _check_version(self) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > schema.VERSION:
            raise StoreError(
                f"the store {self.path} is of version {version}, newer than this runner's {schema.VERSION}",
                "install the newest runner on this machine",
            )
        if version < schema.VERSION:
            self.upgrade()

    def upgrade(self) -> list[str]:
        """Bring the schema up to date: one process does it, the others wait."""
        from runner_plugins.sql.migrate import migrate

        def work(tx: Transaction) -> list[str]:
            if tx.db.execute("PRAGMA user_version").fetchone()[0] >= schema.VERSION:
                return []
            done = migrate(tx.db)
            tx.db.execute(f"PRAGMA user_version={schema.VERSION}")
            return done

        return self._write(work)[1]

    def explain_claim(self) -> list[str]:
        """The plan of the statement that claims, a line a step (for tests)."""
        from runner_plugins.sqlite.transaction import LOOK

        values = {"lanes": "[1, 2]", "last": 2, "project": "p"}
        return [row[3] for row in execute(self._writer, f"EXPLAIN QUERY PLAN {LOOK}", values, self._clock()).fetchall()]

    def close(self) -> None:
        """Close every connection and remove the socket."""
        self._pings.close()
        for db in self._opened:
            with contextlib.suppress(sqlite3.Error):
                db.close()
        self._turnstile.close()


def _boot() -> str:
    """What the monotonic clock counts from: another boot, another clock."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        # macOS has no such file; the time of boot does the same there.
        from runner.host import host_id

        return host_id()


def _refuse_network(path: Path) -> None:
    """SQLite's WAL needs memory shared between the processes of one host."""
    kind = filesystem(path)
    if kind in _NETWORK:
        raise StoreError(
            f"the store {path} is on a network file system ({kind}), where SQLite loses data",
            "keep it on a local disk, or share a postgresql:// store between machines",
        )


def filesystem(path: Path, mounts: str | None = None) -> str:
    """The type of the file system that holds `path`, by the mount table ('' where that is unknown)."""
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(errors="replace")
        except OSError:
            return ""
    target = os.path.realpath(path)
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].encode().decode("unicode_escape") if "\\" in fields[1] else fields[1]
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        # The last of several mounts on one point is the one that is seen.
        if inside and len(point) >= best:
            best, kind = len(point), fields[2]
    return kind


class _Explained:
    """SQLite's errors as one sentence that says what to do."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise _explain(error, self._path) from error
        if isinstance(error, OSError):
            raise StoreError(f"the store {self._path} can't be used: {error.strerror or error}", _OS_HINT) from error


_OS_HINT = "check the folder's owner and mode, or name another store with --store"


def _explain(error: sqlite3.Error, path: Path) -> StoreError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return StoreLocked(f"the store {path} is locked by another program", "close what has it open, and try again")
    if "readonly" in text or "unable to open" in text:
        return StoreError(f"the store {path} can't be written: {text}", _OS_HINT)
    if "malformed" in text or "not a database" in text or "corrupt" in text:
        return StoreError(
            f"the store {path} is damaged: {text}",
            f"move it aside and save what is left with `sqlite3 {path} .recover`",
        )
    if "full" in text or "disk I/O error" in text:
        return StoreUnavailable(f"the store {path} can't be written: {text}", "free some disk space, and try again")
    return StoreError(f"the store {path} failed: {text}", "")


@hookimpl
def open_store(url: str, options: Mapping[str, Any]) -> SqliteStore | None:
    """`sqlite:///PATH`."""
    if not url.startswith(_PREFIX):
        return None
    path = Path(url[len(_PREFIX) :]).expanduser()
    if not path.is_absolute():
        path = Path.cwd() / path
    return SqliteStore(path, **{k: v for k, v in options.items() if k in ("synchronous", "timeout")})
