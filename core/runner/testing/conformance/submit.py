"""Submitting: all or none, keys, ids, parents, and payloads that come back as they went in."""

from __future__ import annotations

import time

import pytest

from runner.errors import Conflict, NotFound, UsageError
from runner.store import AppendEvent, Store, SubmitTasks
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
    read,
    settle,
    status,
    statuses,
    submit,
    take,
)


class SubmitTests(StoreTests):
    def test_a_submitted_task_is_there_as_it_was_given(self, store: Store) -> None:
        given = new_task(
            type="job",
            payload={"script": "make"},
            unit="u7",
            spec={"checks": [{"type": "exit_code"}]},
            agent="claude",
            machine="m1",
            account="acc",
            requires=("os:linux", "agent:claude"),
            priority=3,
            key="k1",
            limit_key="lk",
            attempts=5,
            interruptions=7,
            by="ada",
        )
        before = time.time()
        [answer] = submit(store, given)
        assert (answer.id, answer.status, answer.created) == (given.id, "pending", True)
        task = read(store, given.id)
        for name in ("id", "type", "payload", "project", "unit", "spec", "agent", "machine", "account"):
            assert getattr(task, name) == getattr(given, name), name
        assert sorted(task.requires) == sorted(given.requires)
        assert (task.priority, task.key, task.limit_key) == (3, "k1", "lk")
        assert (task.attempts, task.attempts_max, task.interruptions, task.interruptions_max) == (0, 5, 0, 7)
        assert (task.status, task.outcome, task.epoch, task.attempt) == ("pending", None, 0, 0)
        assert (task.holder, task.started_at, task.finished_at, task.cancel_requested) == (None, None, None, False)
        assert abs(task.created_at - before) < 30

    def test_a_submit_of_several_is_all_or_none(self, store: Store) -> None:
        good, bad = new_task(), new_task(after=("nobody",))
        with pytest.raises(NotFound):
            store.commit([AppendEvent(kind="test.note"), SubmitTasks(tasks=(good, bad))])
        assert store.queue.get(good.id) is None
        assert store.queue.events() == []

    def test_an_empty_submit_adds_nothing(self, store: Store) -> None:
        assert submit(store) == []
        assert statuses(store) == {}

    def test_the_answers_come_in_the_order_of_the_tasks(self, store: Store) -> None:
        tasks = [new_task() for _ in range(50)]
        assert [answer.id for answer in submit(store, *tasks)] == [task.id for task in tasks]

    def test_the_same_key_is_the_same_task(self, store: Store) -> None:
        first = add(store, key="nightly")
        [again] = submit(store, new_task(key="nightly"))
        assert (again.id, again.status, again.created) == (first, "pending", False)
        assert statuses(store) == {"pending": 1}

    def test_the_same_key_twice_in_one_submit_is_one_task(self, store: Store) -> None:
        one, two = submit(store, new_task(key="k"), new_task(key="k"))
        assert one.id == two.id
        assert (one.created, two.created) == (True, False)
        assert statuses(store) == {"pending": 1}

    def test_the_same_key_with_another_payload_is_a_conflict(self, store: Store) -> None:
        first = add(store, key="k")
        with pytest.raises(Conflict):
            submit(store, new_task(key="k", payload={"script": "false"}))
        with pytest.raises(Conflict):
            submit(store, new_task(key="k", type="other"))
        assert statuses(store) == {"pending": 1}
        assert read(store, first).payload == {"script": "true"}

    def test_a_key_is_the_same_whatever_the_order_of_the_payloads_keys(self, store: Store) -> None:
        first = add(store, key="k", payload={"a": 1, "b": 2})
        [again] = submit(store, new_task(key="k", payload={"b": 2, "a": 1}))
        assert again.id == first

    @pytest.mark.parametrize("outcome", ["ok", "check_failed", "cancelled"])
    def test_a_key_is_free_again_after_its_task_is_finished(self, store: Store, outcome: str) -> None:
        first = add(store, key="k")
        finish(store, hire(store), outcome)
        assert status(store, first) in {"done", "failed", "cancelled"}
        [again] = submit(store, new_task(key="k", payload={"script": "false"}))
        assert again.created
        assert again.id != first

    def test_a_key_stays_taken_while_its_task_is_held_or_waits_for_a_person(self, store: Store) -> None:
        first = add(store, key="k")
        held = take(store, hire(store))
        assert submit(store, new_task(key="k"))[0].id == first
        settle(store, held, "needs_human", question="which?")
        [again] = submit(store, new_task(key="k"))
        assert (again.id, again.status, again.created) == (first, "needs_human", False)

    def test_a_key_for_ever_stays_taken_after_the_task_is_done(self, store: Store) -> None:
        first = add(store, key="release-1", key_forever=True)
        finish(store, hire(store))
        [again] = submit(store, new_task(key="release-1", key_forever=True))
        assert (again.id, again.status, again.created) == (first, "done", False)
        with pytest.raises(Conflict):
            submit(store, new_task(key="release-1", key_forever=True, payload={"script": "false"}))

    def test_projects_have_keys_of_their_own(self, store: Store) -> None:
        first = add(store, key="k")
        [other] = submit(store, new_task(key="k", project="p2"))
        assert other.created
        assert other.id != first

    def test_the_same_id_again_is_that_task(self, store: Store) -> None:
        task = new_task()
        submit(store, task)
        held = take(store, hire(store))
        [again] = submit(store, task)
        assert (again.id, again.status, again.created) == (task.id, "claimed", False)
        assert read(store, task.id).epoch == held.epoch
        assert len([e for e in store.queue.events() if e.kind == "task.submitted"]) == 1

    def test_a_parent_may_be_in_the_same_submit(self, store: Store) -> None:
        parent = new_task()
        child = new_task(after=(parent.id,))
        answers = submit(store, child, parent)
        assert [a.status for a in answers] == ["blocked", "pending"]
        assert read(store, child.id).after == (parent.id,)

    def test_a_task_after_itself_or_in_a_circle_is_refused(self, store: Store) -> None:
        with pytest.raises((Conflict, NotFound)):
            submit(store, new_task("a1", after=("a1",)))
        with pytest.raises((Conflict, NotFound)):
            submit(store, new_task("a1", after=("a2",)), new_task("a2", after=("a3",)), new_task("a3", after=("a1",)))
        assert statuses(store) == {}

    def test_a_task_that_is_still_planned_is_offered_to_nobody(self, store: Store) -> None:
        planned = add(store, planning=True)
        assert status(store, planned) == "planning"
        assert claim(store, hire(store)) == []

    @pytest.mark.parametrize(
        "payload",
        [
            {"nested": {"list": [1, 2.5, None, True, [], {}]}, "": "empty key"},
            {"text": "ünï çødé 🚀 \u2028 \x1b[31m \t\r\n"},
            {"nul": "a\x00b"},
            {"big": 2**70, "small": -1e-300},
            {"'; DROP TABLE task; --": "%s ? :name $1 {}"},
            {"long": "x" * 1_000_000},
        ],
        ids=["nested", "unicode", "nul", "numbers", "sql", "long"],
    )
    def test_a_payload_comes_back_as_it_went_in(self, store: Store, payload: dict[str, object]) -> None:
        id = add(store, payload=payload)
        assert read(store, id).payload == payload
        task = take(store, hire(store)).task
        assert task is not None
        assert task.payload == payload

    def test_a_payload_that_is_no_text_is_kept_or_refused_in_a_sentence(self, store: Store) -> None:
        payload = {"half a pair": "\ud800"}
        try:
            id = add(store, payload=payload)
        except UsageError:
            assert statuses(store) == {}
        else:
            assert read(store, id).payload == payload

    def test_names_are_data_never_sql(self, store: Store) -> None:
        odd = "x'\"; DROP TABLE task; -- % _ \\"
        id = add(store, type=odd, key=odd, limit_key=odd, unit=odd, machine=odd, account=odd, requires=(odd,), by=odd)
        task = take(store, hire(store, types=(odd,), names=(odd,), capabilities=(odd,))).task
        assert task is not None
        assert (task.id, task.type, task.key, task.unit, task.requires) == (id, odd, odd, odd, (odd,))

    def test_what_was_submitted_is_an_event(self, store: Store) -> None:
        id = add(store, by="ada")
        [event] = store.queue.events(task=id)
        assert (event.kind, event.task, event.by) == ("task.submitted", id, "ada")
        assert do(store, AppendEvent(kind="test.note", task=id, by="bo", data={"n": [1]})) is None
        note = store.queue.events(after=event.id)[-1]
        assert (note.kind, note.task, note.by, note.data) == ("test.note", id, "bo", {"n": [1]})

    def test_what_was_written_is_there_after_closing_and_opening(self, open_store: OpenStore) -> None:
        store = open_store()
        id = add(store, key="k")
        store.close()
        again = open_store()
        try:
            assert read(again, id).project == PROJECT
            assert submit(again, new_task(key="k"))[0].id == id
        finally:
            again.close()
