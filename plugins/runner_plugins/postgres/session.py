"""Sessions: connections with their settings, checked against the schema; a small pool of them for reads."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from runner_plugins.postgres.faults import Lost, Refused, explain, unavailable
from runner_plugins.postgres.migrate import check
from runner_plugins.postgres.spelling import text
from runner_plugins.postgres.wire import Wire, constant
from runner_plugins.sql.lanes import READ_NEW, LaneCache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runner.model import Lane, Worker
    from runner_plugins.postgres.address import Address
    from runner_plugins.postgres.spelling import Statement
    from runner_plugins.postgres.transaction import Transaction
    from runner_plugins.sql.tx import Row

_COMMON: Final = {
    # Every statement must see what was committed before it: locks are taken first, then the world is looked at.
    "default_transaction_isolation": "read committed",
    "extra_float_digits": "1",
    "jit": "off",
}
_READS: Final = {**_COMMON, "statement_timeout": "60s"}
_WRITES: Final = {
    **_COMMON,
    "statement_timeout": "30s",
    # The statements of a commit are all made for an index. A plan made while a table was small, or before it
    # was analysed, must not read the whole of it once it has grown.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_READERS_MOST: Final = 4


def _settings(values: Mapping[str, str]) -> Statement:
    return constant("SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in values.items()))


def _waits(timeout: float) -> dict[str, str]:
    """How long others are waited for. Who is stopped within a commit (SIGSTOP, a lid that is closed) loses its
    locks in half that time, so that those who wait for them get them."""
    return {
        "lock_timeout": f"{timeout * 1000:.0f}ms",
        "idle_in_transaction_session_timeout": f"{timeout * 500:.0f}ms",
    }


_SCHEMA: Final = constant("SELECT coalesce(current_schema(), '')")


@dataclass(slots=True)
class Session:
    """A wire, the channel of its store's notices, and the number of its store's log."""

    wire: Wire
    channel: str
    log: int

    def plan(self, spelled: Statement, values: Mapping[str, Any]) -> list[str]:
        """How the server would run a statement, whatever its values."""
        given = [(text(values[name]) or b"").decode().replace("'", "''") for name in spelled.names]
        words = ", ".join(f"'{one}'" for one in given)
        self.wire.ask(constant("PREPARE explained AS " + spelled.text.decode()), {})
        return [row[0] for row in self.wire.ask(constant(f"EXPLAIN (COSTS OFF) EXECUTE explained ({words})"), {})]


class Sessions:
    """Opens sessions, and keeps a few for reads."""

    def __init__(self, address: Address, timeout: float) -> None:
        self._address = address
        self._reads, self._writes = _settings(_READS), _settings(_WRITES | _waits(timeout))
        self._free = threading.BoundedSemaphore(_READERS_MOST)
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._closed = False

    def open(self, *, writes: bool) -> Session:
        """A new session; StoreError when the database is away, or its schema is not ours."""
        wire = Wire(self._address.connect())
        try:
            wire.ask(self._writes if writes else self._reads, {})
            check(wire, self._address)
            [[schema]] = wire.ask(_SCHEMA, {})
        except Lost as error:
            raise unavailable(self._address, str(error)) from None
        except Refused as error:
            wire.close()
            raise explain(error, self._address) from None
        except BaseException:
            wire.close()
            raise
        return Session(wire, channel(schema), log(schema))

    @contextlib.contextmanager
    def borrow(self) -> Iterator[Session]:
        """A session for reads, given back unless it broke."""
        with self._free:
            with self._lock:
                session = self._idle.pop() if self._idle else None
            if session is None:
                session = self.open(writes=False)
            try:
                yield session
            except (Exception, GeneratorExit):
                self._give_back(session)
                raise
            except BaseException:
                session.wire.close()  # interrupted in the middle of an answer, perhaps
                raise
            self._give_back(session)

    def _give_back(self, session: Session) -> None:
        with self._lock:
            if not self._closed and not session.wire.closed:
                self._idle.append(session)
                return
        session.wire.close()

    def discard(self) -> None:
        """Close what is idle: when one connection broke, the others did too."""
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.wire.close()

    def close(self) -> None:
        """Close everything, now or when it is given back."""
        self._closed = True
        self.discard()


def channel(schema: str) -> str:
    """The name under which the processes of one store tell each other; notices stay within a database."""
    return f"runner_{_digest(schema):016x}"


def log(schema: str) -> int:
    """The number under which the processes of one store mark their places in its log."""
    return _digest(schema) >> 34


def _digest(schema: str) -> int:
    return int.from_bytes(hashlib.sha256(schema.encode()).digest()[:8])


class LaneList:
    """The lanes as this process knows them. Lanes are only ever added, and their ids appear in order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cache = LaneCache()
        self._ids: dict[tuple[Any, ...], Row] = {}

    @property
    def last(self) -> int:
        return self._cache.last

    def top_up(self, found: Sequence[Row]) -> LaneCache:
        """Add what is new among the rows of `READ_NEW`."""
        with self._lock:
            last = self._cache.last
            self._cache.extend([row for row in found if row[0] > last])
            return self._cache

    def fitting_in(self, tx: Transaction, worker: Worker) -> list[Lane]:
        """The lanes that fit `worker`, as this transaction sees them."""
        self.top_up(tx.all(READ_NEW, last=self.last))
        with self._lock:
            return list(self._cache.fitting(worker))

    def find(self, routing: tuple[Any, ...], ask: Callable[[], Sequence[Row]]) -> Row | None:
        """The row of a lane's id by its routing; asked for once."""
        known = self._ids.get(routing)
        if known is None and (found := ask()):
            known = self._ids[routing] = found[0]
        return known

    def forget(self) -> None:
        """A transaction that was rolled back may have shown lanes that do not exist."""
        with self._lock:
            self._cache = LaneCache()
            self._ids = {}
