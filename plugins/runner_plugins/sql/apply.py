"""A commit: its ops one by one, groups of one fence together, and the answer kept for a repeated request."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from runner.model import Artifact, Claim
from runner.store import (
    REFUSED,
    AppendEvent,
    AppendMessage,
    CancelTask,
    ClaimTasks,
    ClaimUnit,
    DeleteRecord,
    FinishAttempt,
    Forget,
    LateEvidence,
    Op,
    Prune,
    Published,
    PutArtifact,
    PutLimits,
    PutRecord,
    Register,
    Release,
    ReleaseUnit,
    Renew,
    Renewal,
    ResolveTask,
    RetryTask,
    Settle,
    StartAttempt,
    SubmitTasks,
    Submitted,
    Tick,
    Ticked,
)
from runner_plugins.sql import attempts, claim, decide, records, renew, rows, settle, submit, tick
from runner_plugins.sql.fences import Held, held
from runner_plugins.sql.rows import dump, load, note

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from runner_plugins.sql.tx import Tx

ANSWER = "SELECT answer FROM requests WHERE id = :id"
KEEP = "INSERT INTO requests (id, at, answer) VALUES (:id, {wall}, :answer)"
BY_ID = f"SELECT {rows.COLUMNS} FROM tasks WHERE id = :id"

_FREE: dict[type[Op], Callable[[Tx, Any], Any]] = {
    SubmitTasks: submit.submit,
    Register: renew.register,
    Forget: renew.forget,
    ClaimTasks: claim.claim,
    Renew: renew.renew,
    ClaimUnit: claim.claim_unit,
    LateEvidence: attempts.late,
    AppendMessage: records.message,
    PutRecord: records.put,
    DeleteRecord: records.delete,
    PutLimits: records.limits,
    CancelTask: decide.cancel,
    RetryTask: decide.retry,
    ResolveTask: decide.resolve,
    Published: decide.published,
    Tick: tick.tick,
    Prune: tick.prune,
}
"""Ops that need no holder; with a fence they need a valid one."""

_HELD: dict[type[Op], Callable[[Tx, Any, Held], Any]] = {
    StartAttempt: attempts.start,
    FinishAttempt: attempts.finish,
    Settle: settle.settle,
    Release: settle.release,
    ReleaseUnit: claim.release_unit,
}
"""Ops of a holder: the fence is required."""


def apply(tx: Tx, ops: Sequence[Op], request_id: str | None) -> list[Any]:
    """The results of `ops`, from the first time this request was made."""
    if request_id is not None:
        tx.lock(f"request:{request_id}")
        kept = tx.one(ANSWER, id=request_id)
        if kept is not None:
            return [_decode(tx, one) for one in load(kept[0])]
    # In one order for everybody, so that two commits never lock the same rows crosswise.
    fences = sorted({op.fence for op in ops if op.fence is not None}, key=lambda f: (f.id, f.epoch))
    valid = {fence: held(tx, fence) for fence in fences}
    results = [_one(tx, op, valid) for op in ops]
    if request_id is not None:
        tx.post(KEEP, id=request_id, answer=dump([_encode(one) for one in results]))
    return results


def _one(tx: Tx, op: Op, valid: dict[Claim, Held | None]) -> Any:
    holder = valid[op.fence] if op.fence is not None else None
    if op.fence is not None and holder is None:
        return REFUSED
    kind = type(op)
    if kind in _FREE:
        result = _FREE[kind](tx, op)
        if kind is Tick and result.reclaimed:
            # What was taken back a moment ago is nobody's any more, in this very commit.
            valid.update(dict.fromkeys((fence for fence in valid if fence.id in result.reclaimed), None))
        return result
    if kind in _HELD:
        if holder is None:
            raise ValueError(f"{kind.__name__} needs a fence")
        if holder.ended:
            return REFUSED
        holder.ended = kind in (Settle, Release, ReleaseUnit)
        return _HELD[kind](tx, op, holder)
    if isinstance(op, PutArtifact):
        return records.artifact(tx, op, holder)
    if isinstance(op, AppendEvent):
        task, epoch = records.event_claim(op.fence)
        note(tx, op.kind, op.task or task, epoch, op.by, op.data)
        return None
    raise ValueError(f"unknown operation {kind.__name__}")


_ENCODERS: dict[type, Callable[[Any], Any]] = {
    list: lambda many: ["list", [_encode(one) for one in many]],
    Claim: lambda claim: ["claim", [claim.id, claim.epoch, claim.lease]],
    Submitted: lambda one: ["submitted", [one.id, one.status, one.created]],
    Renewal: lambda one: ["renewal", [one.id, one.epoch, one.ok, one.cancel]],
    Ticked: lambda ticked: ["ticked", asdict(ticked)],
    Artifact: lambda artifact: ["artifact", asdict(artifact)],
}


def _encode(result: Any) -> Any:
    """A result as JSON: its kind, and what is needed to make it again."""
    encoder = _ENCODERS.get(type(result))
    return ["plain", result] if encoder is None else encoder(result)


def _decode(tx: Tx, kept: Any) -> Any:
    kind, value = kept
    if kind == "list":
        return [_decode(tx, one) for one in value]
    if kind == "claim":
        name, epoch, lease = value
        row = tx.one(BY_ID, id=name.partition(":")[2]) if name.startswith("task:") else None
        return Claim(name, epoch, lease, rows.task(row) if row else None)
    if kind == "submitted":
        return Submitted(*value)
    if kind == "renewal":
        return Renewal(*value)
    if kind == "ticked":
        return Ticked(**{**value, "reclaimed": tuple(value["reclaimed"])})
    if kind == "artifact":
        return Artifact(**value)
    return value
