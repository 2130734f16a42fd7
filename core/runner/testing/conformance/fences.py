"""Fences: a holder that lost its claim can write nothing, whoever it is and however late it comes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from runner.errors import Conflict, RunnerError
from runner.model import Artifact, Claim
from runner.store import (
    REFUSED,
    AppendEvent,
    AppendMessage,
    CancelTask,
    ClaimTasks,
    FinishAttempt,
    LateEvidence,
    Op,
    PutArtifact,
    PutRecord,
    Release,
    RetryTask,
    Settle,
    StartAttempt,
    Store,
    SubmitTasks,
    Tick,
)
from runner.testing import history
from runner.testing.conformance.actors import (
    PROJECT,
    OpenStore,
    StoreTests,
    add,
    bury,
    claim,
    do,
    hire,
    keys,
    new_task,
    read,
    renew,
    settle,
    start,
    status,
    statuses,
    submit,
    take,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FENCED: dict[str, Callable[[Claim], Op]] = {
    "start": lambda held: StartAttempt(fence=held),
    "finish_attempt": lambda held: FinishAttempt(fence=held, n=1, outcome="ok"),
    "settle": lambda held: Settle(fence=held, outcome="ok"),
    "release": lambda held: Release(fence=held),
    "artifact": lambda held: PutArtifact(fence=held, artifact=_artifact(held)),
    "message": lambda held: AppendMessage(fence=held, stream="s", body={"text": "late"}),
    "event": lambda held: AppendEvent(fence=held, kind="test.note", task=held.key),
    "record": lambda held: PutRecord(fence=held, kind="note", id="n", data={"by": "zombie"}),
    "submit": lambda held: SubmitTasks(fence=held, tasks=(new_task("child-of-a-zombie"),)),
}


def _artifact(held: Claim) -> Artifact:
    return Artifact(
        name="out.txt", type="text/plain", size=2, sha256="0" * 64, ref="late", project=PROJECT, task=held.key
    )


def _traces(store: Store, id: str) -> list[Any]:
    """All that a holder could have changed."""
    task = read(store, id)
    return [
        (task.status, task.outcome, task.epoch, task.attempt, task.attempts, task.result),
        task.holder and (task.holder.worker, task.holder.epoch),
        [(a.n, a.epoch, a.outcome, a.result) for a in store.queue.attempts(id)],
        store.records.artifacts(task=id),
        store.streams.read("s"),
        [e for e in store.queue.events() if e.kind in {"test.note", "task.settled", "task.released"}],
        store.records.get("note", "n"),
        sum(statuses(store).values()),
    ]


def _lost(store: Store) -> tuple[str, Claim, Claim]:
    """A task that `w1` started, lost, and `w2` runs now → its id, the lost claim, the good one."""
    id = add(store)
    first, second = hire(store, "w1"), hire(store, "w2")
    lost = take(store, first)
    start(store, lost)
    bury(store, first)
    held = take(store, second)
    start(store, held)
    return id, lost, held


class FenceTests(StoreTests):
    @pytest.mark.parametrize("op", FENCED.values(), ids=FENCED)
    def test_a_lost_claim_is_refused(self, store: Store, op: Callable[[Claim], Op]) -> None:
        id, lost, held = _lost(store)
        before = _traces(store, id)
        assert do(store, op(lost)) == REFUSED
        assert _traces(store, id) == before
        assert do(store, op(held)) != REFUSED

    @pytest.mark.parametrize("op", FENCED.values(), ids=FENCED)
    def test_a_claim_that_was_settled_is_refused(self, store: Store, op: Callable[[Claim], Op]) -> None:
        id = add(store)
        held = take(store, hire(store))
        start(store, held)
        settle(store, held)
        before = _traces(store, id)
        assert do(store, op(held)) == REFUSED
        assert _traces(store, id) == before

    @pytest.mark.parametrize("op", FENCED.values(), ids=FENCED)
    def test_an_epoch_that_never_was_is_refused(self, store: Store, op: Callable[[Claim], Op]) -> None:
        id = add(store)
        held = take(store, hire(store))
        start(store, held)
        before = _traces(store, id)
        assert do(store, op(Claim(held.id, held.epoch + 1))) == REFUSED
        assert do(store, op(Claim("task:nobody", 1))) == REFUSED
        assert _traces(store, id) == before

    def test_a_lost_claim_is_refused_even_before_the_next_one_takes_it(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        lost = take(store, worker)
        bury(store, worker)
        assert do(store, Settle(fence=lost, outcome="ok")) == REFUSED
        assert not renew(store, worker, lost)[0].ok
        assert status(store, id) == "pending"

    def test_a_settled_claim_is_refused_after_the_task_was_queued_again(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        settle(store, held)
        do(store, RetryTask(task=id))
        assert do(store, Settle(fence=held, outcome="crashed")) == REFUSED
        assert status(store, id) == "pending"
        again = take(store, hire(store, "w2"))
        assert again.epoch > held.epoch
        assert do(store, Settle(fence=held, outcome="crashed")) == REFUSED
        assert status(store, id) == "claimed"

    def test_the_ops_of_one_fence_fall_together(self, store: Store) -> None:
        id, lost, _held = _lost(store)
        before = _traces(store, id)
        ops = [op(lost) for op in FENCED.values()]
        assert store.commit(ops) == [REFUSED] * len(ops)
        assert _traces(store, id) == before

    def test_the_ops_of_one_fence_stand_together(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        results = store.commit(
            [
                StartAttempt(fence=held),
                AppendEvent(fence=held, kind="test.note", task=id),
                FinishAttempt(fence=held, n=1, outcome="ok"),
                PutArtifact(fence=held, artifact=_artifact(held)),
                Settle(fence=held, outcome="ok"),
                AppendMessage(fence=held, stream="s", body={"text": "after the settle, in its commit"}),
            ]
        )
        assert REFUSED not in results
        assert [m.body["text"] for m in store.streams.read("s")] == ["after the settle, in its commit"]

    @pytest.mark.parametrize("then", ["settle", "release", "start"])
    def test_a_claim_ends_once_in_a_commit_too(self, store: Store, then: str) -> None:
        id = add(store, attempts=5)
        held = take(store, hire(store))
        start(store, held)
        try:
            first, second = store.commit([Settle(fence=held, outcome="no_op"), FENCED[then](held)])
        except (RunnerError, ValueError):
            assert status(store, id) == "in_progress", "a commit that raises writes nothing"
        else:
            assert (first, second) == ("pending", REFUSED)
            assert (status(store, id), read(store, id).attempts) == ("pending", 1)
        assert history.check(history.gather(store), finished=False).violations == []

    def test_what_is_taken_back_in_a_commit_is_not_settled_in_it(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        held = take(store, worker)
        start(store, held)
        ticked, settled = store.commit([Tick(dead=(worker.id,)), Settle(fence=held, outcome="ok")])
        if settled == REFUSED:
            assert status(store, id) == "pending"
        else:
            assert (ticked.reclaimed, status(store, id)) == ((), "done")
        assert history.check(history.gather(store), finished=False).violations == []

    def test_a_stale_fence_does_not_hold_up_the_others_in_its_commit(self, store: Store) -> None:
        id, lost, held = _lost(store)
        other = add(store)
        worker = hire(store, "w2")
        results = store.commit(
            [
                Settle(fence=lost, outcome="ok"),
                AppendEvent(kind="test.note", data={"n": 1}),
                Settle(fence=held, outcome="no_op"),
                AppendEvent(fence=lost, kind="test.late"),
                ClaimTasks(worker=worker, limit=5),
            ]
        )
        assert results[0] == REFUSED
        assert results[1] is None
        assert results[2] == "pending"
        assert results[3] == REFUSED
        assert sorted(keys(results[4])) == sorted([id, other])
        kinds = [e.kind for e in store.queue.events()]
        assert "test.note" in kinds
        assert "test.late" not in kinds

    def test_many_settles_in_one_commit_are_each_their_own(self, store: Store) -> None:
        submit(store, *(new_task() for _ in range(6)))
        one, two = hire(store, "w1"), hire(store, "w2")
        lost, kept = claim(store, one, limit=3), claim(store, two, limit=3)
        bury(store, one)
        mixed = [claim for pair in zip(lost, kept, strict=True) for claim in pair]
        results = store.commit([Settle(fence=held, outcome="ok") for held in mixed])
        assert results == [REFUSED, "done"] * 3
        assert statuses(store) == {"pending": 3, "done": 3}

    def test_a_commit_that_raises_writes_nothing(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        with pytest.raises(Conflict):
            store.commit([Settle(fence=held, outcome="ok"), RetryTask(task=id), RetryTask(task=add_held(store))])
        assert status(store, id) == "claimed"

    def test_late_evidence_goes_to_the_own_attempt_and_nowhere_else(self, store: Store) -> None:
        id, lost, held = _lost(store)
        before = _traces(store, id)
        assert do(store, LateEvidence(task=id, epoch=lost.epoch, data={"tail": "first words"})) is True
        assert do(store, LateEvidence(task=id, epoch=lost.epoch, data={"exit_code": 77})) is True
        own, other = store.queue.attempts(id)
        assert (own.epoch, other.epoch) == (lost.epoch, held.epoch)
        assert "first words" in json.dumps(own.late)
        assert "77" in json.dumps(own.late)
        assert not other.late
        assert _traces(store, id) == before

    def test_late_evidence_without_an_attempt_is_not_kept(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        lost = take(store, worker)
        bury(store, worker)
        assert do(store, LateEvidence(task=id, epoch=lost.epoch, data={"x": 1})) is False
        assert do(store, LateEvidence(task="nobody", epoch=1, data={"x": 1})) is False

    def test_the_same_request_again_gets_the_same_answer_and_does_nothing(self, store: Store) -> None:
        task = new_task()
        ops = [SubmitTasks(tasks=(task,)), AppendEvent(kind="test.note"), AppendMessage(stream="s", body={"n": 1})]
        first = store.commit(ops, request_id="r1")
        assert store.commit(ops, request_id="r1") == first
        assert statuses(store) == {"pending": 1}
        assert len([e for e in store.queue.events() if e.kind == "test.note"]) == 1
        assert [m.position for m in store.streams.read("s")] == [1]

    def test_a_claim_that_is_asked_for_again_is_the_same_claim(self, store: Store, open_store: OpenStore) -> None:
        submit(store, *(new_task() for _ in range(5)))
        worker = hire(store)
        ops = [ClaimTasks(worker=worker, limit=2, lease=60)]
        [first] = store.commit(ops, request_id="r1")
        other = open_store()  # the answer was lost with the connection: another one asks
        [again] = other.commit(ops, request_id="r1")
        other.close()
        assert again == first
        assert [c.lease for c in again] == [60, 60]
        assert [c.task.payload for c in again] == [{"script": "true"}] * 2
        assert [c.task.id for c in again] == keys(first)
        assert statuses(store) == {"claimed": 2, "pending": 3}

    def test_a_settle_that_is_sent_again_is_not_refused(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        held = take(store, worker)
        n = store.commit([StartAttempt(fence=held)], request_id="r1")
        assert store.commit([StartAttempt(fence=held)], request_id="r1") == n == [1]
        assert store.commit([Settle(fence=held, outcome="no_op")], request_id="r2") == ["pending"]
        assert store.commit([Settle(fence=held, outcome="no_op")], request_id="r2") == ["pending"]
        task = read(store, id)
        assert (task.attempt, task.attempts) == (1, 1)

    def test_a_refusal_that_is_asked_for_again_is_a_refusal_still(self, store: Store) -> None:
        _id, lost, _held = _lost(store)
        assert store.commit([Settle(fence=lost, outcome="ok")], request_id="r1") == [REFUSED]
        assert store.commit([Settle(fence=lost, outcome="ok")], request_id="r1") == [REFUSED]

    def test_a_request_that_failed_may_be_sent_again(self, store: Store) -> None:
        add(store, key="k")
        ops = [AppendEvent(kind="test.note"), SubmitTasks(tasks=(new_task(key="k", payload={"other": 1}),))]
        with pytest.raises(Conflict):
            store.commit(ops, request_id="r1")
        [held] = claim(store, hire(store))
        settle(store, held)  # the key is free now
        _, [answer] = store.commit(ops, request_id="r1")
        assert answer.created
        assert len([e for e in store.queue.events() if e.kind == "test.note"]) == 1

    def test_different_requests_are_different(self, store: Store) -> None:
        for n in range(3):
            store.commit([AppendMessage(stream="s", body={"n": n})], request_id=f"r{n}")
        assert [m.body["n"] for m in store.streams.read("s")] == [0, 1, 2]

    def test_an_op_that_needs_a_fence_is_an_error_without_one(self, store: Store) -> None:
        add(store)
        for op in (StartAttempt(), Settle(outcome="ok"), Release(), FinishAttempt(n=1, outcome="ok")):
            with pytest.raises((RunnerError, ValueError)):
                do(store, op)

    def test_a_commit_of_nothing_is_nothing(self, store: Store) -> None:
        assert store.commit([]) == []

    def test_a_zombie_that_settles_while_a_cancel_comes_is_refused(self, store: Store) -> None:
        id, lost, held = _lost(store)
        do(store, CancelTask(task=id))
        assert do(store, Settle(fence=lost, outcome="cancelled")) == REFUSED
        assert renew(store, hire(store, "w2"), held)[0].cancel
        assert settle(store, held, "cancelled") == "cancelled"


def add_held(store: Store) -> str:
    """A task that somebody holds: retrying it is a conflict."""
    id = add(store, type="held")
    take(store, hire(store, "holder", types=("held",)))
    return id
