"""One write transaction: statements go out together where nobody waits for an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner.store import ClaimTasks
from runner_plugins.postgres import claiming
from runner_plugins.postgres.events import Log
from runner_plugins.postgres.spelling import bulk, statement
from runner_plugins.postgres.wire import BEGIN, COMMIT, constant
from runner_plugins.sql import fences
from runner_plugins.sql.apply import ANSWER
from runner_plugins.sql.lanes import FIND, READ_NEW
from runner_plugins.sql.rows import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner.model import Lane, Worker
    from runner.store import Op
    from runner_plugins.postgres.session import Session
    from runner_plugins.postgres.store import PostgresStore
    from runner_plugins.postgres.wire import Sent
    from runner_plugins.sql.tx import Row

LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"
CLOCK: Final = "SELECT {now}, {wall}"
NOTIFY: Final = constant("SELECT pg_notify($1, $2)", ("channel", "kind"))

_CHUNK: Final = 5000
"""Rows of one bulk insert."""
_MANY: Final = 4
"""From so many rows on, a bulk insert is the quicker one."""


class Transaction:
    """What `runner_plugins.sql.tx.Tx` asks for, on a wire of PostgreSQL."""

    boot = ""  # the server's clock counts from the same point for everybody

    def __init__(self, store: PostgresStore, session: Session) -> None:
        self.store = store
        self.after: list[Callable[[], None]] = []
        self.woken: set[str] = set()
        self.asked = False
        """COMMIT is on its way: whether it was done is only known from its answer."""
        self._session = session
        self._wire = session.wire
        self._log = Log()
        self._clock: tuple[float, float] | None = None
        self._ahead: dict[str, list[tuple[dict[str, Any], Sent]]] = {}
        self._locked: set[str] = set()
        self._wire.send(BEGIN, {})

    # Statements

    def expect(self, ops: Sequence[Op], request_id: str | None) -> None:
        """Send at once what `apply` is going to ask first: the kept answer, the fences, the newest lanes."""
        if request_id is not None:
            self.lock(f"request:{request_id}")
            self.ahead(ANSWER, id=request_id)
        for fence in sorted({op.fence for op in ops if op.fence is not None}, key=lambda f: (f.id, f.epoch)):
            if fence.id.startswith("unit:"):
                self.ahead(fences.UNIT, name=fence.id, epoch=fence.epoch)
            else:
                self.ahead(fences.TASK, name=fence.id, id=fence.key, epoch=fence.epoch)
        if any(isinstance(op, ClaimTasks) for op in ops):
            self.ahead(READ_NEW, last=self.store.lanes.last)

    def ahead(self, sql: str, **values: Any) -> None:
        """Send a statement whose answer will be asked for with the same words and values."""
        self._ahead.setdefault(sql, []).append((dict(values), self._send(sql, values)))

    def _send(self, sql: str, values: dict[str, Any]) -> Sent:
        return self._wire.send(statement(sql), values)

    def all(self, sql: str, **values: Any) -> Sequence[Row]:
        for place, (asked, sent) in enumerate(self._ahead.get(sql, ())):
            if asked == values:
                del self._ahead[sql][place]  # who asks again wants to know what has changed
                return self._wire.answer(sent).rows
        return self._wire.answer(self._send(sql, values)).rows

    def one(self, sql: str, **values: Any) -> Row | None:
        if sql is FIND:
            return self.store.lanes.find(tuple(values.values()), lambda: self.all(sql, **values))
        found = self.all(sql, **values)
        return found[0] if found else None

    def run(self, sql: str, **values: Any) -> int:
        return self._wire.answer(self._send(sql, values)).count

    def post(self, sql: str, **values: Any) -> None:
        if sql is EVENT:
            self._log.add(values)
        else:
            self._send(sql, values)

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if sql is EVENT:
            for row in rows:
                self._log.add(row)
            return
        if len(rows) < _MANY:
            for row in rows:
                self._send(sql, dict(row))
            return
        names = statement(sql).names
        spelled = statement(bulk(sql, names))
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            self._wire.send(spelled, {name: [row[name] for row in chunk] for name in names})

    def lock(self, name: str) -> None:
        if name not in self._locked:
            self._locked.add(name)
            self.post(LOCK, name=name)

    def clock(self) -> tuple[float, float]:
        if self._clock is None:
            now, wall = self.all(CLOCK)[0]
            self._clock = (now, wall)
        return self._clock

    # Claiming

    def fitting(self, worker: Worker) -> list[Lane]:
        return self.store.lanes.fitting_in(self, worker)

    def take(self, op: ClaimTasks, lanes: Sequence[Lane]) -> list[Row] | None:
        return claiming.take(self, op, lanes, self.store.lanes.last)

    def pick(self, lanes: Sequence[int], want: int) -> list[int]:
        return claiming.pick(self, lanes, want) if lanes else []

    # The end

    def commit(self) -> None:
        """Write down the events, commit, and tell who listens, without a pause in between.

        The notices come behind the commit: inside they would make all commits of the database queue up.
        """
        wire = self._wire
        self._log.write(self._session)
        self.asked = True
        done = wire.send(COMMIT, {})
        for kind in sorted(self.woken):
            wire.send(NOTIFY, {"channel": self._session.channel, "kind": kind})
        wire.sync()
        wire.answer(done)
