"""Reads: finding and counting tasks, what is in a task's way, workers, and being woken."""

from __future__ import annotations

import dataclasses
import threading
import time

import pytest

from runner.store import CancelTask, Forget, PutLimits, Register, Store, TaskFilter, Tick
from runner.testing.conformance.actors import (
    PROJECT,
    OpenStore,
    StoreTests,
    add,
    claim,
    do,
    finish,
    hire,
    new_task,
    new_worker,
    read,
    settle,
    submit,
    take,
    tick,
)


def _find(store: Store, **fields: object) -> list[str]:
    return [task.id for task in store.queue.find(TaskFilter(**fields))]  # type: ignore[arg-type]


class ReadTests(StoreTests):
    def test_a_task_that_is_not_there_is_none(self, store: Store) -> None:
        assert store.queue.get("nobody") is None
        assert store.queue.attempts("nobody") == []
        assert store.queue.events(task="nobody") == []

    def test_tasks_are_found_by_status(self, store: Store) -> None:
        done = add(store, type="done")
        finish(store, hire(store, "w0", types=("done",)))
        pending, planned = add(store), add(store, planning=True)
        assert set(_find(store)) == {done, pending, planned}
        assert set(_find(store, statuses=())) == {pending, planned}
        assert _find(store, statuses=("done",)) == [done]
        assert set(_find(store, statuses=("done", "pending"))) == {done, pending}

    @pytest.mark.parametrize(
        "fields",
        [{"unit": "u"}, {"type": "t"}, {"machine": "m"}, {"agent": "a"}, {"key": "k"}, {"project": "p9"}],
        ids=lambda fields: next(iter(fields)),
    )
    def test_tasks_are_found_by_what_they_are(self, store: Store, fields: dict[str, str]) -> None:
        add(store)
        wanted = add(store, **fields)
        assert _find(store, **fields) == [wanted]
        assert store.queue.count(TaskFilter(**fields)) == {"pending": 1}  # type: ignore[arg-type]

    def test_tasks_are_found_by_the_start_of_their_id(self, store: Store) -> None:
        submit(store, new_task("abc1"), new_task("abc2"), new_task("abd1"), new_task("a%c3"), new_task("a_c4"))
        assert set(_find(store, prefix="abc")) == {"abc1", "abc2"}
        assert _find(store, prefix="a%") == ["a%c3"]
        assert _find(store, prefix="a_") == ["a_c4"]
        assert _find(store, prefix="abc1") == ["abc1"]

    def test_the_newest_come_first_and_in_pages(self, store: Store) -> None:
        ids = [add(store) for _ in range(7)]
        assert _find(store, project=PROJECT) == ids[::-1]
        assert _find(store, project=PROJECT, limit=3) == ids[:3:-1]
        assert _find(store, project=PROJECT, limit=3, offset=3) == ids[3:0:-1]
        assert _find(store, project=PROJECT, limit=0) == []

    def test_what_is_next_comes_first_when_asked(self, store: Store) -> None:
        low, high = add(store), add(store, priority=1)
        assert _find(store, statuses=("pending",), newest=False) == [high, low]

    def test_tasks_are_counted_by_status(self, store: Store) -> None:
        assert store.queue.count(TaskFilter()) == {}
        submit(store, *(new_task() for _ in range(3)))
        add(store, planning=True)
        take(store, hire(store))
        assert store.queue.count(TaskFilter()) == {"claimed": 1, "pending": 2, "planning": 1}
        assert store.queue.count(TaskFilter(statuses=("pending",))) == {"pending": 2}

    def test_a_found_task_is_whole(self, store: Store) -> None:
        parent = add(store, type="parent")
        id = add(store, after=(parent,), payload={"a": [1]}, spec={"b": 2}, requires=("x",))
        [found] = store.queue.find(TaskFilter(statuses=("blocked",)))
        whole = read(store, id)
        assert whole.after == (parent,)
        assert dataclasses.replace(found, after=whole.after) == whole  # `after` is what `get` alone fills

    def test_the_facts_of_a_task_that_waits_for_parents(self, store: Store) -> None:
        done, waiting = add(store, type="a"), add(store, type="b")
        child = add(store, after=(done, waiting))
        finish(store, hire(store, types=("a",)))
        tick(store)
        assert store.queue.facts(child).parents == ((waiting, "pending"),)

    def test_the_facts_of_a_task_that_waits_its_turn(self, store: Store) -> None:
        ids = [add(store) for _ in range(4)]
        add(store, type="other")
        facts = [store.queue.facts(id) for id in ids]
        assert [f.ahead for f in facts] == [0, 1, 2, 3]
        assert facts[0].lane is not None
        assert facts[0].lane.type == "job"

    @pytest.mark.parametrize("gate", [{"limit_key": "one"}, {"unit": "u1"}], ids=["limit_key", "unit"])
    def test_the_facts_of_a_task_that_waits_for_another(self, store: Store, gate: dict[str, str]) -> None:
        head, waiting = add(store, **gate), add(store, **gate)
        assert store.queue.facts(waiting).key_holder == head
        assert store.queue.facts(head).key_holder is None

    def test_the_facts_of_a_task_behind_a_limit(self, store: Store) -> None:
        do(store, PutLimits(limits={"type:job": 1}, project=PROJECT))
        add(store)
        waiting = add(store)
        assert store.queue.facts(waiting).limit is None
        take(store, hire(store))
        assert store.queue.facts(waiting).limit == ("type:job", 1, 1)

    def test_the_facts_name_the_workers_that_fit(self, store: Store) -> None:
        id = add(store, requires=("gpu",), machine="big")
        assert store.queue.facts(id).fitting == ()
        hire(store, "w1", capabilities=("gpu",), names=("small",))
        hire(store, "w2", capabilities=("gpu", "x"), names=("big",))
        hire(store, "w3", capabilities=(), names=("big",))
        assert store.queue.facts(id).fitting == ("w2",)

    def test_a_worker_is_written_down_and_forgotten(self, store: Store) -> None:
        worker = new_worker("w1", names=("mac", "ios"), capabilities=("x",), keepers=((11, "5"), (12, "6")), slots=3)
        do(store, Register(worker=worker))
        [found] = store.queue.workers()
        for name in ("id", "machine", "names", "types", "capabilities", "project", "slots", "host", "pid", "started"):
            assert getattr(found, name) == getattr(worker, name), name
        assert found.keepers == ((11, "5"), (12, "6"))
        assert 0 <= found.heartbeat < 30
        do(store, Register(worker=new_worker("w1", slots=5)))
        [found] = store.queue.workers()
        assert found.slots == 5
        assert do(store, Forget(worker="w1")) is None
        assert store.queue.workers() == []

    def test_a_forgotten_workers_claims_stay_until_they_are_taken_back(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        do(store, Forget(worker="w1"))
        assert read(store, id).status == "claimed"
        assert settle(store, held) == "done"

    def test_the_neighbours_that_hold_claims_are_listed(self, store: Store) -> None:
        submit(store, *(new_task() for _ in range(3)))
        here, idle = hire(store, "here", host="h1", pid=7, started="s"), hire(store, "idle", host="h1")
        away = hire(store, "away", host="h2")
        held = take(store, here)
        take(store, away)
        assert [(w.id, w.pid, w.started) for w in store.queue.holding("h1")] == [("here", 7, "s")]
        assert [w.id for w in store.queue.holding("h3")] == []
        settle(store, held)
        assert store.queue.holding("h1") == []
        assert claim(store, idle) != []

    def test_an_idle_worker_reads_whether_work_waits(self, store: Store) -> None:
        worker = hire(store)
        assert store.queue.work_waits(worker) is False
        add(store, type="other")
        assert store.queue.work_waits(worker) is False
        add(store)
        assert store.queue.work_waits(worker) is True
        take(store, worker)
        assert store.queue.work_waits(worker) is False

    def test_due_housekeeping_is_work_that_waits(self, store: Store) -> None:
        worker = hire(store, types=("child",))
        parent = add(store, type="parent")
        add(store, after=(parent,), type="child")
        add(store, not_before=time.time() + 0.5, type="child")
        finish(store, hire(store, "w2", types=("parent",)))
        assert store.queue.work_waits(worker) is True
        tick(store)
        assert claim(store, worker) != []
        do(store, Tick())
        time.sleep(0.8)
        assert store.queue.work_waits(worker) is True
        tick(store)
        assert claim(store, worker) != []

    def test_a_waiting_worker_is_woken_by_a_submit(self, store: Store, open_store: OpenStore) -> None:
        worker = hire(store)
        other = open_store()
        submitter = threading.Timer(0.3, lambda: add(other))
        submitter.start()
        began = time.monotonic()
        assert store.wait_for_work(worker, timeout=30) == "work"
        assert time.monotonic() - began < 10
        submitter.join()
        other.close()
        assert claim(store, worker) != []

    def test_a_submit_between_two_waits_is_not_missed(self, store: Store, open_store: OpenStore) -> None:
        worker = hire(store)
        store.wait_for_work(worker, timeout=0.05)
        other = open_store()
        add(other)
        other.close()
        began = time.monotonic()
        store.wait_for_work(worker, timeout=30)
        assert time.monotonic() - began < 10

    def test_a_waiting_worker_hears_of_a_cancel(self, store: Store, open_store: OpenStore) -> None:
        id = add(store)
        worker = hire(store)
        take(store, worker)
        store.wait_for_work(worker, timeout=0.05)
        other = open_store()
        person = threading.Timer(0.3, lambda: do(other, CancelTask(task=id)))
        person.start()
        began = time.monotonic()
        answers = set()
        while "cancel" not in answers and time.monotonic() - began < 20:
            answers.add(store.wait_for_work(worker, timeout=5))
        assert "cancel" in answers
        person.join()
        other.close()

    def test_a_waiting_worker_is_woken_from_its_own_process(self, store: Store) -> None:
        worker = hire(store)
        waker = threading.Timer(0.3, store.wake)
        waker.start()
        began = time.monotonic()
        assert store.wait_for_work(worker, timeout=30) == "wake"
        assert time.monotonic() - began < 10
        waker.join()

    def test_waiting_for_work_ends_with_its_time(self, store: Store) -> None:
        worker = hire(store)
        began = time.monotonic()
        assert store.wait_for_work(worker, timeout=0.3) == ""
        assert 0.2 < time.monotonic() - began < 5

    def test_the_schema_is_up_to_date_and_upgrading_again_does_nothing(self, store: Store) -> None:
        assert store.upgrade() == []
