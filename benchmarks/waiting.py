"""The queue that is measured: tasks that wait, a tenth of them for the benchmark's worker, the others ahead of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from runner.ids import new_id
from runner.model import NewTask, Worker
from runner.store import ClaimTasks, Settle, SubmitTasks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runner.store import Store

MACHINE: Final = "here"
TYPES: Final = ("run_script", "agent_run", "review", "report")
"""Each is a lane of its own for the worker, and for each of nine other machines."""
OTHERS: Final = 9
LANES: Final = (OTHERS + 1) * len(TYPES)
PAYLOAD: Final = {"script": "make test", "cwd": "/srv/project"}
SPEC: Final = {"checks": [{"type": "exit_code", "value": 0}]}
RESULT: Final = {"exit_code": 0, "output": "42 passed in 3.1s"}
LEASE: Final = 300.0
AHEAD: Final = 100_000.0
"""Seconds of rank by which the other machines' tasks are ahead."""


def worker(id: str = "bench") -> Worker:
    """A worker that fits a tenth of the lanes."""
    return Worker(
        id=id,
        machine=MACHINE,
        names=(MACHINE,),
        types=TYPES,
        capabilities=("os:linux", "agent:claude"),
        project="bench",
        slots=1,
        host="bench-host",
        pid=1,
        started="1",
    )


def task(machine: str = MACHINE, type: str = TYPES[0]) -> NewTask:
    """One task as `runner submit` makes it."""
    return NewTask(id=new_id(), type=type, payload=PAYLOAD, spec=SPEC, project="bench", machine=machine, by="bench")


def tasks(count: int) -> tuple[NewTask, ...]:
    """Tasks for the worker, spread over its lanes."""
    return tuple(task(type=TYPES[n % len(TYPES)]) for n in range(count))


def lanes(store: Store) -> list[int]:
    """Make the lanes of all machines → the ids of those that fit the worker. Leaves one waiting task in each."""
    machines = [MACHINE, *(f"machine-{n}" for n in range(1, OTHERS + 1))]
    store.commit([SubmitTasks(tasks=tuple(task(machine, type) for machine in machines for type in TYPES))])
    return [lane.id for lane in store.queue.lanes() if lane.machine == MACHINE]


def top_up(store: Store, count: int) -> None:
    """Add tasks for the worker at the end of the queue."""
    for start in range(0, count, 5000):
        store.commit([SubmitTasks(tasks=tasks(min(5000, count - start)))])


def finish_all(store: Store) -> None:
    """Leave nothing for the worker."""
    claims = store.commit([ClaimTasks(worker=worker(), limit=LANES)])[0]
    store.commit([Settle(fence=claim, outcome="ok") for claim in claims])


_FILL = """INSERT INTO tasks (id, project, type, status, lane, rank, priority, payload, spec, machine, requires,
    key_forever, attempts_max, interruptions_max, submitted_by, created_at)
    SELECT {id}, t.project, t.type, 'pending', t.lane,
        t.rank + n * 0.01 - CASE WHEN t.machine = '{machine}' THEN 0 ELSE {ahead} END, 0, t.payload, t.spec, t.machine,
        t.requires, 0, t.attempts_max, t.interruptions_max, t.submitted_by, t.created_at
    FROM ({numbers}) AS numbers CROSS JOIN tasks t WHERE t.seq <= {width} ORDER BY n, t.seq"""
_EVENTS = """INSERT INTO events (at, kind, task, epoch, who, data)
    SELECT created_at, 'task.submitted', id, 0, submitted_by, '{{}}' FROM tasks WHERE seq > {width}"""


def fillings(size: int, **spelling: str) -> Sequence[str]:
    """The statements that make `size` waiting tasks of the one in each lane that `lanes` left.

    `spelling`: the backend's expression of a random `id`, and the series `numbers` (SELECT of 1 to `{count}` named n).
    """
    values: dict[str, Any] = {**spelling, "width": LANES, "machine": MACHINE, "ahead": AHEAD}
    values["numbers"] = spelling["numbers"].format(count=size // LANES - 1)
    return [_FILL.format(**values), _EVENTS.format(**values)]
