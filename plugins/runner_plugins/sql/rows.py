"""Rows to nouns: the columns of a task in one order, and how they become a `Task`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from runner.model import Attempt, Event, Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner_plugins.sql.tx import Row

NAMES: Final = (
    "id type status outcome priority payload project unit spec machine agent account requires key limit_key epoch "
    "attempt attempts attempts_max interruptions interruptions_max not_before blocked_by cancel question answer "
    "result publish created_at started_at finished_at rank unit_epoch seq"
).split()

COLUMNS: Final = ", ".join(NAMES)
"""The columns of `task()`, for SELECT and RETURNING."""

QUALIFIED: Final = ", ".join(f"t.{n}" for n in NAMES)
"""The same with the table named `t`."""


_encode = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` would make a new encoder each time


def dump(value: Any) -> str:
    """Compact JSON, the way every store writes it: ASCII, so that any string Python holds can be stored."""
    return _encode(value)


_decode = json.JSONDecoder().raw_decode  # what `json.loads` adds is for text that we did not write


def load(text: str | None) -> Any:
    """What `dump` wrote; None stays None."""
    return None if text is None else _decode(text)[0]


def task(row: Row) -> Task:
    """A task from a row of `COLUMNS`."""
    return Task(
        row[0],
        row[1],
        row[2],
        row[3],
        row[4],
        load(row[5]),
        row[6],
        row[7],
        load(row[8]),
        row[9],
        row[10],
        row[11],
        tuple(load(row[12])) if row[12] != "[]" else (),
        row[13],
        row[14],
        row[15],
        row[16],
        row[17],
        row[18],
        row[19],
        row[20],
        row[21],
        row[22],
        bool(row[23]),
        row[24],
        row[25],
        load(row[26]),
        load(row[27]),
        row[28],
        row[29],
        row[30],
        row[31],
        row[32],
    )


ATTEMPT: Final = "task, step, n, epoch, agent, worker, started_at, ended_at, outcome, result, late, repair"


def attempt(row: Row) -> Attempt:
    """An attempt from a row of `ATTEMPT`."""
    task, step, n, epoch, agent, worker, started, ended, outcome, result, late, repair = row
    return Attempt(task, step, n, epoch, agent, worker, started, ended, outcome, load(result), load(late), bool(repair))


def event(row: Row) -> Event:
    """An event from (id, at, kind, task, epoch, who, data)."""
    id, at, kind, task, epoch, who, data = row
    return Event(id, at, kind, task, epoch, who, json.loads(data))


EVENT: Final = """INSERT INTO events (at, kind, task, epoch, who, data)
    VALUES ({wall}, :kind, :task, :epoch, :who, :data)"""


def note(
    tx: Any, kind: str, task_id: str | None, epoch: int | None, who: str = "", data: Mapping[str, Any] | None = None
) -> None:
    """Add a line to the audit log."""
    tx.post(EVENT, kind=kind, task=task_id, epoch=epoch, who=who, data=dump(data) if data else "{}")
