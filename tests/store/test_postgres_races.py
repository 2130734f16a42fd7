"""Two commits at the same moment, again and again: on PostgreSQL they really run at the same time."""

from __future__ import annotations

import functools
import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from runner.errors import Conflict
from runner.store import (
    CancelTask,
    ClaimTasks,
    ClaimUnit,
    PutLimits,
    Register,
    ReleaseUnit,
    Renew,
    RetryTask,
    SubmitTasks,
    TaskFilter,
    Tick,
)
from runner.testing import history
from runner.testing.conformance.actors import (
    PROJECT,
    add,
    claim,
    do,
    eventually,
    hire,
    new_task,
    new_worker,
    read,
    renew,
    settle,
    status,
    statuses,
    submit,
    take,
    tick,
)
from runner_plugins import postgres_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TURNS = 80


def opened(url: str) -> Any:
    store = postgres_store.open_store(url, {})
    assert store is not None
    return store


@pytest.fixture
def two(postgres_url: str) -> Iterator[tuple[Any, Any]]:
    stores = opened(postgres_url), opened(postgres_url)
    yield stores
    for store in stores:
        store.close()


@pytest.fixture
def at_once() -> Iterator[Callable[..., list[Any]]]:
    """Calls functions at the same moment → what each returned, or the Conflict it raised."""
    with ThreadPoolExecutor(2) as pool:

        def call(*functions: Callable[[], Any]) -> list[Any]:
            barrier = threading.Barrier(len(functions))

            def run(function: Callable[[], Any]) -> Any:
                barrier.wait()
                time.sleep(random.random() * 0.002)
                try:
                    return function()
                except Conflict as error:
                    return error

            return list(pool.map(run, functions))

        yield call


@pytest.mark.parametrize("gate", [{"unit": "u1"}, {"limit_key": "k1"}, {"unit": "u1", "limit_key": "k1"}])
def test_who_comes_while_the_place_is_left_gets_it(two: Any, at_once: Any, gate: dict[str, str]) -> None:
    leaving, coming = two
    worker = hire(leaving)
    add(leaving, **gate)
    for _ in range(TURNS):
        held = take(leaving, worker)
        settled, next_ = at_once(lambda held=held: settle(leaving, held), lambda: add(coming, **gate))
        assert settled == "done"
        assert status(leaving, next_) == "pending", "it waits for a place that is free"
    assert statuses(leaving) == {"pending": 1, "done": TURNS}


def test_a_unit_and_its_task_are_never_held_at_once(two: Any, at_once: Any) -> None:
    inside, outside = two
    worker = hire(inside)
    won = {"unit": 0, "task": 0}
    for n in range(TURNS):
        unit = f"u{n}"
        add(inside, unit=unit)
        claims, whole = at_once(
            lambda: claim(inside, worker),
            lambda unit=unit: do(outside, ClaimUnit(unit=unit, project=PROJECT, holder="me")),
        )
        assert bool(claims) != (whole is not None), "both hold the unit, or nobody does"
        won["unit" if whole else "task"] += 1
        if whole:
            do(outside, ReleaseUnit(fence=whole, status="done"))
            claims = claim(inside, worker)
        settle(inside, claims[0])
    assert statuses(inside) == {"done": TURNS}


def test_a_key_is_used_once_when_a_retry_and_a_submit_want_it(two: Any, at_once: Any) -> None:
    again, new = two
    worker = hire(again)
    for n in range(TURNS // 2):
        key = f"k{n}"
        first = add(again, key=key)
        settle(again, take(again, worker), "check_failed")
        retried, [submitted] = at_once(
            lambda first=first: do(again, RetryTask(task=first)), lambda key=key: submit(new, new_task(key=key))
        )
        if submitted.created:
            assert isinstance(retried, Conflict)
        else:
            assert (submitted.id, retried) == (first, "pending")
        open_ones = again.queue.find(TaskFilter(key=key, statuses=()))
        assert len(open_ones) == 1
        settle(again, take(again, worker))


def test_the_same_task_submitted_twice_at_once_is_one(two: Any, at_once: Any) -> None:
    for n in range(TURNS // 2):
        task = new_task(f"t{n}")
        op = SubmitTasks(tasks=(new_task(), task, new_task()))
        answers = at_once(*(lambda store=store, op=op: do(store, op)[1] for store in two))
        assert {one.id for one in answers} == {task.id}
        assert sorted(one.created for one in answers) == [False, True]


def test_one_request_made_twice_at_once_is_done_once(two: Any, at_once: Any) -> None:
    worker = hire(two[0])
    for n in range(TURNS // 2):
        submit(two[0], new_task(), new_task())
        op = ClaimTasks(worker=worker, limit=1)
        first, second = at_once(*(functools.partial(store.commit, [op], request_id=f"r{n}") for store in two))
        assert first == second
        assert len(claim(two[0], worker, limit=5)) == 1


def test_a_cancel_that_is_made_twice_at_once_with_one_request_id_is_no_conflict(two: Any, at_once: Any) -> None:
    for n in range(TURNS // 2):
        op = CancelTask(task=add(two[0]))
        answers = at_once(*(functools.partial(store.commit, [op], request_id=f"r{n}") for store in two))
        assert answers == [["cancelled"], ["cancelled"]]


def while_it_waits(connection: psycopg.Connection[Any], call: Callable[[], Any]) -> Any:
    """Begin `call`, which waits for what `connection` holds; commit there; → what the call returned."""
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(call)
        eventually(lambda: _someone_waits(connection), "the call waits")
        connection.commit()
        return answer.result()


def _someone_waits(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return row is not None and row[0] > 0


def test_a_reclaim_looks_again_once_a_renewal_is_through(two: Any, postgres_url: str) -> None:
    store, _ = two
    id = add(store)
    held = take(store, hire(store), lease=0.05)
    time.sleep(0.06)
    ops = [Register(worker=new_worker("other")), Tick()]  # somebody is heard of: the store was not away
    with psycopg.connect(postgres_url) as renewing:
        renewing.execute("UPDATE claims SET lease_until = lease_until + 60")
        _, ticked = while_it_waits(renewing, lambda: store.commit(ops))
    assert ticked.reclaimed == ()
    assert (read(store, id).epoch, settle(store, held)) == (held.epoch, "done")


def test_who_is_cancelled_while_it_is_its_turn_stays_cancelled(two: Any, postgres_url: str) -> None:
    store, _ = two
    worker = hire(store)
    first, second, third = (add(store, unit="u1") for _ in range(3))
    held = take(store, worker)
    with psycopg.connect(postgres_url) as cancelling:
        cancelling.execute("UPDATE tasks SET status = 'cancelled', blocked_by = NULL WHERE id = %s", (second,))
        assert while_it_waits(cancelling, lambda: settle(store, held)) == "done"
    assert [status(store, id) for id in (first, second, third)] == ["done", "cancelled", "pending"]


def test_a_renewal_that_was_granted_is_not_taken_back(two: Any, at_once: Any) -> None:
    holding, sweeping = two
    worker, other = hire(holding), hire(sweeping, "other")
    kept = 0
    for _ in range(TURNS):
        id = add(holding)
        held = take(holding, worker, lease=0.03)
        renew(sweeping, other)
        time.sleep(0.03)
        [renewal], _ = at_once(
            lambda held=held: do(holding, Renew(worker="w1", claims=(held,), lease=60.0)),
            lambda: do(sweeping, Tick()),
        )
        task = read(holding, id)
        assert renewal.ok == (task.epoch == held.epoch and task.status == "claimed")
        kept += renewal.ok
        settle(holding, held if renewal.ok else take(holding, worker))
    assert statuses(holding) == {"done": TURNS}


def test_a_limit_is_never_passed_by_claims_at_the_same_moment(two: Any, at_once: Any) -> None:
    do(two[0], PutLimits(limits={"type:job": 3}, project=PROJECT))
    submit(two[0], *(new_task() for _ in range(TURNS * 3)))
    workers = [hire(store, f"w{n}") for n, store in enumerate(two)]
    for _ in range(TURNS // 2):
        found = at_once(*(lambda s=s, w=w: claim(s, w, limit=2) for s, w in zip(two, workers, strict=True)))
        held = list(itertools.chain(*found))
        assert len(held) == 3
        for one in held:
            settle(two[0], one)


def _live(url: str, number: int, end: float, ends: list[BaseException | None]) -> None:
    """Submit, claim, settle, cancel, all at random, with few work units, keys and parents to quarrel about."""
    store, worker, dice = opened(url), new_worker(f"w{number}"), random.Random(number)
    try:
        mine: list[str] = []
        while time.monotonic() < end:
            gates: dict[str, Any] = {}
            if dice.random() < 0.5:
                gates["unit"] = f"u{dice.randrange(3)}"
            if dice.random() < 0.5:
                gates["limit_key"] = f"k{dice.randrange(3)}"
            if mine and dice.random() < 0.3:
                gates["after"] = (dice.choice(mine),)
            mine.append(add(store, priority=dice.randrange(3), **gates))
            for held in claim(store, worker, limit=2):
                settle(store, held, dice.choice(("ok", "ok", "crashed", "check_failed")))
            if dice.random() < 0.1:
                try:
                    store.commit([RetryTask(task=dice.choice(mine))])
                except Conflict:
                    pass
            tick(store, batch=5)
    except BaseException as error:
        ends[number] = error
    finally:
        store.close()


def test_after_a_lively_time_nobody_waits_for_nothing(postgres_url: str) -> None:
    ends: list[BaseException | None] = [None] * 5
    until = time.monotonic() + 5
    threads = [threading.Thread(target=_live, args=(postgres_url, n, until, ends)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ends == [None] * 5
    store = opened(postgres_url)
    worker = hire(store, "last")
    for _ in range(10_000):
        tick(store)
        claims = claim(store, worker, limit=10)
        if not claims:
            break
        for held in claims:
            settle(store, held)
    left = store.queue.find(TaskFilter(statuses=("blocked", "scheduled", "pending")))
    parents = {task.id: store.queue.get(task.id).after for task in left}
    stuck = [t for t in left if all(status(store, parent) == "done" for parent in parents[t.id])]
    assert stuck == [], "blocked, with nothing in the way"
    assert history.check(history.gather(store), finished=False).violations == []
    store.close()
