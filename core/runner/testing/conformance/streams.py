"""Streams and the audit log: positions in order, nothing that appears behind a reader's back."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from runner.store import AppendEvent, AppendMessage, Store
from runner.testing.conformance.actors import (
    OpenStore,
    StoreTests,
    add,
    bury,
    do,
    finish,
    hire,
    start,
    take,
)

if TYPE_CHECKING:
    from runner.model import Event, Message

WRITERS, EACH = 4, 40


class StreamTests(StoreTests):
    def test_positions_grow_from_one_in_each_stream(self, store: Store) -> None:
        results = store.commit(
            [
                AppendMessage(stream="a", body={"n": 1}, by="ada"),
                AppendMessage(stream="b", body={"n": 2}),
                AppendMessage(stream="a", body={"n": 3}),
            ]
        )
        assert results == [1, 1, 2]
        assert do(store, AppendMessage(stream="a", body={})) == 3
        first, *_ = store.streams.read("a")
        assert (first.stream, first.position, first.body, first.by) == ("a", 1, {"n": 1}, "ada")
        assert abs(first.at - time.time()) < 30

    def test_a_reader_goes_on_where_it_was(self, store: Store) -> None:
        for n in range(10):
            do(store, AppendMessage(stream="a", body={"n": n}))
        assert [m.body["n"] for m in store.streams.read("a", after=7)] == [7, 8, 9]
        assert [m.position for m in store.streams.read("a", after=2, limit=3)] == [3, 4, 5]
        assert store.streams.read("a", after=10) == []
        assert store.streams.read("nobody's") == []

    def test_a_body_comes_back_as_it_went_in(self, store: Store) -> None:
        body = {"text": "ünï 🚀\x00\n", "nested": [{"a": None}], "n": 1.5}
        do(store, AppendMessage(stream="a", body=body))
        assert store.streams.read("a")[0].body == body

    def test_waiting_returns_at_once_when_there_is_something(self, store: Store) -> None:
        do(store, AppendMessage(stream="a", body={"n": 1}))
        began = time.monotonic()
        assert len(store.streams.wait("a", after=0, timeout=30)) == 1
        assert time.monotonic() - began < 5

    def test_waiting_ends_with_its_time(self, store: Store) -> None:
        began = time.monotonic()
        assert store.streams.wait("a", after=0, timeout=0.3) == []
        assert 0.2 < time.monotonic() - began < 5

    def test_a_waiting_reader_hears_of_a_message_from_elsewhere(self, store: Store, open_store: OpenStore) -> None:
        heard: list[Message] = []

        def listen() -> None:
            own = open_store()
            heard.extend(own.streams.wait("a", after=0, timeout=30))
            own.close()

        thread = threading.Thread(target=listen)
        thread.start()
        time.sleep(0.3)
        began = time.monotonic()
        do(store, AppendMessage(stream="b", body={"text": "not for you"}))
        do(store, AppendMessage(stream="a", body={"text": "hello"}))
        thread.join()
        assert [m.body["text"] for m in heard] == ["hello"]
        assert time.monotonic() - began < 10

    def test_nothing_appears_behind_a_readers_position(self, store: Store, open_store: OpenStore) -> None:
        def write(number: int) -> None:
            own = open_store()
            for n in range(EACH):
                do(own, AppendMessage(stream="a", body={"by": number, "n": n}))
            own.close()

        threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        seen: list[Message] = []
        alive = more = True
        while alive or more:
            alive = any(t.is_alive() for t in threads)  # before the read: what they wrote last is still to come
            page = store.streams.read("a", after=len(seen))
            more = bool(page)
            positions = [m.position for m in page]
            assert positions == list(range(len(seen) + 1, len(seen) + 1 + len(page))), "a position was left out"
            seen += page
        assert len(seen) == WRITERS * EACH
        for number in range(WRITERS):
            assert [m.body["n"] for m in seen if m.body["by"] == number] == list(range(EACH))

    def test_no_event_appears_behind_a_readers_cursor(self, store: Store, open_store: OpenStore) -> None:
        def write(number: int) -> None:
            own = open_store()
            for n in range(EACH):
                own.commit([AppendEvent(kind="test.one", data={"by": number, "n": n}), AppendEvent(kind="test.two")])
            own.close()

        threads = [threading.Thread(target=write, args=(n,)) for n in range(WRITERS)]
        for thread in threads:
            thread.start()
        seen: list[Event] = []
        alive = more = True
        while alive or more:
            alive = any(t.is_alive() for t in threads)
            page = store.queue.events(after=seen[-1].id if seen else 0, limit=50)
            more = bool(page)
            seen += page
        ids = [e.id for e in seen]
        assert ids == sorted(set(ids))
        assert len(seen) == 2 * WRITERS * EACH, "a reader that followed its cursor missed events"

    def test_events_are_read_in_order_by_task_and_in_pages(self, store: Store) -> None:
        one, two = add(store), add(store)
        for n in range(6):
            do(store, AppendEvent(kind="test.note", task=(one, two)[n % 2], data={"n": n}))
        notes = [e for e in store.queue.events(task=one) if e.kind == "test.note"]
        assert [e.data["n"] for e in notes] == [0, 2, 4]
        everything = store.queue.events()
        paged: list[Event] = []
        while more := store.queue.events(after=paged[-1].id if paged else 0, limit=3):
            assert len(more) <= 3
            paged += more
        assert paged == everything
        assert [e.id for e in paged] == sorted({e.id for e in paged})

    def test_the_life_of_a_task_is_in_the_log(self, store: Store) -> None:
        id = add(store, attempts=5)
        dead, worker = hire(store, "dead"), hire(store, "w1")
        lost = take(store, dead)
        start(store, lost)
        bury(store, dead)
        held = finish(store, worker)
        events = [e for e in store.queue.events(task=id) if e.kind != "task.promoted"]
        assert [e.kind for e in events] == [
            "task.submitted",
            "task.claimed",
            "attempt.started",
            "task.reclaimed",
            "task.claimed",
            "attempt.started",
            "task.settled",
        ]
        by_kind = {e.kind: e for e in events}
        claimed = [e for e in events if e.kind == "task.claimed"]
        assert [(e.epoch, e.data["worker"]) for e in claimed] == [(lost.epoch, "dead"), (held.epoch, "w1")]
        assert by_kind["task.reclaimed"].data["worker"] == "dead"
        assert by_kind["attempt.started"].data["n"] == 2
        settled = by_kind["task.settled"]
        assert (settled.epoch, settled.data["worker"]) == (held.epoch, "w1")
        assert (settled.data["outcome"], settled.data["status"]) == ("ok", "done")
