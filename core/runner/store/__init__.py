"""The contract of a store: one write (`commit`), three facets of reads. Backends live in plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runner.store.contract import Facts, QueueReads, RecordReads, Store, StreamReads, TaskFilter

if TYPE_CHECKING:
    from runner.store.ops import (
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

__all__ = [
    "REFUSED",
    "AppendEvent",
    "AppendMessage",
    "CancelTask",
    "ClaimTasks",
    "ClaimUnit",
    "DeleteRecord",
    "Facts",
    "FinishAttempt",
    "Forget",
    "LateEvidence",
    "Op",
    "Prune",
    "Published",
    "PutArtifact",
    "PutLimits",
    "PutRecord",
    "QueueReads",
    "RecordReads",
    "Register",
    "Release",
    "ReleaseUnit",
    "Renew",
    "Renewal",
    "ResolveTask",
    "RetryTask",
    "Settle",
    "StartAttempt",
    "Store",
    "StreamReads",
    "SubmitTasks",
    "Submitted",
    "TaskFilter",
    "Tick",
    "Ticked",
]


def __getattr__(name: str) -> Any:
    # The operations on first use: a command that only reads must not pay for thirty classes of writes.
    if name not in __all__:
        raise AttributeError(f"module 'runner.store' has no attribute '{name}'")
    from runner.store import ops

    return getattr(ops, name)
