"""What people decide: cancel, retry, resolve, in every status a task can be in."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from runner.errors import Conflict, NotFound, RunnerError
from runner.store import CancelTask, ResolveTask, RetryTask, Store
from runner.testing.conformance.actors import (
    StoreTests,
    add,
    claim,
    do,
    finish,
    hire,
    keys,
    new_task,
    read,
    settle,
    start,
    status,
    submit,
    take,
    tick,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def _blocked(store: Store) -> str:
    return add(store, after=(add(store, type="parent"),))


def _in_progress(store: Store) -> str:
    add(store)
    held = take(store, hire(store))
    start(store, held)
    return held.key


def _after(outcome: str) -> Callable[[Store], str]:
    def make(store: Store) -> str:
        add(store)
        return finish(store, hire(store), outcome).key

    return make


def _claimed(store: Store) -> str:
    add(store)
    return take(store, hire(store)).key


MAKE: dict[str, Callable[[Store], str]] = {
    "planning": lambda store: add(store, planning=True),
    "blocked": _blocked,
    "scheduled": lambda store: add(store, not_before=time.time() + 3600),
    "pending": add,
    "claimed": _claimed,
    "in_progress": _in_progress,
    "needs_human": _after("needs_human"),
    "done": _after("ok"),
    "failed": _after("check_failed"),
    "cancelled": _after("cancelled"),
}


class DecisionTests(StoreTests):
    @pytest.mark.parametrize("before", ["planning", "blocked", "scheduled", "pending", "needs_human"])
    def test_a_task_that_nobody_holds_is_cancelled_at_once(self, store: Store, before: str) -> None:
        id = MAKE[before](store)
        assert status(store, id) == before
        assert do(store, CancelTask(task=id, by="ada", reason="not needed")) == "cancelled"
        task = read(store, id)
        assert task.status == "cancelled"
        assert task.finished_at is not None
        [event] = [e for e in store.queue.events(task=id) if e.kind == "task.cancelled"]
        assert event.by == "ada"
        tick(store)
        assert status(store, id) == "cancelled"
        assert claim(store, hire(store), limit=5) == []

    @pytest.mark.parametrize("before", ["claimed", "in_progress"])
    def test_a_task_that_is_held_is_asked_to_end(self, store: Store, before: str) -> None:
        id = MAKE[before](store)
        assert do(store, CancelTask(task=id, by="ada")) == before
        assert do(store, CancelTask(task=id)) == before
        task = read(store, id)
        assert (task.status, task.cancel_requested) == (before, True)
        assert "task.cancel_requested" in [e.kind for e in store.queue.events(task=id)]

    @pytest.mark.parametrize("before", ["done", "failed", "cancelled"])
    def test_a_finished_task_cannot_be_cancelled(self, store: Store, before: str) -> None:
        id = MAKE[before](store)
        with pytest.raises(Conflict, match=id):
            do(store, CancelTask(task=id))
        assert status(store, id) == before

    @pytest.mark.parametrize("before", ["needs_human", "done", "failed", "cancelled"])
    def test_a_task_is_queued_again_with_fresh_counters(self, store: Store, before: str) -> None:
        id = MAKE[before](store)
        epoch = read(store, id).epoch
        assert do(store, RetryTask(task=id, by="ada")) == "pending"
        task = read(store, id)
        assert (task.status, task.attempts, task.interruptions, task.cancel_requested) == ("pending", 0, 0, False)
        assert task.finished_at is None
        assert "task.retried" in [e.kind for e in store.queue.events(task=id)]
        held = take(store, hire(store, "w2"))
        assert held.key == id
        assert held.epoch > epoch
        assert start(store, held) == 2, "the numbers of attempts go on"

    @pytest.mark.parametrize("before", ["claimed", "in_progress"])
    def test_a_held_task_cannot_be_queued_again(self, store: Store, before: str) -> None:
        id = MAKE[before](store)
        with pytest.raises(Conflict, match=id):
            do(store, RetryTask(task=id))
        assert status(store, id) == before

    @pytest.mark.parametrize(("before", "becomes"), [("planning", "pending"), ("scheduled", "pending")])
    def test_a_task_that_waits_is_queued_now(self, store: Store, before: str, becomes: str) -> None:
        id = MAKE[before](store)
        assert do(store, RetryTask(task=id)) == becomes
        assert keys(claim(store, hire(store))) == [id]

    def test_a_task_that_waits_for_a_parent_still_does_when_it_is_retried(self, store: Store) -> None:
        id = MAKE["blocked"](store)
        assert do(store, RetryTask(task=id)) == "blocked"
        do(store, CancelTask(task=id))
        assert do(store, RetryTask(task=id)) == "blocked"
        finish(store, hire(store, types=("parent",)))
        tick(store)
        assert status(store, id) == "pending"

    def test_a_retry_of_a_task_whose_key_is_taken_is_a_conflict(self, store: Store) -> None:
        first = add(store, key="k")
        finish(store, hire(store))
        second = add(store, key="k")
        with pytest.raises(Conflict):
            do(store, RetryTask(task=first))
        assert (status(store, first), status(store, second)) == ("done", "pending")

    def test_a_key_is_taken_again_by_a_task_that_is_queued_again(self, store: Store) -> None:
        first = add(store, key="k")
        finish(store, hire(store))
        do(store, RetryTask(task=first))
        [again] = submit(store, new_task(key="k"))
        assert (again.id, again.created) == (first, False)

    @pytest.mark.parametrize("before", ["needs_human", "failed"])
    def test_a_person_accepts_a_result(self, store: Store, before: str) -> None:
        id = MAKE[before](store)
        assert do(store, ResolveTask(task=id, to="done", notes="looks fine", by="ada")) == "done"
        task = read(store, id)
        assert task.status == "done"
        assert task.finished_at is not None
        [event] = [e for e in store.queue.events(task=id) if e.kind == "task.resolved"]
        assert (event.by, event.data["to"], event.data["notes"]) == ("ada", "done", "looks fine")

    @pytest.mark.parametrize("before", ["needs_human", "failed"])
    def test_a_person_gives_up_a_task(self, store: Store, before: str) -> None:
        id = MAKE[before](store)
        assert do(store, ResolveTask(task=id, to="failed")) == "failed"
        assert claim(store, hire(store)) == []

    def test_a_person_answers_and_the_task_goes_on(self, store: Store) -> None:
        id = add(store, attempts=1)
        held = take(store, hire(store))
        settle(store, held, "needs_human", question="Which port?")
        assert do(store, ResolveTask(task=id, to="pending", answer="8001", by="ada")) == "pending"
        again = take(store, hire(store, "w2"))
        assert again.task is not None
        assert (again.task.answer, again.task.question) == ("8001", "Which port?")
        assert settle(store, again, "crashed") == "needs_human", "counted from the start: one attempt"
        assert read(store, id).attempts == 1

    @pytest.mark.parametrize(
        "before", ["planning", "blocked", "scheduled", "pending", "claimed", "in_progress", "done", "cancelled"]
    )
    @pytest.mark.parametrize("to", ["pending", "done", "failed"])
    def test_only_what_waits_for_a_person_is_resolved(self, store: Store, before: str, to: str) -> None:
        id = MAKE[before](store)
        with pytest.raises(Conflict, match=id):
            do(store, ResolveTask(task=id, to=to))
        assert status(store, id) == before

    def test_a_pending_task_takes_a_further_decision_with_a_payload(self, store: Store) -> None:
        """Of two steps of a run that wait, one is decided about, and then the other."""
        id = MAKE["needs_human"](store)
        for step in ("a", "b"):
            before = read(store, id).payload
            op = ResolveTask(
                task=id, to="pending", payload={**before, step: 1}, replaces=before, by="ada", about={"step": step}
            )
            assert do(store, op) == "pending"
        assert {"a": 1, "b": 1}.items() <= read(store, id).payload.items()
        events = [event for event in store.queue.events(task=id) if event.kind == "task.resolved"]
        assert [(event.by, event.data["step"], event.data["to"]) for event in events] == [
            ("ada", "a", "pending"),
            ("ada", "b", "pending"),
        ]
        assert take(store, hire(store, "w2")).key == id

    def test_a_decision_made_from_an_older_payload_undoes_no_other(self, store: Store) -> None:
        id = MAKE["needs_human"](store)
        before = read(store, id).payload
        do(store, ResolveTask(task=id, to="pending", payload={**before, "a": 1}, replaces=before))
        with pytest.raises(Conflict, match=id):
            do(store, ResolveTask(task=id, to="pending", payload={**before, "b": 1}, replaces=before))
        assert read(store, id).payload == {**before, "a": 1}

    @pytest.mark.parametrize("before", ["claimed", "in_progress", "blocked", "scheduled", "done", "cancelled"])
    def test_no_other_task_takes_a_payload_with_a_decision(self, store: Store, before: str) -> None:
        id = MAKE[before](store)
        payload = read(store, id).payload
        with pytest.raises(Conflict, match=id) as raised:
            do(store, ResolveTask(task=id, to="pending", payload={**payload, "b": 1}))
        assert ("wait" in raised.value.hint) == (before in ("claimed", "in_progress"))
        assert (status(store, id), read(store, id).payload) == (before, payload)

    def test_a_task_is_resolved_to_nothing_else(self, store: Store) -> None:
        id = MAKE["needs_human"](store)
        for to in ("cancelled", "in_progress", "splendid", ""):
            with pytest.raises(RunnerError):
                do(store, ResolveTask(task=id, to=to))
        assert status(store, id) == "needs_human"

    def test_a_decision_about_an_unknown_task_names_it(self, store: Store) -> None:
        for op in (CancelTask(task="ghost"), RetryTask(task="ghost"), ResolveTask(task="ghost", to="done")):
            with pytest.raises(NotFound, match="ghost"):
                do(store, op)

    def test_decisions_that_are_sent_together_are_all_or_none(self, store: Store) -> None:
        one, two = add(store), add(store)
        with pytest.raises(NotFound):
            store.commit([CancelTask(task=one), CancelTask(task=two), CancelTask(task="ghost")])
        assert (status(store, one), status(store, two)) == ("pending", "pending")
