"""Attempts and outcomes: what is written down, what is counted, and what becomes of the task."""

from __future__ import annotations

import time

import pytest

from runner.errors import RunnerError
from runner.store import (
    AppendEvent,
    CancelTask,
    FinishAttempt,
    Published,
    Release,
    RetryTask,
    Settle,
    StartAttempt,
    Store,
)
from runner.testing.conformance.actors import (
    StoreTests,
    add,
    claim,
    do,
    finish,
    hire,
    keys,
    read,
    settle,
    start,
    status,
    take,
    tick,
)


class OutcomeTests(StoreTests):
    @pytest.mark.parametrize(
        ("outcome", "becomes", "spent"),
        [
            ("ok", "done", 1),
            ("no_op", "pending", 1),
            ("timeout", "pending", 1),
            ("stalled", "pending", 1),
            ("crashed", "pending", 1),
            ("check_failed", "failed", 1),
            ("rate_limited", "scheduled", 0),
            ("auth", "scheduled", 0),
            ("budget", "needs_human", 1),
            ("awaiting_permission", "needs_human", 1),
            ("needs_human", "needs_human", 1),
            ("cancelled", "cancelled", 0),
        ],
    )
    def test_an_outcome_becomes(self, store: Store, outcome: str, becomes: str, spent: int) -> None:
        id = add(store)
        held = take(store, hire(store))
        start(store, held)
        assert settle(store, held, outcome, result={"summary": "s"}) == becomes
        task = read(store, id)
        assert (task.status, task.outcome, task.attempts, task.interruptions) == (becomes, outcome, spent, 0)
        assert task.holder is None
        assert task.result == {"summary": "s"}
        assert (task.finished_at is not None) == (becomes in {"done", "failed", "cancelled"})

    @pytest.mark.parametrize(
        ("outcome", "at_last"),
        [("no_op", "failed"), ("timeout", "needs_human"), ("stalled", "needs_human"), ("crashed", "needs_human")],
    )
    def test_attempts_are_spent_one_by_one(self, store: Store, outcome: str, at_last: str) -> None:
        id = add(store, attempts=3)
        worker, seen = hire(store), []
        for _ in range(3):
            held = take(store, worker)
            start(store, held)
            seen.append(settle(store, held, outcome))
        assert seen == ["pending", "pending", at_last]
        assert read(store, id).attempts == 3
        assert claim(store, worker) == []

    def test_different_outcomes_spend_the_same_attempts(self, store: Store) -> None:
        add(store, attempts=3)
        worker = hire(store)
        outcomes = ["timeout", "no_op", "stalled"]
        assert [settle(store, take(store, worker), outcome) for outcome in outcomes] == [
            "pending",
            "pending",
            "needs_human",
        ]

    def test_a_single_attempt_is_the_last(self, store: Store) -> None:
        add(store, attempts=1)
        assert settle(store, take(store, hire(store)), "crashed") == "needs_human"

    def test_a_rate_limit_spends_nothing_however_often(self, store: Store) -> None:
        id = add(store, attempts=1, interruptions=1)
        worker = hire(store)
        for _ in range(4):
            assert finish(store, worker, "rate_limited", retry_at=time.time() - 1).key == id
            tick(store)
            assert status(store, id) == "pending"
        task = read(store, id)
        assert (task.attempts, task.interruptions) == (0, 0)

    def test_red_checks_go_to_a_person_when_something_might_repair_them(self, store: Store) -> None:
        add(store)
        assert settle(store, take(store, hire(store)), "check_failed", repairable=True) == "needs_human"

    def test_a_question_is_kept_for_the_person(self, store: Store) -> None:
        id = add(store)
        settle(store, take(store, hire(store)), "needs_human", question="Which port?")
        assert read(store, id).question == "Which port?"

    def test_an_unknown_outcome_is_refused_and_nothing_is_written(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        with pytest.raises(RunnerError):
            store.commit([AppendEvent(kind="test.note"), Settle(fence=held, outcome="splendid")])
        assert status(store, id) == "claimed"
        assert [e for e in store.queue.events() if e.kind == "test.note"] == []

    def test_a_task_is_finished_once(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        settle(store, held)
        assert do(store, Settle(fence=held, outcome="crashed")) == "refused"
        task = read(store, id)
        assert (task.status, task.outcome) == ("done", "ok")
        assert len([e for e in store.queue.events(task=id) if e.kind == "task.settled"]) == 1

    def test_an_attempt_is_written_down_before_and_after(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        held = take(store, worker)
        assert start(store, held, agent="claude", data={"pid": 7}) == 1
        assert status(store, id) == "in_progress"
        [open_attempt] = store.queue.attempts(id)
        assert (open_attempt.task, open_attempt.step, open_attempt.n, open_attempt.epoch) == (id, "main", 1, held.epoch)
        assert (open_attempt.agent, open_attempt.worker) == ("claude", worker.id)
        assert (open_attempt.ended_at, open_attempt.outcome) == (None, None)
        assert do(store, FinishAttempt(fence=held, n=1, outcome="ok", result={"exit_code": 0})) is None
        [attempt] = store.queue.attempts(id)
        assert (attempt.outcome, attempt.result) == ("ok", {"exit_code": 0})
        assert attempt.ended_at is not None
        assert attempt.ended_at >= attempt.started_at

    def test_attempts_are_numbered_through_repairs_and_claims(self, store: Store) -> None:
        id = add(store, attempts=5)
        worker = hire(store)
        first = take(store, worker)
        assert [start(store, first), start(store, first, repair=True)] == [1, 2]
        settle(store, first, "crashed")
        second = take(store, worker)
        assert start(store, second) == 3
        do(store, Release(fence=second))
        assert start(store, take(store, worker)) == 4
        epochs = [a.epoch for a in store.queue.attempts(id)]
        assert [a.n for a in store.queue.attempts(id)] == [1, 2, 3, 4]
        assert epochs == sorted(epochs)
        assert len(set(epochs)) == 3
        task = read(store, id)
        assert task.attempt == 4
        assert task.attempts == 1, "repairs and interruptions spend no attempt"

    def test_attempts_and_settle_are_one_commit(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        n, finished, settled = store.commit(
            [
                StartAttempt(fence=held),
                FinishAttempt(fence=held, n=1, outcome="ok"),
                Settle(fence=held, outcome="ok", result={"output": "hi"}),
            ]
        )
        assert (n, finished, settled) == (1, None, "done")
        assert read(store, id).result == {"output": "hi"}

    def test_the_start_of_a_task_is_its_first_attempts(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        assert read(store, id).started_at is None
        finish(store, worker, "crashed")
        first = read(store, id).started_at
        assert first is not None
        finish(store, worker)
        task = read(store, id)
        assert task.finished_at is not None
        assert task.created_at <= first <= task.finished_at

    def test_a_task_that_was_to_be_cancelled_is_not_tried_again(self, store: Store) -> None:
        id = add(store, attempts=5)
        held = take(store, hire(store))
        start(store, held)
        do(store, CancelTask(task=id))
        assert settle(store, held, "crashed") == "cancelled"

    def test_a_task_that_was_to_be_cancelled_and_is_handed_back_is_cancelled(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        do(store, CancelTask(task=id))
        assert do(store, Release(fence=held)) == "cancelled"

    def test_a_task_that_got_done_before_it_heard_of_the_cancel_is_done(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        do(store, CancelTask(task=id))
        assert settle(store, held) == "done"

    def test_what_has_to_be_published_is_listed_until_it_is(self, store: Store) -> None:
        id = add(store)
        worker = hire(store, "w1", machine="m1")
        held = take(store, worker)
        publish = {"repo": "/r", "ref": "refs/heads/runner/u", "new": "b" * 40, "old": "a" * 40}
        settle(store, held, publish=publish, home="m1")
        [listed] = store.queue.to_publish("m1")
        assert listed.id == id
        assert listed.publish is not None
        assert listed.publish.items() >= publish.items()
        assert store.queue.to_publish("m2") == []
        assert do(store, Published(task=id, epoch=held.epoch)) is None
        assert store.queue.to_publish("m1") == []

    def test_what_cannot_be_published_is_not_tried_for_ever(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store, "w1", machine="m1"))
        settle(store, held, publish={"ref": "x"}, home="m1")
        do(store, Published(task=id, epoch=held.epoch, error="the branch moved"))
        assert store.queue.to_publish("m1") == []
        assert any("the branch moved" in str(e.data) for e in store.queue.events(task=id))

    def test_the_next_task_of_a_unit_stays_on_the_machine_that_has_its_workspace(self, store: Store) -> None:
        one, two = hire(store, "w1", machine="m1", names=("m1",)), hire(store, "w2", machine="m2", names=("m2",))
        add(store, unit="u1")
        settle(store, take(store, one), home="m1")
        second = add(store, unit="u1")
        assert claim(store, two) == []
        assert keys(claim(store, one)) == [second]

    def test_a_person_may_send_a_task_anywhere(self, store: Store) -> None:
        one, two = hire(store, "w1", machine="m1", names=("m1",)), hire(store, "w2", machine="m2", names=("m2",))
        id = add(store, unit="u1")
        settle(store, take(store, one), "needs_human", home="m1")
        do(store, RetryTask(task=id))
        assert claim(store, two) == []
        do(store, Release(fence=take(store, one)))
        do(store, CancelTask(task=id))
        do(store, RetryTask(task=id, anywhere=True))
        assert keys(claim(store, two)) == [id]
