"""The PostgreSQL store: one writing connection, a few for reads, one that listens. Connects when first used."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from runner_plugins.postgres import claiming, events
from runner_plugins.postgres.address import Address
from runner_plugins.postgres.faults import Lost, Refused, explain, unavailable
from runner_plugins.postgres.listening import Listener
from runner_plugins.postgres.migrate import upgrade
from runner_plugins.postgres.session import LaneList, Session, Sessions
from runner_plugins.postgres.spelling import statement
from runner_plugins.sql.lanes import READ_NEW, LaneCache
from runner_plugins.sql.reads import Queue, Records, Streams

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import Worker
    from runner.store import Op
    from runner_plugins.postgres.transaction import Transaction
    from runner_plugins.sql.tx import Row

_TRIES: Final = 12
"""How often a commit is run that loses against others (deadlock, the same key at the same time)."""


class PostgresStore:
    """A store in one PostgreSQL database. Safe to use from several threads.

    `timeout`: seconds that a commit waits for a lock, and half of those after which a client that is stopped in
    the middle of one loses its locks.
    """

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        self.url = url
        self.address = Address(url)
        self.lanes = LaneList()
        self._sessions = Sessions(self.address, timeout)
        self._writing = threading.Lock()
        self._writer: Session | None = None
        self._listener = Listener(self.address)
        self.queue = Queue(self)
        self.streams = Streams(self)
        self.records = Records(self)

    # Writing

    def commit(self, ops: Sequence[Op], request_id: str | None = None) -> list[Any]:
        """As `runner.store.Store.commit`."""
        reconnected = False
        for turn in range(_TRIES):
            try:
                tx, results = self._once(ops, request_id)
            except Refused as error:
                if not error.again or turn == _TRIES - 1:
                    raise explain(error, self.address) from None
                time.sleep(random.random() * min(0.001 * 2**turn, 0.2))
            except _LostTransaction as lost:
                # Before COMMIT nothing was done; after it the answer kept under the request's id tells.
                if reconnected or (lost.asked and request_id is None):
                    raise unavailable(self.address, str(lost)) from None
                reconnected = True
            else:
                for done in tx.after:
                    done()
                return results
        raise AssertionError("unreachable")

    def _once(self, ops: Sequence[Op], request_id: str | None) -> tuple[Transaction, list[Any]]:
        # Here: commands that only read start without the writes.
        from runner_plugins.postgres.transaction import Transaction
        from runner_plugins.sql.apply import apply

        with self._writing:
            session = self._writer
            if session is None or session.wire.closed:
                session = self._writer = self._sessions.open(writes=True)
            asked = False
            try:
                tx = Transaction(self, session)
                try:
                    tx.expect(ops, request_id)
                    results = apply(tx, ops, request_id)
                    tx.commit()
                finally:
                    asked = tx.asked
            except Lost as error:
                self.lanes.forget()
                raise _LostTransaction(str(error), asked) from None
            except BaseException as error:
                self.lanes.forget()
                self._undo(session, error)
                raise
            with contextlib.suppress(Lost, Refused):
                session.wire.finish()  # it is committed, whatever becomes of the notice
            return tx, results

    def _undo(self, session: Session, error: BaseException) -> None:
        if isinstance(error, Exception):
            with contextlib.suppress(Lost):
                session.wire.reset()
        else:
            session.wire.close()  # interrupted in the middle of an answer, perhaps

    # Reading

    def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        """The rows of a read, outside any transaction."""
        spelled = statement(sql)
        for turn in (1, 2):
            with self._sessions.borrow() as session:
                try:
                    if "safe_event" in spelled.names:
                        values["safe_event"] = events.safe(session)
                    return session.wire.ask(spelled, values)
                except Refused as error:
                    raise explain(error, self.address) from None
                except Lost as error:
                    self._sessions.discard()
                    if turn == 2:
                        raise unavailable(self.address, str(error)) from None
        raise AssertionError("unreachable")

    def lane_cache(self) -> LaneCache:
        """The lanes, topped up by a read."""
        return self.lanes.top_up(self.rows(READ_NEW, last=self.lanes.last))

    def safe(self) -> str:
        """One clock for everybody: every age is comparable."""
        return ""

    # Waiting

    def wait_for_work(self, worker: Worker, timeout: float) -> str:
        """As `runner.store.Store.wait_for_work`."""
        return self._listener.wait(timeout, lambda: self.queue.work_waits(worker))

    def wake(self) -> None:
        """End this process's own wait; safe in a signal handler."""
        self._listener.wake()

    # Schema

    def upgrade(self) -> list[str]:
        """Make or change the tables: the only thing that ever does."""
        return upgrade(self.address)

    def explain_claim(self) -> list[str]:
        """The plan of the statement that claims, a line a step (for tests)."""
        spelled = statement(claiming.TAKE)
        with self._writing:
            session = self._sessions.open(writes=True)
            try:
                return session.plan(spelled, claiming.EXAMPLE)
            finally:
                session.wire.close()

    def close(self) -> None:
        """Close every connection."""
        self._listener.close()
        self._sessions.close()
        with self._writing:
            if self._writer is not None:
                self._writer.wire.close()
                self._writer = None


class _LostTransaction(Exception):
    """The connection was lost in a transaction; `asked`: after COMMIT was sent."""

    def __init__(self, why: str, asked: bool) -> None:
        super().__init__(why)
        self.asked = asked
