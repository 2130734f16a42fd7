"""From enqueue to a committed claim: how soon an idle worker has the task, beside a bare wake-up and raw SQL.

Two processes wait all the time, ours and the raw one; tasks go to one and the other in turn, so both see
the same machine. The time runs from before the enqueue's commit to after the claim's.
"""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import raw_postgres
import raw_sqlite
import waiting
from beds import PostgresBed, SqliteBed
from ours import Ours
from report import Goal, Section, Table, median

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from setting import Setting

    from runner.model import NewTask

STORES = ("SQLite FULL", "SQLite NORMAL", "PostgreSQL")
PAUSE = 0.004
"""Seconds between two tasks: long enough for the waiter to sleep again."""


class OursWaits(Ours):
    """Waits as the worker does: until something wakes it, then claims."""

    def listen(self) -> None:
        self.store.wait_for_work(self.worker, 0.05)

    def next(self, end: float) -> Any:
        while time.monotonic() < end:
            if self.store.wait_for_work(self.worker, end - time.monotonic()) == "work":
                taken = self.fused(None)
                if taken is not None:
                    return taken
        return None

    def ping(self) -> None:
        """The store does it."""


class RawPing(raw_sqlite.Raw):
    """A datagram to one known socket, and the claim by hand."""

    def __init__(self, socket: str, **options: Any) -> None:
        super().__init__(**options)
        self._path = socket
        self._socket: Any = None

    def listen(self) -> None:
        Path(self._path).unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self._path)

    def next(self, end: float) -> Any:
        self._socket.settimeout(max(0.001, end - time.monotonic()))
        self._socket.recv(16)
        return self.fused(None)

    def ping(self) -> None:
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.sendto(b"w", self._path)


class RawNotify(raw_postgres.Raw):
    """LISTEN on a connection of its own, NOTIFY with the enqueue, and the claim by hand."""

    def __init__(self, url: str, lanes: list[int]) -> None:
        super().__init__(url, lanes)
        self._url = url

    def listen(self) -> None:
        self._ears = raw_postgres.connect(self._url)
        self._ears.execute(f"LISTEN {raw_postgres.CHANNEL}")

    def next(self, end: float) -> Any:
        for _ in self._ears.notifies(timeout=max(0.001, end - time.monotonic()), stop_after=1):
            return self.fused(None)
        return None

    def enqueue(self, tasks: Sequence[NewTask], notify: bool = True) -> None:
        super().enqueue(tasks, notify)

    def ping(self) -> None:
        """NOTIFY went with the transaction."""


def _wait(pipe: Connection, kind: str, options: dict[str, Any]) -> None:
    """The waiting process: tells when each task was its own."""
    one: Any = globals()[kind](**options)
    one.warm()
    one.listen()
    pipe.send("ready")
    while pipe.recv() == "next":
        pipe.send("waits")
        taken = one.next(time.monotonic() + 20)
        pipe.send(time.monotonic() if taken is not None else None)
        if taken is not None:
            one.fused(taken, claim=False)
        pipe.send("idle")
    one.close()


class Waiter:
    """A waiting process and, in this one, who enqueues for it."""

    def __init__(self, kind: str, **options: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_wait, args=(theirs, kind, options), daemon=True)
        self._process.start()
        self._sender: Any = globals()[kind](**options)
        self._sender.warm()
        self._expect("ready")

    def _expect(self, word: str | None = None) -> Any:
        if not self._pipe.poll(30):
            raise RuntimeError("the waiting process does not answer")
        got = self._pipe.recv()
        if word is not None and got != word:
            raise RuntimeError(f"the waiting process says {got!r}")
        return got

    def once(self) -> float:
        """Seconds from enqueue to claim."""
        self._pipe.send("next")
        self._expect("waits")
        time.sleep(PAUSE)
        tasks = waiting.tasks(1)
        begin = time.monotonic()
        self._sender.enqueue(tasks)
        self._sender.ping()
        claimed = self._expect()
        self._expect("idle")
        if claimed is None:
            raise RuntimeError("a task was not claimed for 20 s")
        return float(claimed - begin)

    def close(self) -> None:
        self._pipe.send("end")
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
        self._sender.close()


def run(setting: Setting) -> Section:
    """Tasks in turn to ours and the raw waiter of each store."""
    count = 60 if setting.quick else 250
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    # One store at a time: what another leaves in the file system's journal must not be paid here.
    for pairs in _by_store(_pairs(setting)):
        setting.say(f"latency of an idle worker: {pairs[0][0]}")
        for _, _, waiter in pairs:
            waiter.once()
        for turn in range(count):
            for store, name, waiter in pairs if turn % 2 else reversed(pairs):
                times[store, name].append(waiter.once() * 1000)
        for _, _, waiter in pairs:
            waiter.close()
    return _report(times)


def _by_store(pairs: list[tuple[str, str, Waiter]]) -> list[list[tuple[str, str, Waiter]]]:
    stores = dict.fromkeys(store for store, _, _ in pairs)
    return [[one for one in pairs if one[0] == store] for store in stores]


def _pairs(setting: Setting) -> list[tuple[str, str, Waiter]]:
    """Queues of their own: what one enqueues, the other must not claim."""
    found: list[tuple[str, str, Waiter]] = []
    if setting.sqlite:
        for synchronous in ("full", "normal"):
            store = f"SQLite {synchronous.upper()}"
            beds = []
            for name in ("a", "b"):
                (folder := setting.folder / f"latency-{synchronous}-{name}").mkdir()
                beds.append(SqliteBed(folder, 1000, empty=True))
            socket = str(setting.sockets / f"raw-{synchronous}.sock")
            ours, raw = beds[0].contenders(synchronous)[0].options, beds[1].contenders(synchronous)[1].options
            found.append((store, "runner", Waiter("OursWaits", **ours)))
            found.append((store, "raw ping", Waiter("RawPing", socket=socket, **raw)))
            for bed in beds:
                bed.close()
    if setting.postgres:
        a, b = (PostgresBed(setting.server, 1000, f"latency_{name}", empty=True) for name in ("a", "b"))
        found.append(("PostgreSQL", "runner", Waiter("OursWaits", **a.contenders()[0].options)))
        found.append(("PostgreSQL", "raw NOTIFY", Waiter("RawNotify", **b.contenders()[1].options)))
        a.close()
        b.close()
    return found


def _report(times: dict[tuple[str, str], list[float]]) -> Section:
    section = Section("enqueue → claim committed, one idle worker")
    table = Table("milliseconds", ["", "p50", "p99", "runner ÷ raw, p50"])
    names = sorted(times, key=lambda one: (STORES.index(one[0]), one[1] != "runner"))
    for store, name in names:
        values = sorted(times[store, name])
        p50, p99 = median(values), values[min(len(values) - 1, int(len(values) * 0.99))]
        row: list[Any] = [f"{store}  {name}", p50, p99, ""]
        if name == "runner":
            raw = next(other for other in names if other[0] == store and other[1] != "runner")
            row[3] = p50 / median(times[raw])
            bound = 1.4 if store == "PostgreSQL" else 1.5
            section.goals.append(Goal(f"{store}, p50 ÷ {raw[1]} + claim", row[3], bound))
        table.rows.append(row)
    section.tables = [table]
    section.data = {" | ".join(key): values for key, values in times.items()}
    return section
