"""One at a time: limit keys, exclusive work units, and units claimed from outside the queue."""

from __future__ import annotations

import time

import pytest

from runner.errors import Conflict
from runner.store import (
    REFUSED,
    CancelTask,
    ClaimTasks,
    ClaimUnit,
    PutRecord,
    Release,
    ReleaseUnit,
    ResolveTask,
    RetryTask,
    Settle,
    Store,
)
from runner.testing.conformance.actors import (
    PROJECT,
    StoreTests,
    add,
    bury,
    claim,
    do,
    finish,
    hire,
    keys,
    new_task,
    outlast,
    read,
    renew,
    settle,
    status,
    submit,
    take,
    tick,
)

GATES = pytest.mark.parametrize("gate", [{"limit_key": "one"}, {"unit": "u1"}], ids=["limit_key", "unit"])


class GateTests(StoreTests):
    @GATES
    def test_only_the_head_is_pending(self, store: Store, gate: dict[str, str]) -> None:
        ids = [add(store, **gate) for _ in range(3)]
        assert [status(store, id) for id in ids] == ["pending", "blocked", "blocked"]
        assert keys(claim(store, hire(store), limit=5)) == ids[:1]
        assert [status(store, id) for id in ids] == ["claimed", "blocked", "blocked"]

    @GATES
    def test_only_the_head_is_pending_of_those_submitted_together(self, store: Store, gate: dict[str, str]) -> None:
        answers = submit(store, *(new_task(**gate) for _ in range(3)))
        assert [a.status for a in answers] == ["pending", "blocked", "blocked"]

    @GATES
    @pytest.mark.parametrize("outcome", ["ok", "check_failed", "needs_human", "cancelled", "rate_limited"])
    def test_settling_the_head_promotes_the_next(self, store: Store, gate: dict[str, str], outcome: str) -> None:
        ids = [add(store, **gate) for _ in range(3)]
        finish(store, hire(store), outcome, retry_at=time.time() + 600 if outcome == "rate_limited" else None)
        assert [status(store, id) for id in ids[1:]] == ["pending", "blocked"]

    @GATES
    def test_settle_and_the_claim_of_the_next_are_one_commit(self, store: Store, gate: dict[str, str]) -> None:
        ids = [add(store, **gate) for _ in range(3)]
        worker = hire(store)
        held = take(store, worker)
        _, claims = store.commit([Settle(fence=held, outcome="ok"), ClaimTasks(worker=worker, limit=5)])
        assert keys(claims) == [ids[1]]
        assert status(store, ids[2]) == "blocked"

    @GATES
    def test_cancelling_the_head_promotes_the_next(self, store: Store, gate: dict[str, str]) -> None:
        ids = [add(store, **gate) for _ in range(3)]
        do(store, CancelTask(task=ids[0]))
        assert [status(store, id) for id in ids] == ["cancelled", "pending", "blocked"]

    @GATES
    def test_cancelling_one_that_waits_changes_nothing_for_the_others(self, store: Store, gate: dict[str, str]) -> None:
        ids = [add(store, **gate) for _ in range(3)]
        do(store, CancelTask(task=ids[1]))
        assert [status(store, id) for id in ids] == ["pending", "cancelled", "blocked"]
        finish(store, hire(store))
        assert [status(store, id) for id in ids] == ["done", "cancelled", "pending"]

    @GATES
    def test_the_next_is_the_one_of_lowest_rank(self, store: Store, gate: dict[str, str]) -> None:
        head = add(store, **gate)
        held = take(store, hire(store))
        late, urgent = add(store, **gate), add(store, priority=2, **gate)
        settle(store, held)
        assert [status(store, id) for id in (head, late, urgent)] == ["done", "blocked", "pending"]

    @GATES
    def test_a_task_that_comes_back_never_makes_two_at_once(self, store: Store, gate: dict[str, str]) -> None:
        first, second = add(store, **gate), add(store, **gate)
        worker = hire(store)
        finish(store, worker, "needs_human", question="?")
        do(store, ResolveTask(task=first, to="pending"))
        assert sorted([status(store, first), status(store, second)]) == ["blocked", "pending"]
        one = take(store, worker)
        assert claim(store, worker) == []
        settle(store, one)
        settle(store, take(store, worker))
        assert [status(store, first), status(store, second)] == ["done", "done"]

    @GATES
    def test_retrying_a_finished_one_waits_for_the_one_that_runs(self, store: Store, gate: dict[str, str]) -> None:
        first, second = add(store, **gate), add(store, **gate)
        worker = hire(store)
        finish(store, worker)
        held = take(store, worker)
        assert held.key == second
        assert do(store, RetryTask(task=first)) == "blocked"
        settle(store, held)
        assert status(store, first) == "pending"

    @GATES
    def test_the_head_is_still_the_head_after_its_holder_died_or_let_go(
        self, store: Store, gate: dict[str, str]
    ) -> None:
        ids = [add(store, **gate) for _ in range(2)]
        worker = hire(store)
        do(store, Release(fence=take(store, worker)))
        assert [status(store, id) for id in ids] == ["pending", "blocked"]
        take(store, worker)
        bury(store, worker)
        assert [status(store, id) for id in ids] == ["pending", "blocked"]

    @GATES
    def test_a_task_that_waits_for_parents_does_not_hold_the_others_up(
        self, store: Store, gate: dict[str, str]
    ) -> None:
        parent = add(store)
        child, other = add(store, after=(parent,), **gate), add(store, **gate)
        assert [status(store, id) for id in (child, other)] == ["blocked", "pending"]
        worker = hire(store)
        finish(store, worker)
        tick(store)
        held = take(store, worker)
        assert sorted([status(store, child), status(store, other)]) == ["blocked", "claimed"]
        settle(store, held)
        settle(store, take(store, worker))
        assert [status(store, id) for id in (child, other)] == ["done", "done"]

    @GATES
    def test_tasks_that_fall_due_together_still_go_one_by_one(self, store: Store, gate: dict[str, str]) -> None:
        due = time.time() + 0.3
        ids = [add(store, not_before=due, **gate) for _ in range(3)]
        assert {status(store, id) for id in ids} == {"scheduled"}
        time.sleep(0.6)
        tick(store)
        assert sorted(status(store, id) for id in ids) == ["blocked", "blocked", "pending"]

    def test_different_keys_and_units_do_not_wait_for_each_other(self, store: Store) -> None:
        ids = [add(store, limit_key="a"), add(store, limit_key="b"), add(store, unit="u1"), add(store, unit="u2")]
        ids += [add(store), add(store, limit_key="a", project="p2")]
        assert {status(store, id) for id in ids} == {"pending"}

    def test_a_unit_belongs_to_one_project(self, store: Store) -> None:
        add(store, unit="u1")
        with pytest.raises(Conflict):
            add(store, unit="u1", project="p2")

    def test_a_task_with_unit_and_limit_key_waits_for_both(self, store: Store) -> None:
        of_key, of_unit = add(store, limit_key="k"), add(store, unit="u")
        both = add(store, limit_key="k", unit="u")
        worker = hire(store)
        one, two = claim(store, worker, limit=5)
        assert {one.key, two.key} == {of_key, of_unit}
        settle(store, one)
        assert status(store, both) == "blocked"
        settle(store, two)
        assert status(store, both) == "pending"
        assert take(store, worker).key == both

    def test_tasks_of_a_parallel_unit_do_not_wait_for_each_other(self, store: Store) -> None:
        do(store, PutRecord(kind="unit", id="wide", data={"parallel": True}, project=PROJECT))
        ids = [add(store, unit="wide") for _ in range(3)]
        assert keys(claim(store, hire(store), limit=5)) == ids

    def test_a_unit_claimed_from_outside_hides_its_tasks(self, store: Store) -> None:
        ids = [add(store, unit="u1") for _ in range(2)]
        held = do(store, ClaimUnit(unit="u1", project=PROJECT, holder="script"))
        assert held.id == "unit:u1"
        assert held.epoch >= 1
        assert {status(store, id) for id in ids} == {"blocked"}
        assert status(store, add(store, unit="u1")) == "blocked"
        assert claim(store, hire(store), limit=5) == []
        assert do(store, ClaimUnit(unit="u1", project=PROJECT, holder="another")) is None

    def test_releasing_a_unit_brings_its_tasks_back_and_sets_its_status(self, store: Store) -> None:
        do(store, PutRecord(kind="unit", id="u1", data={"title": "Ship", "status": "todo"}, project=PROJECT))
        ids = [add(store, unit="u1") for _ in range(2)]
        held = do(store, ClaimUnit(unit="u1", project=PROJECT, holder="script"))
        assert do(store, ReleaseUnit(fence=held, status="done")) is None
        assert [status(store, id) for id in ids] == ["pending", "blocked"]
        record = store.records.get("unit", "u1")
        assert record is not None
        assert (record["status"], record["title"]) == ("done", "Ship")

    def test_a_unit_is_claimed_anew_with_a_greater_epoch_and_the_old_holder_is_refused(self, store: Store) -> None:
        first = do(store, ClaimUnit(unit="u1", project=PROJECT, holder="one"))
        do(store, ReleaseUnit(fence=first, status="todo"))
        second = do(store, ClaimUnit(unit="u1", project=PROJECT, holder="two"))
        assert second.epoch > first.epoch
        assert do(store, ReleaseUnit(fence=first, status="failed")) == REFUSED
        assert do(store, ClaimUnit(unit="u1", project=PROJECT, holder="three")) is None
        assert do(store, ReleaseUnit(fence=second, status="done")) is None

    def test_a_unit_whose_task_is_held_cannot_be_claimed_from_outside(self, store: Store) -> None:
        add(store, unit="u1")
        held = take(store, hire(store))
        assert do(store, ClaimUnit(unit="u1", project=PROJECT, holder="script")) is None
        settle(store, held)
        assert do(store, ClaimUnit(unit="u1", project=PROJECT, holder="script")) is not None

    def test_a_unit_claim_is_renewed_and_ends_with_its_lease(self, store: Store) -> None:
        id = add(store, unit="u1")
        held = do(store, ClaimUnit(unit="u1", project=PROJECT, holder="script", lease=0.3))
        worker = hire(store, "observer", types=("none",))
        [renewal] = renew(store, hire(store, "script"), held, lease=0.3)
        assert renewal.ok
        deadline = time.monotonic() + 20
        while status(store, id) == "blocked":
            assert time.monotonic() < deadline, "a unit's claim outlived its lease"
            renew(store, worker, lease=0.3)
            tick(store)
            time.sleep(0.05)
        assert status(store, id) == "pending"
        assert do(store, ReleaseUnit(fence=held, status="done")) == REFUSED

    def test_an_expired_task_of_a_unit_gives_the_unit_back(self, store: Store) -> None:
        id = add(store, unit="u1")
        held = take(store, hire(store), lease=0.2)
        outlast(store, held)
        assert read(store, id).status == "pending"
        assert do(store, ClaimUnit(unit="u1", project=PROJECT, holder="script")) is not None
