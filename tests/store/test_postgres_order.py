"""Nothing appears late in PostgreSQL: who has read events, messages or lanes up to one never misses one before it."""

from __future__ import annotations

import multiprocessing
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from runner.store import AppendEvent, AppendMessage, ClaimTasks, Release
from runner.testing.conformance.actors import add, do, eventually, hire, new_task, new_worker, submit, take
from runner_plugins import postgres_store
from runner_plugins.postgres import session

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.testing import postgres

SPAWN = multiprocessing.get_context("spawn")


def opened(url: str) -> Any:
    store = postgres_store.open_store(url, {})
    assert store is not None
    return store


@pytest.fixture
def store(postgres_url: str) -> Iterator[Any]:
    store = opened(postgres_url)
    yield store
    store.close()


def kinds(store: Any) -> list[str]:
    return [e.kind for e in store.queue.events()]


def begin(connection: psycopg.Connection[Any]) -> int:
    """What a commit does at its very end before it writes its events → its number in the log."""
    connection.execute(
        "SELECT pg_advisory_xact_lock_shared(%s, last_value::int) FROM events_id_seq", (session.log("public"),)
    )
    row = connection.execute("SELECT nextval('events_id_seq')").fetchone()
    assert row is not None
    return int(row[0])


def test_an_event_waits_for_an_earlier_one_that_is_on_its_way(store: Any, postgres_url: str) -> None:
    do(store, AppendEvent(kind="test.before"))
    with psycopg.connect(postgres_url) as slow:
        number = begin(slow)
        do(store, AppendEvent(kind="test.later"))
        assert kinds(store) == ["test.before"]
        slow.execute(
            "INSERT INTO events (id, at, kind, who, data) VALUES (%s, 0, 'test.earlier', '', '{}')", (number << 20,)
        )
        assert kinds(store) == ["test.before"]
        slow.commit()
    assert kinds(store) == ["test.before", "test.earlier", "test.later"]


def test_a_commit_that_is_undone_holds_nothing_up_afterwards(store: Any, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as slow:
        begin(slow)
        do(store, AppendEvent(kind="test.later"))
        assert kinds(store) == []
        slow.rollback()
    assert kinds(store) == ["test.later"]


def test_work_elsewhere_holds_nothing_up(store: Any, postgres_server: postgres.Server, postgres_url: str) -> None:
    """A transaction that has not come to its events yet, one in another database, another store's in this one."""
    worker = hire(store)
    with psycopg.connect(postgres_url) as here, psycopg.connect(postgres_server.url()) as there:
        here.execute("UPDATE workers SET project = 'p1'")
        there.execute("SELECT pg_current_xact_id(), pg_advisory_xact_lock_shared(%s, 0)", (session.log("public"),))
        here.execute("SELECT pg_advisory_xact_lock_shared(%s, 0)", (session.log("another"),))
        add(store)
        take(store, worker)
        assert kinds(store) == ["task.submitted", "task.claimed"]
        here.rollback()
        there.rollback()


def test_of_one_task_the_events_are_in_the_order_of_what_happened(store: Any, postgres_url: str) -> None:
    """Whoever began first: what claims a task that was released meanwhile, claims it after the release."""
    first, second = hire(store, "w1"), hire(store, "w2")
    for stream in ("a", "b"):
        do(store, AppendMessage(stream=stream, body={}))
    add(store)
    held = take(store, first)
    ops = [AppendMessage(stream=name, body={}) for name in ("a", "b")]
    early = opened(postgres_url)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM streams WHERE name = 'b' FOR UPDATE")
        thread = threading.Thread(target=lambda: early.commit([*ops, ClaimTasks(worker=second, limit=1)]))
        thread.start()  # it has written to one stream, and waits for the other
        eventually(lambda: _waiting(other), "the early commit has begun")
        do(store, Release(fence=held))
        other.rollback()
    thread.join()
    early.close()
    assert kinds(store)[-2:] == ["task.promoted", "task.claimed"]
    assert kinds(store).index("task.released") < len(kinds(store)) - 1
    assert [e.by for e in store.queue.events()][-1] == "w2"


def _waiting(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone()
    return row is not None and row[0] == 1


def test_a_long_read_holds_nothing_up(store: Any, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as reader:
        reader.execute("SELECT count(*) FROM tasks")
        do(store, AppendEvent(kind="test.seen"))
        assert kinds(store) == ["test.seen"]
        reader.rollback()


def test_events_of_one_commit_keep_their_order(store: Any) -> None:
    store.commit([AppendEvent(kind=f"test.{n}") for n in range(50)])
    submit(store, *(new_task(f"bulk-{n:04}") for n in range(1000)))
    store.commit([AppendEvent(kind=f"test.{n}") for n in range(50, 60)])
    events = store.queue.events(limit=5000)
    assert [e.kind for e in events if e.task is None] == [f"test.{n}" for n in range(60)]
    assert [e.task for e in events if e.task] == [f"bulk-{n:04}" for n in range(1000)]
    assert len({e.id for e in events}) == len(events) == 1060


def _write(url: str, number: int, seconds: float) -> None:
    store = opened(url)
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        ops: list[Any] = [AppendEvent(kind="test.wrote", data={"by": number, "n": n}) for n in range(n, n + number + 1)]
        if n % 3 == 0:
            ops.insert(1, AppendMessage(stream="s", body={"by": number, "n": n}))
        store.commit(ops)
        n += number + 1
    store.close()


def test_a_reader_never_misses_what_is_written_at_the_same_time(store: Any, postgres_url: str) -> None:
    processes = [SPAWN.Process(target=_write, args=(postgres_url, n, 3.0)) for n in range(4)]
    for process in processes:
        process.start()
    seen, heard = [], []
    after, position = 0, 0
    while any(process.is_alive() for process in processes):
        events = store.queue.events(after=after, limit=100)
        messages = store.streams.read("s", after=position, limit=50)
        seen += events
        heard += messages
        after = events[-1].id if events else after
        position = messages[-1].position if messages else position
    for process in processes:
        process.join()
        assert process.exitcode == 0

    while more := store.queue.events(after=after, limit=5000):
        seen += more
        after = more[-1].id
    assert [e.id for e in seen] == sorted(e.id for e in seen)
    assert [e.id for e in seen] == [e.id for e in _every(store)]
    assert len(seen) > 200
    for number in range(4):  # what one process wrote is in its order
        own = [e.data["n"] for e in seen if e.data["by"] == number]
        assert own == list(range(len(own)))
    heard += store.streams.read("s", after=position, limit=100_000)
    assert [m.position for m in heard] == list(range(1, len(heard) + 1))


def _every(store: Any) -> list[Any]:
    found: list[Any] = []
    while more := store.queue.events(after=found[-1].id if found else 0, limit=5000):
        found += more
    return found


def test_a_lane_that_is_made_slowly_is_not_overtaken_by_a_quick_one(store: Any, postgres_url: str) -> None:
    """Two new lanes at once: the second waits, so that nobody reads past the first."""
    worker = new_worker(types=("slow", "quick", "old"))
    add(store, type="old")
    with psycopg.connect(postgres_url) as slow:
        slow.execute("SELECT pg_advisory_xact_lock(hashtextextended('lanes', 0))")
        slow.execute(
            "INSERT INTO lanes (project, machine, type, account, requires) VALUES ('p1', '', 'slow', '', '[]')"
        )
        other = opened(postgres_url)
        add(other, type="old")  # a lane that is known already needs nobody's leave
        thread = threading.Thread(target=lambda: add(other, type="quick"))
        thread.start()
        time.sleep(0.3)
        assert [lane.type for lane in store.queue.lanes()] == ["old"]
        slow.commit()
    thread.join()
    other.close()
    assert [lane.type for lane in store.queue.lanes()] == ["old", "slow", "quick"]
    assert store.queue.work_waits(worker)


def _submit_types(url: str, number: int) -> None:
    store = opened(url)
    for n in range(25):
        add(store, type=f"t{n}", account=f"a{number % 2}")
    store.close()


def test_a_worker_knows_every_lane_that_many_made_at_once(store: Any, postgres_url: str) -> None:
    worker = hire(store, types=tuple(f"t{n}" for n in range(25)))
    processes = [SPAWN.Process(target=_submit_types, args=(postgres_url, n)) for n in range(4)]
    for process in processes:
        process.start()
    taken = 0
    deadline = time.monotonic() + 60
    while taken < 100:
        assert time.monotonic() < deadline, f"{taken} of 100 tasks were offered"
        if store.queue.work_waits(worker):
            take(store, worker)
            taken += 1
    for process in processes:
        process.join()
    assert len(store.queue.lanes()) == 50
