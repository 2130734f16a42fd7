"""Lanes: the interned routing of tasks, and which of them fit a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runner.model import Lane
from runner_plugins.sql.rows import dump, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import Worker
    from runner_plugins.sql.tx import Row, Tx

READ = "SELECT id, project, machine, type, account, requires FROM lanes ORDER BY id"
READ_NEW = "SELECT id, project, machine, type, account, requires FROM lanes WHERE id > :last ORDER BY id"
FIND = """SELECT id FROM lanes WHERE project = :project AND machine = :machine AND type = :type
    AND account = :account AND requires = :requires"""
ADD = """INSERT INTO lanes (project, machine, type, account, requires)
    VALUES (:project, :machine, :type, :account, :requires) ON CONFLICT DO NOTHING"""


def lane(row: Row) -> Lane:
    """A lane from a row of `READ`."""
    return Lane(row[0], row[1], row[2] or None, row[3], row[4] or None, tuple(load(row[5])))


def intern(tx: Tx, project: str, machine: str | None, type: str, account: str | None, requires: Sequence[str]) -> int:
    """The id of this routing, made when it is new."""
    values = {
        "project": project,
        "machine": machine or "",
        "type": type,
        "account": account or "",
        "requires": dump(sorted(set(requires))) if requires else "[]",
    }
    found = tx.one(FIND, **values)
    if found is None:
        # Their ids must appear in order: who has read up to one looks only past it.
        tx.lock("lanes")
        tx.post(ADD, **values)
        found = tx.one(FIND, **values)
        assert found is not None
    return int(found[0])


def fits(lane: Lane, worker: Worker) -> bool:
    """Whether a task of this lane may run on this worker."""
    return (
        lane.project == worker.project
        and (lane.machine is None or lane.machine in worker.names)
        and lane.type in worker.types
        and all(need in worker.capabilities for need in lane.requires)
    )


class LaneCache:
    """The lanes of one store, read once and topped up; and the eligible ones of the last worker that asked.

    Lanes are only ever added, so what was read stays true.
    """

    def __init__(self) -> None:
        self.lanes: list[Lane] = []
        self._for: Worker | None = None
        self._seen = -1
        self._fitting: list[Lane] = []

    @property
    def last(self) -> int:
        return self.lanes[-1].id if self.lanes else 0

    def extend(self, rows: Sequence[Row]) -> None:
        """Add the rows of `READ_NEW`."""
        self.lanes.extend(lane(row) for row in rows)

    def fitting(self, worker: Worker) -> list[Lane]:
        """The lanes that fit `worker`."""
        if self._for is not worker or self._seen != len(self.lanes):
            self._fitting = [one for one in self.lanes if fits(one, worker)]
            self._for, self._seen = worker, len(self.lanes)
        return self._fitting
