"""The audit log: events get their ids in an order that readers can rely on.

A reader that has seen an event must never find an earlier one afterwards, though commits end in any order.
So the events of a commit are written at its very end, behind one another: the number of the log is marked by a
shared lock that lasts as long as the transaction, then the next number is taken. No event of a transaction that
is on its way comes before its mark. Whoever reads looks at the number and at the marks first, and
then at the events up to there: what is missing among those will never come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner.errors import LimitReached
from runner_plugins.postgres.spelling import statement
from runner_plugins.postgres.wire import constant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner_plugins.postgres.session import Session

_BITS: Final = 20
"""An event's id is its transaction's number in the log, then its place among those of the transaction."""

_WRAP: Final = (1 << 31) - 1
"""A lock's key has 31 bits for the number."""

_CHUNK: Final = 10_000

_MARK: Final = constant(
    f"SELECT pg_advisory_xact_lock_shared($1::int, (last_value & {_WRAP})::int) FROM events_id_seq", ("log",)
)
_NUMBER: Final = constant("SELECT nextval('events_id_seq')")
_COLUMNS: Final = ("kind", "task", "epoch", "who", "data")
_WRITE: Final = statement(
    f"""INSERT INTO events (id, at, kind, task, epoch, who, data)
    SELECT (currval('events_id_seq') << {_BITS}) + :before::bigint + r.nth, {{wall}}, kind, task, epoch, who, data
    FROM unnest(:kind::text[], :task::text[], :epoch::integer[], :who::text[], :data::text[])
    WITH ORDINALITY AS r(kind, task, epoch, who, data, nth)"""
)
_NEWEST: Final = constant("SELECT last_value FROM events_id_seq")
_MARKS: Final = constant(
    """SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = $1::int::oid
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())""",
    ("log",),
)


class Log:
    """What a transaction is going to write down."""

    def __init__(self) -> None:
        self._lines: list[Mapping[str, Any]] = []

    def add(self, line: Mapping[str, Any]) -> None:
        """One event: kind, task, epoch, who, data."""
        if len(self._lines) >= (1 << _BITS) - 1:
            raise LimitReached("one commit writes down too much at once", "submit in parts of 100,000 tasks")
        self._lines.append(line)

    def write(self, session: Session) -> None:
        """Send the events, in their order. Nothing but COMMIT may follow."""
        if not self._lines:
            return
        session.wire.send(_MARK, {"log": session.log})
        session.wire.send(_NUMBER, {})
        for start in range(0, len(self._lines), _CHUNK):
            chunk = self._lines[start : start + _CHUNK]
            columns = {name: [line[name] for line in chunk] for name in _COLUMNS}
            session.wire.send(_WRITE, {**columns, "before": start})


def safe(session: Session) -> int:
    """The id up to which the log is complete: nothing appears there any more."""
    # In this order, and before the events are read: who marks later takes a number past the newest.
    newest = session.wire.send(_NEWEST, {})
    marks = session.wire.send(_MARKS, {"log": session.log})
    session.wire.sync()
    session.wire.finish()
    number = int(newest.rows[0][0])
    for (mark,) in marks.rows:
        number = min(number, number - ((number - int(mark)) & _WRAP))
    return (number + 1 << _BITS) - 1
