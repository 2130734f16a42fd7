"""One connection: statements are prepared once, sent many at a time, and answered in order.

psycopg makes the connection; its libpq module carries the statements. In a pipeline that costs 8 µs a
statement where psycopg's cursors cost 37, and a claim is a dozen of them.
"""

from __future__ import annotations

import select
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import pq

from runner_plugins.postgres.faults import Lost, Refused
from runner_plugins.postgres.spelling import Statement, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from runner_plugins.sql.tx import Row

PATIENCE: Final = 75.0
"""Seconds without an answer after which the server counts as gone; its own time-outs come long before."""

_PREPARED_MOST: Final = 200
"""Statements with a name, a connection; the texts of `find` are made for one question and may be many."""

_INTEGERS, _FLOATS = (20, 21, 23, 26), (700, 701)
_SYNC, _OK, _ROWS = pq.ExecStatus.PIPELINE_SYNC, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK
_ABORTED, _IDLE = pq.ExecStatus.PIPELINE_ABORTED, pq.TransactionStatus.IDLE

BEGIN, COMMIT, ROLLBACK = (Statement(word, ()) for word in (b"BEGIN", b"COMMIT", b"ROLLBACK"))


class Sent:
    """A statement on its way. `rows` and `count` are there once it is answered."""

    __slots__ = ("answered", "count", "rows", "tag", "text")

    def __init__(self, text: bytes | None, tag: str = "") -> None:
        self.text = text
        self.tag = tag  # "" a statement, "prepare", "sync"
        self.answered = False
        self.rows: list[Row] = []
        self.count = 0


class Wire:
    """A connection in pipeline mode. Used by one thread at a time."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._pg = connection.pgconn
        self._pg.nonblocking = 1
        self._pg.enter_pipeline_mode()
        self._names: dict[bytes, bytes] = {}
        self._number = 0
        self._readers: dict[bytes, list[Callable[[bytes], Any]]] = {}
        self._queue: deque[Sent] = deque()
        self._failure: Refused | None = None
        self._poll = select.poll()
        self._poll.register(self._pg.socket, select.POLLIN)
        self.closed = False

    # Sending

    def send(self, statement: Statement, values: Mapping[str, Any]) -> Sent:
        """Put a statement behind those already on their way."""
        parameters = [text(values[name]) for name in statement.names]
        pg, words = self._pg, statement.text
        name = self._names.get(words)
        try:
            if name is None and len(self._names) < _PREPARED_MOST:
                self._number += 1
                name = self._names[words] = b"runner_%d" % self._number
                pg.send_prepare(name, words)
                self._queue.append(Sent(words, "prepare"))
            if name is None:
                pg.send_query_params(words, parameters)
            else:
                pg.send_query_prepared(name, parameters)
        except psycopg.Error as error:
            raise self._lost(error) from None
        sent = Sent(words)
        self._queue.append(sent)
        return sent

    def sync(self) -> None:
        """End a group: the server answers everything up to here, also after an error."""
        try:
            self._pg.pipeline_sync()
        except psycopg.Error as error:
            raise self._lost(error) from None
        self._queue.append(Sent(None, "sync"))

    # Answers

    def answer(self, sent: Sent) -> Sent:
        """Wait for the answer to `sent`. Raises Refused when it or one before it was refused."""
        if not sent.answered:
            if self._queue[-1].tag != "sync":
                # Not a mere flush: only after a sync does the server see that it waits for us, within a
                # transaction, and ends that when we stay away (`idle_in_transaction_session_timeout`).
                self.sync()
            self._flush()
            while not sent.answered:
                self._receive()
        if self._failure is not None:
            raise self._failure
        return sent

    def finish(self) -> None:
        """Wait for everything that was sent (`sync` came last)."""
        self._flush()
        while self._queue:
            self._receive()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def ask(self, statement: Statement, values: Mapping[str, Any]) -> list[Row]:
        """One statement outside any transaction."""
        sent = self.send(statement, values)
        self.sync()
        self.finish()
        return sent.rows

    def reset(self) -> None:
        """Out of any transaction, whatever was sent; after an error."""
        if not self._queue or self._queue[-1].tag != "sync":
            self.sync()
        self._drain()
        if self._pg.transaction_status != _IDLE:
            self.send(ROLLBACK, {})
            self.sync()
            self._drain()
        if self._pg.transaction_status != _IDLE:
            raise self._lost("it can't leave its transaction")

    def _drain(self) -> None:
        try:
            self.finish()
        except Refused:
            pass

    def _flush(self) -> None:
        try:
            while self._pg.flush():
                self._poll.modify(self._pg.socket, select.POLLIN | select.POLLOUT)
                try:
                    ready = self._wait()
                finally:
                    self._poll.modify(self._pg.socket, select.POLLIN)
                if ready & select.POLLIN:
                    self._pg.consume_input()  # the server may wait for us to read before it reads on
        except psycopg.Error as error:
            raise self._lost(error) from None

    def _wait(self) -> int:
        ready = self._poll.poll(PATIENCE * 1000)
        if not ready:
            raise self._lost(f"no answer for {PATIENCE:.0f} s")
        return ready[0][1]

    def _next(self) -> Any:
        try:
            while self._pg.is_busy():
                self._wait()
                self._pg.consume_input()
            return self._pg.get_result()
        except psycopg.Error as error:
            raise self._lost(error) from None

    def _receive(self) -> None:
        """Take in the next answer."""
        sent, result = self._queue[0], self._next()
        if result is None:
            raise self._lost("the server closed the connection")
        status = result.status
        if sent.tag == "sync":
            if status != _SYNC:
                raise self._lost("an answer came out of order")
        elif self._next() is not None:
            raise self._lost("an answer came out of order")
        self._queue.popleft()
        sent.answered = True
        if status == _ROWS:
            sent.rows = self._read(sent.text, result)
            sent.count = len(sent.rows)
        elif status == _OK:
            sent.count = result.command_tuples or 0
            if sent.text == COMMIT.text and not sent.tag and result.command_status != b"COMMIT":
                self._failure = self._failure or Refused("25P02", "the transaction was rolled back")
        elif status != _SYNC:
            self._refuse(sent, result)

    def _refuse(self, sent: Sent, result: Any) -> None:
        if sent.tag == "prepare" and sent.text is not None:
            self._names.pop(sent.text, None)  # it has no name after all
        if result.status == _ABORTED:
            return
        state = result.error_field(pq.DiagnosticField.SQLSTATE) or b""
        message = result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or result.error_message
        error = Refused(state.decode(errors="replace"), message.decode(errors="replace"))
        if error.gone:
            raise self._lost(error)
        if self._failure is None:
            self._failure = error

    def _read(self, words: bytes | None, result: Any) -> list[Row]:
        count = result.ntuples
        if not count:
            return []
        readers = self._readers.get(words or b"")
        if readers is None:
            readers = [_reader(result.ftype(column)) for column in range(result.nfields)]
            if words in self._names:
                self._readers[words] = readers
        value = result.get_value
        columns = list(enumerate(readers))
        return [
            tuple([None if (got := value(row, n)) is None else read(got) for n, read in columns])
            for row in range(count)
        ]

    # The end

    def _lost(self, why: object) -> Lost:
        self.close()
        return Lost(str(why).strip().partition("\n")[0].rpartition("failed: ")[2])

    def close(self) -> None:
        """Close the connection; an open transaction is undone by the server."""
        self.closed = True
        self._connection.close()


def _reader(kind: int) -> Callable[[bytes], Any]:
    if kind in _INTEGERS:
        return int
    return float if kind in _FLOATS else bytes.decode


def constant(words: str, names: Sequence[str] = ()) -> Statement:
    """A statement of this backend alone, with `$1`, `$2` … for `names`."""
    return Statement(words.encode(), tuple(names))
