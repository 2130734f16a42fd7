"""Records, limits, artifacts' metadata and messages: small writes, each under its own key."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from runner.model import Artifact
from runner_plugins.sql.rows import dump, note

if TYPE_CHECKING:
    from runner.model import Claim
    from runner.store import AppendMessage, DeleteRecord, PutArtifact, PutLimits, PutRecord
    from runner_plugins.sql.fences import Held
    from runner_plugins.sql.tx import Tx

PUT = """INSERT INTO records (kind, id, project, data) VALUES (:kind, :id, :project, :data)
    ON CONFLICT (kind, id) DO UPDATE SET project = excluded.project, data = excluded.data"""
DELETE = "DELETE FROM records WHERE kind = :kind AND id = :id"
PUT_UNIT = """INSERT INTO units (id, project, status, parallel, data)
    VALUES (:id, :project, :status, :parallel, :data)
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, parallel = excluded.parallel, data = excluded.data"""
DELETE_UNIT = "DELETE FROM units WHERE id = :id AND NOT EXISTS (SELECT 1 FROM tasks WHERE unit = :id)"
PUT_LIMIT = """INSERT INTO limits (project, name, most) VALUES (:project, :name, :most)
    ON CONFLICT (project, name) DO UPDATE SET most = excluded.most"""
DROP_LIMIT = "DELETE FROM limits WHERE project = :project AND name = :name"
ARTIFACT = "ref, name, type, size, sha256, project, unit, task, step, attempt, epoch, who, created_at"
ADD_ARTIFACT = f"""INSERT INTO artifacts ({ARTIFACT}) VALUES (:ref, :name, :type, :size, :sha256, :project, :unit,
    :task, :step, :attempt, :epoch, :by, :created_at) ON CONFLICT (ref) DO NOTHING"""
HEAD = """INSERT INTO streams (name, head) VALUES (:name, 1)
    ON CONFLICT (name) DO UPDATE SET head = streams.head + 1 RETURNING head"""
ADD_MESSAGE = """INSERT INTO messages (stream, position, at, who, body)
    VALUES (:stream, :position, {wall}, :who, :body)"""


def put(tx: Tx, op: PutRecord) -> None:
    """Insert or replace; a unit has columns of its own that admission reads."""
    if op.kind == "unit":
        status, parallel = op.data.get("status", "todo"), int(bool(op.data.get("parallel")))
        tx.post(PUT_UNIT, id=op.id, project=op.project, status=status, parallel=parallel, data=dump(op.data))
    else:
        tx.post(PUT, kind=op.kind, id=op.id, project=op.project, data=dump(op.data))


def delete(tx: Tx, op: DeleteRecord) -> bool:
    """Remove; a unit with tasks stays."""
    if op.kind == "unit":
        return tx.run(DELETE_UNIT, id=op.id) == 1
    return tx.run(DELETE, kind=op.kind, id=op.id) == 1


def limits(tx: Tx, op: PutLimits) -> None:
    """Set or remove limits, in one order for everybody."""
    for name, most in sorted(op.limits.items()):
        if most is None:
            tx.post(DROP_LIMIT, project=op.project, name=name)
        else:
            tx.post(PUT_LIMIT, project=op.project, name=name, most=most)
    tx.woken.add("work")


def artifact(tx: Tx, op: PutArtifact, held: Held | None) -> Artifact:
    """Write down an artifact, with the holder's task, attempt and epoch where there is one."""
    value = op.artifact
    if held is not None and op.fence is not None and op.fence.id.startswith("task:"):
        value = replace(
            value, task=held.id, unit=held.unit, project=held.project, epoch=held.epoch, attempt=held.attempt or None
        )
    value = replace(value, created_at=tx.clock()[1])
    tx.post(ADD_ARTIFACT, **asdict(value))
    note(tx, "artifact.stored", value.task, value.epoch, value.by, {"ref": value.ref, "name": value.name})
    return value


def message(tx: Tx, op: AppendMessage) -> int:
    """The next position of a stream: its head is locked until the commit, so no lower one appears later."""
    row = tx.one(HEAD, name=op.stream)
    assert row is not None
    tx.post(ADD_MESSAGE, stream=op.stream, position=row[0], who=op.by, body=dump(op.body))
    return int(row[0])


def artifact_of(row: tuple[Any, ...]) -> Artifact:
    """An artifact from a row of `ARTIFACT`."""
    ref, name, type_, size, sha256, project, unit, task, step, attempt, epoch, who, created = row
    return Artifact(name, type_, size, sha256, ref, project, unit, task, step, attempt, epoch, who, created)


def event_claim(fence: Claim | None) -> tuple[str | None, int | None]:
    """Task id and epoch that an event of this fence is about."""
    if fence is None:
        return None, None
    return (fence.key if fence.id.startswith("task:") else None), fence.epoch
