"""The SQLite store: one file for one host, WAL, FULL synchronisation, a fair queue of writers."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from runner.errors import StoreError, StoreLocked, StoreUnavailable
from runner.hookspecs import hookimpl
from runner_plugins.sql import schema
from runner_plugins.sql.lanes import READ_NEW, LaneCache
from runner_plugins.sql.ping import Pings
from runner_plugins.sql.reads import Queue, Records, Streams
from runner_plugins.sql.rows import dump
from runner_plugins.sql.turnstile import Turnstile
from runner_plugins.sql.tx import spell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runner.model import Lane, Worker
    from runner.store import ClaimTasks, Op
    from runner_plugins.sql.tx import Row

_PREFIX = "sqlite:///"
_CHECKPOINT_PAGES: Final = 4000
"""16 MB of write-ahead log. Each checkpoint writes a page once that hundreds of commits changed."""
_NETWORK: Final = frozenset(
    "nfs nfs4 cifs smb smb2 smb3 smbfs 9p afs ceph fuse.sshfs fuse.glusterfs glusterfs lustre beegfs "
    "fuse.s3fs fuse.rclone".split()
)

PICK = """SELECT t.seq FROM json_each(:lanes) l JOIN tasks t ON t.seq =
    (SELECT seq FROM tasks WHERE status = 'pending' AND lane = l.value ORDER BY rank, seq LIMIT 1)
    ORDER BY t.rank, t.seq LIMIT 1"""


class _Dialect:
    """SQLite's spelling: the clocks are parameters, since on one host this process's clocks are the store's."""

    clock: ClassVar[Mapping[str, str]] = {
        "now": ":now",
        "wall": ":wall",
        "boot": ":boot",
        "lock": "",
        "lock_t": "",
        "skip": "",
        "expired": "(boot <> :boot OR lease_until < :now)",
        "safe_events": "",
        "event_id": "NULL",
    }

    @staticmethod
    def among(name: str) -> str:
        return f"IN (SELECT value FROM json_each(:{name}))"

    @staticmethod
    def parameter(name: str) -> str:
        return f":{name}"


_DIALECT = _Dialect()
_spelled: dict[str, tuple[str, bool]] = {}


def _spell(text: str) -> tuple[str, bool]:
    """The statement as SQLite takes it, and whether it has lists among its parameters."""
    known = _spelled.get(text)
    if known is None:
        known = _spelled[text] = (spell(text, _DIALECT), "json_each(" in text or "IN @" in text)
    return known


def _execute(db: sqlite3.Connection, text: str, values: dict[str, Any], clock: dict[str, Any]) -> sqlite3.Cursor:
    """Run a statement; `values` is the caller's to give away."""
    sql, lists = _spell(text)
    if lists:
        for name, value in values.items():
            if type(value) is list:
                values[name] = dump(value)
    values.update(clock)
    return db.execute(sql, values)


class _Tx:
    """One write transaction."""

    def __init__(self, store: SqliteStore, db: sqlite3.Connection) -> None:
        self.store = store
        self.db = db
        self.after: list[Callable[[], None]] = []
        self.woken: set[str] = set()
        self.boot = store.boot
        self._now, self._wall = time.monotonic(), time.time()
        self._clock = {"now": self._now, "wall": self._wall, "boot": store.boot}

    def all(self, sql: str, **values: Any) -> Sequence[Row]:
        return _execute(self.db, sql, values, self._clock).fetchall()

    def one(self, sql: str, **values: Any) -> Row | None:
        row: Row | None = _execute(self.db, sql, values, self._clock).fetchone()
        return row

    def run(self, sql: str, **values: Any) -> int:
        return _execute(self.db, sql, values, self._clock).rowcount

    def post(self, sql: str, **values: Any) -> None:
        _execute(self.db, sql, values, self._clock)

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.db.executemany(_spell(sql)[0], ({**row, **self._clock} for row in rows))

    def lock(self, name: str) -> None:
        """Writers are alone already."""

    def clock(self) -> tuple[float, float]:
        return self._now, self._wall

    def fitting(self, worker: Worker) -> list[Lane]:
        cache = self.store.lane_cache_in(self)
        return cache.fitting(worker)

    def take(self, op: ClaimTasks, lanes: Sequence[Lane]) -> None:
        """Statements cost little here, and writers are alone: step by step."""

    def pick(self, lanes: Sequence[int], want: int) -> list[int]:
        if not lanes:
            return []
        if want == 1:
            return [row[0] for row in self.all(PICK, lanes=list(lanes))]
        # A few at a time, each the head of its lane once the ones before it are taken.
        heads: list[tuple[float, int]] = []
        for lane in lanes:
            heads += self.all(HEADS, lane=lane, want=want)
        return [seq for _, seq in sorted(heads)[:want]]


HEADS = "SELECT rank, seq FROM tasks WHERE status = 'pending' AND lane = :lane ORDER BY rank, seq LIMIT :want"


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

        with self.write() as tx:
            results = apply(tx, ops, request_id)
        for done in tx.after:
            done()
        if tx.woken:
            self._pings.send(tx.woken)
        return results

    @contextlib.contextmanager
    def write(self) -> Iterator[_Tx]:
        """A write transaction: immediate, in the queue of writers, rolled back on any error."""
        with self._explained:
            self._turnstile.acquire()
            try:
                db = self._writer
                db.execute("BEGIN IMMEDIATE")
                try:
                    tx = _Tx(self, db)
                    yield tx
                    db.execute("COMMIT")
                except BaseException:
                    self._forget_lanes()
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            finally:
                self._turnstile.release()

    # Reading

    def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        """The rows of a read, outside any transaction."""
        clock = {"now": time.monotonic(), "wall": time.time(), "boot": self.boot}
        with self._explained:
            return _execute(self._reader(), sql, values, clock).fetchall()

    def lane_cache(self) -> LaneCache:
        """The lanes, topped up by a read."""
        with self._lanes_lock:
            self._lanes.extend(self.rows(READ_NEW, last=self._lanes.last))
            return self._lanes

    def lane_cache_in(self, tx: _Tx) -> LaneCache:
        """The lanes, topped up within a transaction."""
        with self._lanes_lock:
            self._lanes.extend(tx.all(READ_NEW, last=self._lanes.last))
            return self._lanes

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

        with self.write() as tx:
            if tx.db.execute("PRAGMA user_version").fetchone()[0] >= schema.VERSION:
                return []
            done = migrate(tx.db)
            tx.db.execute(f"PRAGMA user_version={schema.VERSION}")
        return done

    def explain_claim(self) -> list[str]:
        """The plan of the statement that claims, a line a step (for tests)."""
        rows = self._writer.execute("EXPLAIN QUERY PLAN " + _spell(PICK)[0], {"lanes": "[1]"}).fetchall()
        return [row[3] for row in rows]

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
