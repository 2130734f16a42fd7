"""The people of the conformance tests: tasks and workers to submit and claim with, one commit a call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runner.ids import new_id
from runner.model import Claim, NewTask, Task, Worker
from runner.store import (
    ClaimTasks,
    Op,
    Register,
    Renew,
    Renewal,
    Settle,
    StartAttempt,
    Store,
    SubmitTasks,
    Submitted,
    TaskFilter,
    Tick,
    Ticked,
)

PROJECT = "p1"
OpenStore = Callable[[], Store]


class StoreTests:
    """The base of the mixins: one open store a test, closed at its end."""

    @pytest.fixture
    def open_store(self) -> OpenStore:
        raise NotImplementedError("a subclass of StoreConformance provides the fixture `open_store`")

    @pytest.fixture
    def store(self, open_store: OpenStore) -> Iterator[Store]:
        store = open_store()
        yield store
        store.close()


def new_task(id: str | None = None, **fields: Any) -> NewTask:
    """A task of type `job` in the project of the tests, unless `fields` say otherwise."""
    values: dict[str, Any] = {"type": "job", "payload": {"script": "true"}, "project": PROJECT, **fields}
    return NewTask(id=id or new_id(), **values)


def new_worker(id: str = "w1", **fields: Any) -> Worker:
    """A worker that fits `new_task()`. Each worker is on a machine of its own, `m-ID`."""
    values: dict[str, Any] = {
        "machine": f"m-{id}",
        "names": (f"m-{id}",),
        "types": ("job",),
        "capabilities": (),
        "project": PROJECT,
        "slots": 1,
        "host": "host-1",
        "pid": 4242,
        "started": "100",
        **fields,
    }
    return Worker(id=id, **values)


def do(store: Store, op: Op) -> Any:
    """Commit one op → its result."""
    return store.commit([op])[0]


def submit(store: Store, *tasks: NewTask) -> list[Submitted]:
    answer: list[Submitted] = do(store, SubmitTasks(tasks=tasks))
    return answer


def add(store: Store, **fields: Any) -> str:
    """Submit one task → its id."""
    return submit(store, new_task(**fields))[0].id


def hire(store: Store, id: str = "w1", **fields: Any) -> Worker:
    """A registered worker."""
    worker = new_worker(id, **fields)
    do(store, Register(worker=worker))
    return worker


def claim(store: Store, worker: Worker, limit: int = 1, lease: float = 300.0, **fields: Any) -> list[Claim]:
    answer: list[Claim] = do(store, ClaimTasks(worker=worker, limit=limit, lease=lease, **fields))
    return answer


def take(store: Store, worker: Worker, lease: float = 300.0) -> Claim:
    """Claim exactly one task."""
    [only] = claim(store, worker, lease=lease)
    return only


def start(store: Store, held: Claim, **fields: Any) -> int:
    n: int = do(store, StartAttempt(fence=held, **fields))
    return n


def settle(store: Store, held: Claim, outcome: str = "ok", **fields: Any) -> str:
    status: str = do(store, Settle(fence=held, outcome=outcome, **fields))
    return status


def finish(store: Store, worker: Worker, outcome: str = "ok", **fields: Any) -> Claim:
    """Claim, start and settle one task → the claim it had."""
    held = take(store, worker)
    start(store, held)
    settle(store, held, outcome, **fields)
    return held


def read(store: Store, id: str) -> Task:
    task = store.queue.get(id)
    assert task is not None, f"task {id} is gone"
    return task


def status(store: Store, id: str) -> str:
    return read(store, id).status


def statuses(store: Store, project: str = PROJECT) -> dict[str, int]:
    """How many tasks there are by status, finished ones included."""
    return store.queue.count(TaskFilter(project=project))


def keys(claims: list[Claim]) -> list[str]:
    return [c.key for c in claims]


def tick(store: Store, batch: int = 500, dead: tuple[str, ...] = ()) -> list[Ticked]:
    """Tick until nothing more is due → what each tick did."""
    done: list[Ticked] = []
    while not done or done[-1].more:
        done.append(do(store, Tick(batch=batch, dead=dead)))
        assert len(done) < 1000, "a tick says `more` for ever"
    return done


def bury(store: Store, worker: Worker) -> None:
    """Reclaim what a worker holds that is proven dead."""
    tick(store, dead=(worker.id,))


def renew(store: Store, worker: Worker, *claims: Claim, lease: float = 300.0) -> list[Renewal]:
    answer: list[Renewal] = do(store, Renew(worker=worker.id, claims=claims, lease=lease))
    return answer


def outlast(store: Store, held: Claim, timeout: float = 20.0) -> float:
    """Tick, with another worker renewing all the while, until the task of `held` is taken back → seconds it took."""
    other = hire(store, "observer", types=("none",))
    began = time.monotonic()
    while read(store, held.key).holder is not None:
        assert time.monotonic() - began < timeout, f"the claim of {held.id} was not taken back in {timeout} s"
        renew(store, other, lease=held.lease)
        tick(store)
        time.sleep(0.02)
    return time.monotonic() - began


def eventually(condition: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    """Wait until `condition()` holds; a sentence when it never does."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not so after {timeout} s"
        time.sleep(0.02)
