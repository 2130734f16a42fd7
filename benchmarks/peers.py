"""Other queues in the same round: each claims and finishes empty jobs the way its own worker does.

None of them fences a claim or keeps events and attempts; they are here to show the scale, not as rivals
of equal work. Each is left out, and said to be, when its package is not installed (group `bench`).
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from typing import TYPE_CHECKING, Any

from crew import Contender, Counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKAGES = {"huey": "huey", "litequeue": "litequeue", "procrastinate": "procrastinate", "pgqueuer": "pgqueuer"}


def installed(name: str) -> bool:
    return importlib.util.find_spec(PACKAGES[name]) is not None


class Watch:
    """Counts jobs until the end, and the longest pause between two."""

    def __init__(self, end: float) -> None:
        self.end = end
        self.done = 0
        self.longest = 0.0
        self._first = self._last = time.monotonic()

    def tell(self) -> bool:
        """A job is finished → whether there is time for more."""
        now = time.monotonic()
        if self.done:
            self.longest = max(self.longest, now - self._last)
        else:
            self._first = now
        self.done += 1
        self._last = now
        return now < self.end

    def counted(self) -> Counted:
        dry = self._last < self.end
        return Counted(max(0, self.done - 1), self.longest, self._last - self._first, dry)


# SQLite


class Huey:
    """huey with `fsync=True`: a job is popped, then run; nothing is written when it ends."""

    def __init__(self, path: str) -> None:
        from huey import SqliteHuey

        self._huey = SqliteHuey(filename=path, fsync=True, results=False, timeout=30)
        self._job = self._huey.task(name="nothing")(_nothing)

    def warm(self) -> None:
        self._huey.pending_count()

    def fill(self, count: int) -> None:
        data = [self._huey.serialize_task(self._job.s(n)) for n in range(count)]
        with self._huey.storage.db(commit=True) as cursor:
            rows = ((self._huey.storage.name, one, 0) for one in data)
            cursor.executemany("insert into task (queue, data, priority) values (?, ?, ?)", rows)

    def enqueue(self) -> None:
        self._job(1)

    def run(self, end: float) -> Counted:
        watch = Watch(end)
        while (job := self._huey.dequeue()) is not None:
            self._huey.execute(job)
            if not watch.tell():
                break
        return watch.counted()

    def close(self) -> None:
        self._huey.storage.close()


class LiteQueue:
    """litequeue as it is: `synchronous=NORMAL`; a message is locked, then marked as done."""

    def __init__(self, path: str) -> None:
        import litequeue

        self._queue = litequeue.LiteQueue(path, timeout=30)

    def warm(self) -> None:
        self._queue.peek()

    def fill(self, count: int) -> None:
        self._queue.conn.execute("BEGIN IMMEDIATE")
        for _ in range(count):
            self._queue.put('{"n": 1}')
        self._queue.conn.execute("COMMIT")

    def enqueue(self) -> None:
        self._queue.put('{"n": 1}')

    def run(self, end: float) -> Counted:
        watch = Watch(end)
        while (message := self._queue.pop()) is not None:
            self._queue.done(message.message_id)
            if not watch.tell():
                break
        return watch.counted()

    def close(self) -> None:
        self._queue.close()


def _nothing(n: int) -> None:
    pass


# PostgreSQL


class _Async:
    """What both have in common: an event loop that lives as long as the process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = asyncio.Runner()
        self._call(self._open())

    def _call(self, what: Any) -> Any:
        return self._loop.run(what)

    async def _open(self) -> None:
        raise NotImplementedError

    async def _end(self) -> None:
        raise NotImplementedError

    def warm(self) -> None:
        pass

    def close(self) -> None:
        self._call(self._end())
        self._loop.close()


class Procrastinate(_Async):
    """procrastinate's worker with one job at a time."""

    async def _open(self) -> None:
        import procrastinate

        self._app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=self._url, min_size=1))
        self._watch = Watch(0.0)
        self._task = self._app.task(name="nothing")(self._nothing)
        await self._app.open_async()

    async def _nothing(self, n: int) -> None:
        if not self._watch.tell():
            self._stop()

    def install(self) -> None:
        self._call(self._app.schema_manager.apply_schema_async())

    def fill(self, count: int) -> None:
        for start in range(0, count, 1000):
            many = ({"n": n} for n in range(start, min(start + 1000, count)))
            self._call(self._task.batch_defer_async(*many))

    def enqueue(self) -> None:
        self._call(self._task.defer_async(n=1))

    def run(self, end: float) -> Counted:
        self._watch = Watch(end)
        self._call(self._work())
        return self._watch.counted()

    async def _work(self) -> None:
        settings: dict[str, Any] = {"wait": False, "listen_notify": False, "install_signal_handlers": False}
        worker = asyncio.ensure_future(self._app.run_worker_async(concurrency=1, **settings))
        self._stop: Callable[[], Any] = worker.cancel
        await asyncio.wait([worker])

    async def _end(self) -> None:
        await self._app.close_async()


class PgQueuer(_Async):
    """pgqueuer's worker with its defaults: it claims ten at a time and writes what is done in batches."""

    async def _open(self) -> None:
        import asyncpg  # with psycopg its listener holds the connection for a second at a time
        from pgqueuer.queries import Queries

        self._connection = await asyncpg.connect(self._url)
        self._queries = Queries.from_asyncpg_connection(self._connection)

    def install(self) -> None:
        self._call(self._queries.install())

    def fill(self, count: int) -> None:
        for start in range(0, count, 5000):
            many = min(5000, count - start)
            self._call(self._queries.enqueue(["nothing"] * many, [b"1"] * many, [0] * many))

    def enqueue(self) -> None:
        self._call(self._queries.enqueue("nothing", b"1"))

    def run(self, end: float) -> Counted:
        return self._call(self._work(Watch(end)))  # type: ignore[no-any-return]

    async def _work(self, watch: Watch) -> Counted:
        from pgqueuer.qm import QueueManager
        from pgqueuer.queries import Queries
        from pgqueuer.types import QueueExecutionMode

        manager = QueueManager(Queries.from_asyncpg_connection(self._connection))

        @manager.entrypoint("nothing")
        async def nothing(job: Any) -> None:
            if not watch.tell():
                manager.shutdown.set()

        await manager.run(mode=QueueExecutionMode.drain)
        return watch.counted()

    async def _end(self) -> None:
        self._connection.terminate()


def on_sqlite(folder: Path) -> list[Contender]:
    """Those that keep their jobs in an SQLite file."""
    both = {"huey": "Huey", "litequeue": "LiteQueue"}
    found = [name for name in both if installed(name)]
    return [Contender(name, f"peers:{both[name]}", {"path": str(folder / f"{name}.db")}) for name in found]


def on_postgres(url: Callable[[str], str]) -> list[Contender]:
    """Those that keep their jobs in PostgreSQL; `url` makes a database for a name."""
    both = {"procrastinate": "Procrastinate", "pgqueuer": "PgQueuer"}
    found = [name for name in both if installed(name)]
    return [Contender(name, f"peers:{both[name]}", {"url": url(name)}) for name in found]
