"""The operations of `Store.commit`: values, one class an operation, each with its result documented.

An op of a holder carries its claim as `fence`. In one commit the ops of one fence stand or fall
together: when the store's epoch of `fence.id` is not `fence.epoch`, each of them results in
`REFUSED` and writes nothing; ops of other fences and ops without one are unaffected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from runner.model import Artifact, Claim, NewTask, Worker

REFUSED: Final = "refused"
"""The result of an op whose fence is stale: the claim is not yours any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """The base of all operations."""

    fence: Claim | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """One submitted task: `created` is False when its key (or id) named a task that was there."""

    id: str
    status: str
    created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitTasks(Op):
    """Add tasks, all or none → list[Submitted], in order.

    A task with the key of an unfinished one (of any, with `key_forever`) is that task; with another
    payload or type: Conflict. The id of a task that is there: that task. Unknown parents: NotFound.
    """

    tasks: tuple[NewTask, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Op):
    """Write down a worker (insert or update by id) and stamp its heartbeat → None."""

    worker: Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget(Op):
    """Remove a worker's row; claims it still holds stay until reclaimed → None."""

    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTasks(Op):
    """Take up to `limit` pending tasks of the lanes that fit `worker` → list[Claim], lowest rank first.

    `lanes` narrows to these lane ids; `only` names the tasks themselves, whatever their lanes. Each claim
    carries its task; its status is `claimed`, its epoch one more than before. Lanes of saturated types or
    accounts, and parked accounts, are left out.
    """

    worker: Worker
    limit: int
    lanes: tuple[int, ...] | None = None
    excluded_accounts: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    lease: float = 300.0


@dataclass(frozen=True, slots=True)
class Renewal:
    """One renewed claim: `ok` False when it is not yours any more; `cancel` when a person asked to end it."""

    id: str
    epoch: int
    ok: bool
    cancel: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Renew(Op):
    """Extend leases and stamp the worker's heartbeat → list[Renewal], in order.

    A claim whose lease ran out but that nobody reclaimed is renewed. An empty tuple only stamps.
    """

    worker: str
    claims: tuple[Claim, ...]
    lease: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAttempt(Op):
    """Write down an attempt before its process starts (fence required) → int, the attempt's n.

    The task becomes `in_progress`; n is one more than the task's last one, repairs included.
    `home` is the machine that has the workspace: the task stays there until it is retried `anywhere`.
    """

    step: str = "main"
    agent: str | None = None
    repair: bool = False
    home: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishAttempt(Op):
    """Close attempt `n` with its outcome and result (fence required) → None."""

    n: int
    outcome: str
    result: Mapping[str, Any] = field(default_factory=dict)
    step: str = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle(Op):
    """End the claim with an outcome (fence required) → str, the task's new status. An open attempt ends with it.

    The table of outcomes (`runner.store.transitions`) decides the status and the counters. `result` is
    what `runner show` prints. `retry_at` (Unix seconds) is for rate_limited and auth, and parks the
    task's account, or `account` when the limit was another's. `repairable` False turns check_failed into
    failed, True into needs_human. `publish` is what the holder's machine still has to do after the settle
    (`{"repo", "ref", "new", "old"}`).
    """

    outcome: str
    result: Mapping[str, Any] = field(default_factory=dict)
    question: str | None = None
    retry_at: float | None = None
    repairable: bool = False
    publish: Mapping[str, Any] | None = None
    home: str | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release(Op):
    """Hand a claim back unfinished (fence required) → str, the new status.

    Counts one interruption when an attempt had started, nothing otherwise.
    """

    reason: str = "drained"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimUnit(Op):
    """Take a work unit from outside the queue → Claim (`unit:ID`), or None when somebody holds it.

    Its pending tasks are hidden (`blocked`) until `ReleaseUnit` or the end of the lease.
    """

    unit: str
    project: str
    holder: str
    lease: float = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseUnit(Op):
    """End a unit claim (fence required) with the unit's new status → None."""

    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LateEvidence(Op):
    """What a stale holder may still say, kept with its own attempt (task, epoch) → bool (found)."""

    task: str
    epoch: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendEvent(Op):
    """Add a line to the audit log → None."""

    kind: str
    task: str | None = None
    by: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendMessage(Op):
    """Add a message to a stream → int, its position: 1, 2, …, given under the stream's lock; no gap fills later."""

    stream: str
    body: Mapping[str, Any]
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutArtifact(Op):
    """Write down an artifact that its store holds whole → Artifact as recorded. The blob comes first, this second."""

    artifact: Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class PutRecord(Op):
    """Insert or replace a record of a kind (`machine`, `unit`, `project`, …) → None."""

    kind: str
    id: str
    data: Mapping[str, Any]
    project: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRecord(Op):
    """Remove a record → bool (it was there)."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutLimits(Op):
    """Set how many tasks may be held at once → None. Names are `type:T` or `account:A`; None removes the limit."""

    limits: Mapping[str, int | None]
    project: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTask(Op):
    """Cancel → str, the status after: `cancelled`, or the held one, asked to end. Finished already: Conflict."""

    task: str
    by: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryTask(Op):
    """Queue a finished or waiting task again with fresh counters → str, the new status. Held: Conflict.

    The park of its account, if there is one, is lifted; `anywhere` lets it leave the machine with its workspace;
    a `payload` takes the place of the task's.
    """

    task: str
    by: str = ""
    anywhere: bool = False
    payload: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveTask(Op):
    """A person's decision on a needs_human (or failed) task → str, the new status.

    `to`: `pending` (again, with `answer`, and `payload` in the place of the task's), `done` (accepted: a human
    verdict), `failed`. With a `payload` a task that is pending takes one too: of several steps of a run that wait,
    each is decided about. `replaces`: the payload that it was made from; Conflict when the task has another one
    by now. `about`: what the event says besides.
    """

    task: str
    to: str
    notes: str = ""
    answer: str | None = None
    by: str = ""
    payload: Mapping[str, Any] | None = None
    replaces: Mapping[str, Any] | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(Op):
    """What `Settle.publish` asked for is done (or can't be: `error`) → None."""

    task: str
    epoch: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick did, and `more` when a bounded batch was full."""

    promoted: int = 0
    released: int = 0
    reclaimed: tuple[str, ...] = ()
    pruned: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Op):
    """The queue's housekeeping in one bounded batch → Ticked.

    Promotes due tasks, works off the outbox of dependants, reclaims expired claims and those of
    the workers in `dead` (proven by the caller), prunes answered request ids.
    """

    dead: tuple[str, ...] = ()
    batch: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune(Op):
    """Remove finished tasks older than `before` (Unix seconds), or beyond the newest `keep` → int, how many.

    At most `batch`; a task with unfinished dependants, unpublished work or artifacts stays.
    """

    before: float | None = None
    keep: int | None = None
    batch: int = 500
