"""Fifty thousand tasks: the claim's plan uses its index, and what workers do all the time costs the same."""

from __future__ import annotations

import functools
import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest

from runner.store import ClaimTasks, Renew, Settle, StartAttempt, Tick
from runner.testing.conformance.actors import claim, do, hire, new_task, submit, tick
from runner_plugins import postgres_store, sqlite_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from runner.model import Worker
    from runner.store import Store

MANY = 50_000


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Any]:
    store = sqlite_store.open_store(f"sqlite:///{tmp_path}/store.db", {})
    assert store is not None
    yield store
    store.close()


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Any]:
    store = postgres_store.open_store(postgres_url, {})
    assert store is not None
    yield store
    store.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_store(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def _crowd(store: Store, count: int) -> None:
    """A tenth can be claimed; the rest has another type, a busy limit key, a time to come, a parent, or is done."""
    kinds: list[dict[str, Any]] = [
        {},
        {"type": "nobody"},
        {"type": "nobody", "machine": "m9"},
        {"limit_key": "one", "machine": "m9"},
        {"not_before": time.time() + 9999},
        {"after": ("parent",)},
        {"planning": True},
        {"key": "", "type": "nobody"},
        {"unit": "u1", "machine": "m9"},
        {"requires": ("gpu",)},
    ]
    for start in range(0, count, 5000):
        submit(
            store,
            *(
                new_task(**{**kinds[n % 10], **({"key": f"k{n}"} if "key" in kinds[n % 10] else {})})
                for n in range(start, min(count, start + 5000))
            ),
        )


@pytest.fixture
def crowded(any_store: Any) -> Any:
    submit(any_store, new_task("parent", type="nobody"))
    _crowd(any_store, MANY)
    hire(any_store)
    return any_store


def test_the_claim_reads_the_head_of_each_lane_by_its_index(crowded: Any) -> None:
    plan: list[str] = crowded.explain_claim()
    text = "\n".join(plan)
    assert "tasks_claim" in text, text
    assert "Seq Scan on tasks" not in text, text
    scans = [line for line in plan if line.strip().startswith("SCAN") and (" tasks" in line or line.endswith(" t"))]
    assert scans == [], text


def test_nothing_that_a_worker_does_all_the_time_grows_with_the_queue(any_store: Any) -> None:
    store = any_store
    submit(store, new_task("parent", type="nobody"))
    _crowd(store, 1000)
    worker = hire(store)
    costs = [_costs(store, worker)]
    _crowd(store, MANY)
    costs.append(_costs(store, worker))
    for name in costs[0]:
        small, large = costs[0][name], costs[1][name]
        assert large < 4 * small + 0.004, (
            f"{name}: {small * 1000:.2f} ms with 1,000 tasks, {large * 1000:.2f} with {MANY}"
        )


def _costs(store: Store, worker: Worker) -> dict[str, float]:
    """Seconds of each operation: the median of a few."""
    tick(store)
    held = claim(store, worker, limit=20)

    def turn() -> None:
        done = held.pop(0)
        ops = [StartAttempt(fence=done), Settle(fence=done, outcome="ok"), ClaimTasks(worker=worker, limit=1)]
        held.extend(store.commit(ops)[2])

    def behind(gate: dict[str, str]) -> Callable[[], object]:
        """Submit one more of this limit key or unit, settle its head, claim the next."""
        mine = hire(store, f"of-{next(iter(gate))}", types=("gated",))
        submit(store, *(new_task(type="gated", **gate) for _ in range(3)))
        of_gate = claim(store, mine)

        def turn() -> None:
            submit(store, new_task(type="gated", **gate))
            of_gate[:] = store.commit([Settle(fence=of_gate[0], outcome="ok"), ClaimTasks(worker=mine, limit=1)])[1]

        return turn

    operations: dict[str, Callable[[], object]] = {
        "limit key": behind({"limit_key": f"k{time.monotonic()}"}),
        "work unit": behind({"unit": f"u{time.monotonic()}"}),
        "claim": lambda: held.extend(claim(store, worker)),
        "settle and claim": turn,
        "renew": lambda: do(store, Renew(worker=worker.id, claims=tuple(held))),
        "idle tick": lambda: do(store, Tick()),
        "work_waits": lambda: store.queue.work_waits(worker),
        "submit": lambda: submit(store, new_task(type="new")),
        "submit with a key": lambda: submit(store, new_task(type="new", key=f"key {time.monotonic()}")),
        "holding": lambda: store.queue.holding("host-1"),
        "get": lambda: store.queue.get("parent"),
    }
    costs = {
        name: statistics.median(map(functools.partial(_timed, call), range(15))) for name, call in operations.items()
    }
    for done in held:
        do(store, Settle(fence=done, outcome="ok"))
    return costs


def _timed(call: Callable[[], object], _n: int) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began
