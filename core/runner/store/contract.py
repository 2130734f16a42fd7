"""What a store offers: `commit` for every write, `queue`, `streams` and `records` for reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.model import Artifact, Attempt, Event, Lane, Message, Task, Worker
    from runner.store.ops import Op


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks `find` and `count` mean. None is every one. `statuses` empty: the unfinished ones.

    `prefix` is the start of an id. `limit` rows at most, after `offset`. `newest` first, else by
    status and rank (what is next comes first).
    """

    statuses: tuple[str, ...] | None = None
    project: str | None = None
    unit: str | None = None
    type: str | None = None
    machine: str | None = None
    agent: str | None = None
    key: str | None = None
    prefix: str | None = None
    limit: int | None = None
    offset: int = 0
    newest: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """What `why` needs about a task that waits: what is in its way, in the store's own words.

    `parents` are (id, status) of unfinished parents; `ahead` the tasks before it in its lane;
    `key_holder` the task that holds its limit key or unit; `limit` (name, held, max) of a saturated
    limit; `parked_until` of its account; `lane` its routing; `fitting` ids of live workers that fit.
    """

    parents: tuple[tuple[str, str], ...] = ()
    ahead: int = 0
    key_holder: str | None = None
    limit: tuple[str, int, int] | None = None
    parked_until: float | None = None
    lane: Lane | None = None
    fitting: tuple[str, ...] = ()


class QueueReads(Protocol):
    """Reads of tasks. A read takes no lock and never waits for a writer."""

    def get(self, id: str) -> Task | None: ...
    def find(self, where: TaskFilter) -> list[Task]:
        """The tasks that match. Their parents (`after`) are left empty: `get` reads those."""
        ...

    def count(self, where: TaskFilter) -> dict[str, int]:
        """Tasks by status; statuses without one are left out."""
        ...

    def attempts(self, task: str) -> list[Attempt]: ...
    def lanes(self) -> list[Lane]: ...
    def facts(self, task: str) -> Facts: ...
    def workers(self) -> list[Worker]:
        """Every worker that is written down; `heartbeat` is its age in seconds."""
        ...

    def work_waits(self, worker: Worker) -> bool:
        """One cheap read: is there a task this worker may claim, or housekeeping that is due?"""
        ...

    def holding(self, host: str) -> list[Worker]:
        """The workers of this host (boot and pid namespace) that hold claims: whom a neighbour may prove dead."""
        ...

    def to_publish(self, machine: str) -> list[Task]:
        """Settled tasks of this machine whose `publish` is not done yet."""
        ...

    def events(self, after: int = 0, task: str | None = None, limit: int = 1000) -> list[Event]:
        """Events with ids past `after`, in order; one that is read never has a smaller id appear later."""
        ...


class StreamReads(Protocol):
    """Reads of streams: a reader past position N never later finds one at or below N."""

    def read(self, stream: str, after: int = 0, limit: int = 1000) -> list[Message]: ...
    def wait(self, stream: str, after: int, timeout: float) -> list[Message]:
        """As `read`, but waits up to `timeout` seconds for the first one."""
        ...


class RecordReads(Protocol):
    """Reads of records (JSON by kind and id) and of artifacts' metadata."""

    def get(self, kind: str, id: str) -> dict[str, Any] | None: ...
    def find(self, kind: str, project: str | None = None) -> list[dict[str, Any]]:
        """Each record with its `id` in it, ordered by id. Kind `account`: those that are parked now."""
        ...

    def artifact(self, ref: str) -> Artifact | None: ...
    def artifacts(
        self, project: str | None = None, unit: str | None = None, task: str | None = None
    ) -> list[Artifact]: ...


class Store(Protocol):
    """One place that many machines share. Safe to use from several threads."""

    url: str
    queue: QueueReads
    streams: StreamReads
    records: RecordReads

    def commit(self, ops: Sequence[Op], request_id: str | None = None) -> list[Any]:
        """Apply `ops` in one transaction → their results, in order.

        With a `request_id` the answer is stored in the same transaction, and the same id again returns
        it without applying anything. Raises StoreUnavailable when it may be tried again with the same
        id, Conflict or NotFound (nothing written) for a request that can't be carried out.
        """
        ...

    def wait_for_work(self, worker: Worker, timeout: float) -> str:
        """Wait at most `timeout` seconds → what ended it: `""` (time), `"work"`, `"cancel"` or `"wake"`."""
        ...

    def wake(self) -> None:
        """Make this process's own `wait_for_work` return (from another thread or a signal handler)."""
        ...

    def upgrade(self) -> list[str]:
        """Bring the schema up to date → names of the migrations applied."""
        ...

    def close(self) -> None: ...
