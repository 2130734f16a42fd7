"""Connections break: a server restarts, a session ends, a reply is lost. No commit is lost or done twice."""

from __future__ import annotations

import re
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from runner.errors import Conflict, StoreLocked, StoreUnavailable
from runner.model import Claim
from runner.store import (
    REFUSED,
    AppendEvent,
    AppendMessage,
    CancelTask,
    ClaimTasks,
    ResolveTask,
    Settle,
    SubmitTasks,
    TaskFilter,
)
from runner.testing.conformance.actors import add, claim, do, finish, hire, new_task, status, statuses, submit, take
from runner_plugins import postgres_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runner.testing import postgres


@pytest.fixture
def store(postgres_url: str) -> Iterator[Any]:
    store = postgres_store.open_store(postgres_url, {})
    assert store is not None
    yield store
    store.close()


class Proxy:
    """Stands between client and server on TCP. `cut` says at which words of which side the line goes dead, once."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._cut: tuple[str, bytes] | None = None
        self.cuts = 0
        self._open: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.getsockname()[1])

    def cut(self, side: str, words: bytes) -> None:
        """Drop the next data from `side` ("server" or "client") that holds `words`, and everything after it."""
        self._cut = (side, words)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._open += [client, server]
            for side, source, sink in (("client", client, server), ("server", server, client)):
                threading.Thread(target=self._carry, args=(side, source, sink), daemon=True).start()

    def _carry(self, side: str, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if self._cut is not None and self._cut[0] == side and self._cut[1] in data:
                    self._cut = None
                    self.cuts += 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self._server.close()
        for one in self._open:
            one.close()


COMMITTED = b"COMMIT\0"
"""The server's word that a transaction is done."""


@pytest.fixture
def proxy(postgres_server: postgres.Server) -> Iterator[Proxy]:
    proxy = Proxy(f"{postgres_server.root}/.s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def distant(proxy: Proxy, postgres_url: str) -> Iterator[Any]:
    """The store as it is reached over the network."""
    database = re.search(r"@/(\w+)", postgres_url)
    assert database is not None
    store = postgres_store.open_store(f"postgresql://postgres@127.0.0.1:{proxy.port}/{database[1]}", {})
    assert store is not None
    yield store
    store.close()


def test_a_reply_lost_after_commit_is_asked_for_again_by_its_request(distant: Any, store: Any, proxy: Proxy) -> None:
    worker = hire(distant)
    first, second = add(distant), add(distant)
    held = take(distant, worker)
    proxy.cut("server", COMMITTED)
    settled, [claimed] = distant.commit(
        [Settle(fence=held, outcome="ok"), ClaimTasks(worker=worker, limit=1)], request_id="r1"
    )
    assert proxy.cuts == 1
    assert settled == "done"
    assert (claimed.key, claimed.epoch) == (second, 1)
    assert statuses(store) == {"done": 1, "claimed": 1}
    assert [e.kind for e in store.queue.events(task=first)].count("task.settled") == 1
    assert [e.kind for e in store.queue.events(task=second)].count("task.claimed") == 1


def test_without_a_request_id_a_lost_reply_is_for_the_caller_to_decide(distant: Any, store: Any, proxy: Proxy) -> None:
    task = new_task()
    submit(distant, new_task())
    proxy.cut("server", COMMITTED)
    with pytest.raises(StoreUnavailable):
        distant.commit([SubmitTasks(tasks=(task,))])
    assert status(store, task.id) == "pending"
    # The id was the submitter's choice, so that asking again finds the same task.
    [again] = submit(distant, task)
    assert (again.id, again.created) == (task.id, False)
    assert statuses(store) == {"pending": 2}


def test_a_message_whose_reply_was_lost_has_one_position(distant: Any, store: Any, proxy: Proxy) -> None:
    for n in range(10):
        if n % 2:
            proxy.cut("server", COMMITTED)
        assert distant.commit([AppendMessage(stream="s", body={"n": n})], request_id=f"r{n}") == [n + 1]
    assert proxy.cuts == 5
    assert [m.body["n"] for m in store.streams.read("s")] == list(range(10))


def test_a_commit_that_was_cut_off_before_it_arrived_is_made_once(distant: Any, store: Any, proxy: Proxy) -> None:
    task = new_task()
    submit(distant, new_task())
    proxy.cut("client", task.id.encode())  # on its first way out; COMMIT was not sent yet
    submit(distant, task)
    assert proxy.cuts == 1
    assert statuses(store) == {"pending": 2}


def test_a_conflict_is_no_conflict_with_oneself(distant: Any, store: Any, proxy: Proxy) -> None:
    task = add(distant)
    proxy.cut("server", COMMITTED)
    assert distant.commit([CancelTask(task=task)], request_id="c1") == ["cancelled"]
    with pytest.raises(Conflict):
        distant.commit([CancelTask(task=task)], request_id="c2")


def test_reads_survive_a_cut_line(distant: Any, proxy: Proxy) -> None:
    add(distant)
    distant.queue.count(TaskFilter())
    proxy.cut("server", b"pending")
    assert distant.queue.count(TaskFilter()) == {"pending": 1}
    assert proxy.cuts == 1


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_between_two_calls_is_not_noticed(store: Any, postgres_server: postgres.Server, mode: str) -> None:
    id = add(store)
    worker = hire(store)
    store.queue.count(TaskFilter())
    postgres_server.restart(mode)
    assert finish(store, worker).key == id
    postgres_server.restart(mode)
    assert status(store, id) == "done"


def test_while_the_server_is_away_the_store_is_unavailable_and_then_goes_on(
    store: Any, postgres_server: postgres.Server
) -> None:
    add(store)
    worker = hire(store)
    held = take(store, worker)
    postgres_server.stop("immediate")
    try:
        for call in (lambda: store.queue.get(held.key), lambda: do(store, Settle(fence=held, outcome="ok"))):
            with pytest.raises(StoreUnavailable) as caught:
                call()
            assert "\n" not in str(caught.value)
    finally:
        postgres_server.start()
    assert do(store, Settle(fence=held, outcome="ok")) == "done"


def test_sessions_that_are_ended_under_load_lose_nothing(
    store: Any, postgres_server: postgres.Server, postgres_url: str
) -> None:
    over = threading.Event()

    def end_sessions() -> None:
        while not over.wait(0.05):
            postgres_server.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND application_name = 'runner' AND random() < 0.5""",
                postgres_url,
            )

    thread = threading.Thread(target=end_sessions)
    thread.start()
    try:
        for n in range(150):
            request = f"r{n}"
            while True:
                try:
                    [position] = store.commit([AppendMessage(stream="s", body={"n": n})], request_id=request)
                    break
                except StoreUnavailable:
                    time.sleep(0.01)
            assert position == n + 1
    finally:
        over.set()
        thread.join()
    assert [m.body["n"] for m in store.streams.read("s")] == list(range(150))


def test_a_deadlock_is_resolved_by_running_the_commit_again(
    store: Any, postgres_server: postgres.Server, postgres_url: str
) -> None:
    submit(store, new_task("a"), new_task("b"))
    worker = hire(store)
    held = sorted(claim(store, worker, limit=2), key=lambda c: c.id)
    answers: list[Any] = []
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM tasks WHERE id = 'b' FOR UPDATE")
        thread = threading.Thread(
            target=lambda: answers.extend(store.commit([Settle(fence=one, outcome="ok") for one in held]))
        )
        thread.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name = 'runner'"
        while postgres_server.execute(waiting, postgres_url) != [(1,)]:
            time.sleep(0.01)
        # Now each waits for the other; the store waited first, and is the one that is turned down.
        other.execute("SELECT 1 FROM tasks WHERE id = 'a' FOR UPDATE")
        other.rollback()
    thread.join()
    assert answers == ["done", "done"]
    assert "deadlock detected" in postgres_server.log()


def test_who_waits_too_long_for_a_lock_is_told_so(postgres_url: str) -> None:
    store = postgres_store.open_store(postgres_url, {"timeout": 1.0})
    assert store is not None
    id = add(store)
    worker = hire(store)
    held = take(store, worker)
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT 1 FROM tasks FOR UPDATE")
        began = time.monotonic()
        with pytest.raises(StoreLocked) as caught:
            do(store, Settle(fence=held, outcome="ok"))
        assert 0.9 < time.monotonic() - began < 8
        assert caught.value.exit_code == 4
        other.rollback()
    assert do(store, Settle(fence=held, outcome="ok")) == "done"
    assert status(store, id) == "done"
    store.close()


def test_a_failed_commit_leaves_nothing_behind_and_the_connection_in_order(store: Any) -> None:
    task = add(store)
    for _ in range(3):
        with pytest.raises(Conflict):
            store.commit([AppendEvent(kind="test.lost"), *_conflict(task)])
    assert not [e for e in store.queue.events() if e.kind == "test.lost"]
    assert do(store, Settle(fence=Claim(f"task:{task}", 7), outcome="ok")) == REFUSED
    assert add(store)


def _conflict(task: str) -> list[Any]:
    return [ResolveTask(task=task, to="done")]


def test_a_process_uses_few_connections(store: Any, postgres_server: postgres.Server, postgres_url: str) -> None:
    worker = hire(store)
    store.wait_for_work(worker, 0.2)
    threads = [threading.Thread(target=lambda: [store.queue.count(TaskFilter()) for _ in range(20)]) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'runner' AND datname = current_database()"
    [(used,)] = postgres_server.execute(count, postgres_url)
    assert used <= 6
    store.close()
    deadline = time.monotonic() + 5
    while postgres_server.execute(count, postgres_url) != [(0,)]:
        assert time.monotonic() < deadline, "connections stay after close()"
        time.sleep(0.02)
