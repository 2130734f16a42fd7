"""Waiting on PostgreSQL: told by LISTEN, regained when it is lost, ended by `wake()` whatever the network does."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from runner.store import CancelTask
from runner.testing.conformance.actors import add, do, eventually, finish, hire, new_worker, take
from runner_plugins import postgres_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.testing import postgres

SPAWN = multiprocessing.get_context("spawn")

LISTENERS = """SELECT pid FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'runner' AND query LIKE 'LISTEN%'"""


def opened(url: str) -> Any:
    store = postgres_store.open_store(url, {})
    assert store is not None
    return store


@pytest.fixture
def store(postgres_url: str) -> Iterator[Any]:
    store = opened(postgres_url)
    yield store
    store.close()


@pytest.fixture
def other(postgres_url: str) -> Iterator[Any]:
    store = opened(postgres_url)
    yield store
    store.close()


def listening(server: postgres.Server, url: str, store: Any) -> Any:
    """A worker whose store listens already."""
    worker = hire(store)
    deadline = time.monotonic() + 20
    while not server.execute(LISTENERS, url):
        assert time.monotonic() < deadline, "nobody listens"
        store.wait_for_work(worker, 0.05)
    store.wait_for_work(worker, 0.05)
    return worker


def later(seconds: float, call: Any) -> threading.Timer:
    timer = threading.Timer(seconds, call)
    timer.start()
    return timer


def test_a_submit_elsewhere_ends_the_wait(
    store: Any, other: Any, postgres_server: postgres.Server, postgres_url: str
) -> None:
    worker = listening(postgres_server, postgres_url, store)
    timer = later(0.2, lambda: add(other))
    began = time.monotonic()
    assert store.wait_for_work(worker, 20) == "work"
    assert time.monotonic() - began < 5
    timer.join()


def test_a_cancel_is_told_apart_and_comes_first(
    store: Any, other: Any, postgres_server: postgres.Server, postgres_url: str
) -> None:
    id = add(store)
    worker = listening(postgres_server, postgres_url, store)
    take(store, worker)
    add(other)
    do(other, CancelTask(task=id))
    time.sleep(0.2)
    assert store.wait_for_work(worker, 20) == "cancel"
    assert store.wait_for_work(worker, 0.1) == ""


def test_what_happened_before_anybody_listened_is_noticed_by_looking(store: Any, other: Any) -> None:
    worker = hire(store)
    add(other)
    assert store.wait_for_work(worker, 20) == "work"


def test_many_notices_end_one_wait(store: Any, other: Any, postgres_server: postgres.Server, postgres_url: str) -> None:
    worker = listening(postgres_server, postgres_url, store)
    for _ in range(200):
        add(other)
    time.sleep(0.2)
    assert store.wait_for_work(worker, 20) == "work"
    assert store.wait_for_work(worker, 0.1) == ""


def test_stores_in_other_schemas_are_not_disturbed(
    store: Any, postgres_server: postgres.Server, postgres_url: str
) -> None:
    worker = listening(postgres_server, postgres_url, store)
    postgres_server.execute("CREATE SCHEMA apart", postgres_url)
    apart = opened(f"{postgres_url}&options=-csearch_path%3Dapart")
    apart.upgrade()
    add(apart)
    assert store.wait_for_work(worker, 0.5) == ""
    apart.close()


def test_a_listener_that_was_ended_listens_again(
    store: Any, other: Any, postgres_server: postgres.Server, postgres_url: str
) -> None:
    worker = listening(postgres_server, postgres_url, store)
    for _ in range(3):
        [(old,)] = postgres_server.execute(LISTENERS, postgres_url)
        postgres_server.execute(f"SELECT pg_terminate_backend({old})", postgres_url)

        def regained(old: int = old) -> bool:
            store.wait_for_work(worker, 0.05)
            return [row[0] != old for row in postgres_server.execute(LISTENERS, postgres_url)] == [True]

        eventually(regained, "the store listens again")
        timer = later(0.2, lambda: add(other))
        assert store.wait_for_work(worker, 20) == "work"
        timer.join()
        finish(store, worker)


def test_work_that_came_while_the_listener_was_away_is_found(
    store: Any, other: Any, postgres_server: postgres.Server, postgres_url: str
) -> None:
    worker = listening(postgres_server, postgres_url, store)
    [(old,)] = postgres_server.execute(LISTENERS, postgres_url)
    postgres_server.execute(f"SELECT pg_terminate_backend({old})", postgres_url)
    add(other)  # nobody hears this notice
    assert store.wait_for_work(worker, 20) == "work"


def test_a_restart_of_the_server_is_survived_while_waiting(
    store: Any, other: Any, postgres_server: postgres.Server, postgres_url: str
) -> None:
    worker = listening(postgres_server, postgres_url, store)

    def restart() -> None:
        postgres_server.restart("immediate", pause=0.5)
        add(other)

    timer = later(0.1, restart)
    assert store.wait_for_work(worker, 30) == "work"
    timer.join()
    assert finish(store, worker)


def test_waiting_takes_its_time_when_nothing_happens(store: Any) -> None:
    worker = hire(store)
    store.wait_for_work(worker, 0.2)
    before = resource.getrusage(resource.RUSAGE_SELF)
    began = time.monotonic()
    assert store.wait_for_work(worker, 1.0) == ""
    assert 0.95 < time.monotonic() - began < 3
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.05


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a host that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_host_that_does_not_answer_holds_up_neither_waking_nor_time_nor_closing(silent: int) -> None:
    store = opened(f"postgresql://me@127.0.0.1:{silent}/queue?connect_timeout=4")
    worker = new_worker()
    began = time.monotonic()
    assert store.wait_for_work(worker, 0.3) == ""
    assert time.monotonic() - began < 2
    timer = later(0.2, store.wake)
    assert store.wait_for_work(worker, 20) == "wake"
    timer.join()
    store.close()
    assert time.monotonic() - began < 3


def _woken_by_signal(url: str, ready: Any, answers: Any) -> None:
    store = opened(url)
    worker = hire(store)
    signal.signal(signal.SIGTERM, lambda *_: store.wake())
    store.wait_for_work(worker, 0.3)
    ready.set()
    answers.put(store.wait_for_work(worker, 30))
    store.close()


def test_a_signal_handler_may_end_the_wait(postgres_url: str) -> None:
    ready, answers = SPAWN.Event(), SPAWN.Queue()
    process = SPAWN.Process(target=_woken_by_signal, args=(postgres_url, ready, answers))
    process.start()
    assert ready.wait(30)
    time.sleep(0.2)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    assert answers.get(timeout=10) == "wake"
    process.join()


def test_closing_ends_a_wait(store: Any) -> None:
    worker = hire(store)
    timer = later(0.3, store.close)
    began = time.monotonic()
    store.wait_for_work(worker, 30)
    assert time.monotonic() - began < 10
    timer.join()
    store.wake()  # harmless afterwards
