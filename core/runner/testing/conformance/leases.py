"""Leases: renewing, expiring, taking back from the dead and the silent, schedules, and handing back."""

from __future__ import annotations

import time

from runner.model import Claim
from runner.store import REFUSED, CancelTask, Release, Renew, Settle, Store, Tick
from runner.testing.conformance.actors import (
    StoreTests,
    add,
    bury,
    claim,
    do,
    eventually,
    finish,
    hire,
    keys,
    new_task,
    outlast,
    read,
    renew,
    settle,
    start,
    status,
    statuses,
    submit,
    take,
    tick,
)


class LeaseTests(StoreTests):
    def test_a_renewed_claim_outlives_its_first_lease(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        held = take(store, worker, lease=0.6)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            [renewal] = renew(store, worker, held, lease=0.6)
            assert (renewal.id, renewal.epoch, renewal.ok, renewal.cancel) == (held.id, held.epoch, True, False)
            tick(store)
            time.sleep(0.1)
        assert read(store, id).epoch == held.epoch
        assert settle(store, held) == "done"

    def test_renewals_are_answered_in_order_each_for_itself(self, store: Store) -> None:
        submit(store, *(new_task() for _ in range(3)))
        worker = hire(store)
        one, two, three = claim(store, worker, limit=3)
        settle(store, two)
        stale = Claim(three.id, three.epoch - 1)
        answers = renew(store, worker, three, two, stale, one)
        assert [(a.id, a.epoch, a.ok) for a in answers] == [
            (three.id, three.epoch, True),
            (two.id, two.epoch, False),
            (three.id, three.epoch - 1, False),
            (one.id, one.epoch, True),
        ]

    def test_a_stale_renewal_does_not_lengthen_the_next_holders_lease(self, store: Store) -> None:
        id = add(store)
        first, second = hire(store, "w1"), hire(store, "w2")
        lost = take(store, first)
        bury(store, first)
        take(store, second, lease=20)
        [answer] = renew(store, first, lost, lease=3000)
        assert not answer.ok
        holder = read(store, id).holder
        assert holder is not None
        assert (holder.worker, holder.lease_left <= 20) == ("w2", True)

    def test_a_renewal_of_what_does_not_exist_is_refused(self, store: Store) -> None:
        [answer] = renew(store, hire(store), Claim("task:nobody", 1))
        assert not answer.ok

    def test_an_expired_claim_that_nobody_took_back_is_renewed(self, store: Store) -> None:
        add(store)
        worker = hire(store)
        held = take(store, worker, lease=0.1)
        time.sleep(0.3)
        [answer] = renew(store, worker, held)
        assert answer.ok
        tick(store)
        assert settle(store, held) == "done"

    def test_an_expired_claim_that_nobody_took_back_is_settled(self, store: Store) -> None:
        add(store)
        held = take(store, hire(store), lease=0.1)
        time.sleep(0.3)
        assert settle(store, held) == "done"

    def test_an_expired_claim_is_taken_back_and_the_old_holder_refused(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        held = take(store, worker, lease=0.3)
        start(store, held)
        outlast(store, held)
        task = read(store, id)
        assert (task.status, task.interruptions, task.attempts, task.holder) == ("pending", 1, 0, None)
        assert task.epoch > held.epoch
        [answer] = renew(store, worker, held)
        assert not answer.ok
        assert do(store, Settle(fence=held, outcome="ok")) == REFUSED
        assert status(store, id) == "pending"

    def test_no_claim_is_taken_back_before_its_lease_is_over(self, store: Store) -> None:
        add(store)
        held = take(store, hire(store), lease=1.0)
        began = time.monotonic()
        outlast(store, held)
        assert time.monotonic() - began > 0.9

    def test_a_store_that_was_away_gives_holders_one_more_lease(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        held = take(store, worker, lease=0.5)
        time.sleep(0.9)  # nobody renewed anything for longer than a lease: perhaps nobody could
        tick(store)
        assert status(store, id) == "claimed"
        [answer] = renew(store, worker, held, lease=0.5)
        assert answer.ok
        time.sleep(0.9)
        tick(store)
        assert status(store, id) == "claimed"

        def taken_back() -> bool:
            tick(store)
            return status(store, id) == "pending"

        eventually(taken_back, "the claim of a holder that stays away is taken back, though nobody renews")

    def test_the_claims_of_a_dead_worker_are_taken_back_at_once(self, store: Store) -> None:
        submit(store, *(new_task() for _ in range(3)))
        dead, alive = hire(store, "dead"), hire(store, "alive")
        gone = claim(store, dead, limit=2)
        [kept] = claim(store, alive)
        done = do(store, Tick(dead=("dead",)))
        assert sorted(r.removeprefix("task:") for r in done.reclaimed) == sorted(keys(gone))
        assert {status(store, held.key) for held in gone} == {"pending"}
        assert status(store, kept.key) == "claimed"
        assert settle(store, kept) == "done"

    def test_naming_a_worker_dead_that_holds_nothing_changes_nothing(self, store: Store) -> None:
        add(store)
        take(store, hire(store, "alive"))
        assert do(store, Tick(dead=("nobody", "")))
        assert statuses(store) == {"claimed": 1}

    def test_expired_claims_are_found_behind_a_full_batch_of_good_ones(self, store: Store) -> None:
        submit(store, *(new_task() for _ in range(30)))
        claim(store, hire(store, "alive"), limit=29)
        [held] = claim(store, hire(store, "gone"), lease=0.2)
        other = hire(store, "observer", types=("none",))

        def taken_back() -> bool:
            renew(store, other, lease=0.2)
            do(store, Tick(batch=5))
            return status(store, held.key) == "pending"

        eventually(taken_back, "the one expired claim is found")
        assert statuses(store) == {"claimed": 29, "pending": 1}

    def test_many_dead_claims_are_taken_back_in_bounded_batches(self, store: Store) -> None:
        submit(store, *(new_task() for _ in range(25)))
        dead = hire(store, "dead")
        claim(store, dead, limit=25)
        done = tick(store, batch=10, dead=("dead",))
        assert [len(t.reclaimed) for t in done if t.reclaimed] == [10, 10, 5]
        assert statuses(store) == {"pending": 25}

    def test_taking_back_again_and_again_ends_with_a_person(self, store: Store) -> None:
        id = add(store, interruptions=3)
        for turn in range(3):
            assert status(store, id) == "pending", f"after {turn} interruptions"
            worker = hire(store, f"w{turn}")
            start(store, take(store, worker))
            bury(store, worker)
        task = read(store, id)
        assert (task.status, task.interruptions, task.attempts) == ("needs_human", 3, 0)

    def test_a_task_that_kills_workers_before_it_starts_ends_with_a_person_too(self, store: Store) -> None:
        id = add(store, interruptions=3)
        for turn in range(10):
            if status(store, id) != "pending":
                break
            worker = hire(store, f"w{turn}")
            take(store, worker)
            bury(store, worker)
        assert status(store, id) == "needs_human"

    def test_a_task_taken_back_that_was_to_be_cancelled_is_cancelled(self, store: Store) -> None:
        id = add(store)
        dead = hire(store, "dead")
        start(store, take(store, dead))
        assert do(store, CancelTask(task=id)) == "in_progress"
        bury(store, dead)
        assert status(store, id) == "cancelled"

    def test_a_claim_handed_back_before_it_started_counts_nothing(self, store: Store) -> None:
        id = add(store)
        held = take(store, hire(store))
        assert do(store, Release(fence=held)) == "pending"
        task = read(store, id)
        assert (task.status, task.interruptions, task.attempts, task.holder) == ("pending", 0, 0, None)

    def test_a_claim_handed_back_after_it_started_counts_one_interruption(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        held = take(store, worker)
        start(store, held)
        start(store, held, repair=True)
        assert do(store, Release(fence=held)) == "pending"
        task = read(store, id)
        assert (task.interruptions, task.attempts) == (1, 0)
        do(store, Release(fence=take(store, worker)))  # this time nothing was started
        assert read(store, id).interruptions == 1

    def test_handing_back_again_and_again_ends_with_a_person(self, store: Store) -> None:
        id = add(store, interruptions=2)
        worker, ends = hire(store), []
        for _ in range(2):
            held = take(store, worker)
            start(store, held)
            ends.append(do(store, Release(fence=held)))
        assert ends == ["pending", "needs_human"]
        assert read(store, id).interruptions == 2

    def test_a_claim_is_handed_back_once(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        held = take(store, worker)
        do(store, Release(fence=held))
        assert do(store, Release(fence=held)) == REFUSED
        again = take(store, worker)
        assert again.epoch > held.epoch
        assert do(store, Release(fence=held)) == REFUSED
        assert status(store, id) == "claimed"

    def test_a_task_that_is_not_due_is_scheduled_and_offered_to_nobody(self, store: Store) -> None:
        id = add(store, not_before=time.time() + 3600)
        assert status(store, id) == "scheduled"
        tick(store)
        assert claim(store, hire(store)) == []
        assert read(store, id).not_before is not None

    def test_a_task_whose_time_has_come_is_promoted(self, store: Store) -> None:
        id = add(store, not_before=time.time() + 0.5)
        assert status(store, id) == "scheduled"
        time.sleep(0.8)
        done = tick(store)
        assert sum(t.promoted for t in done) == 1
        assert take(store, hire(store)).key == id

    def test_a_time_in_the_past_is_no_reason_to_wait(self, store: Store) -> None:
        assert status(store, add(store, not_before=time.time() - 60)) == "pending"

    def test_due_tasks_are_promoted_in_bounded_batches(self, store: Store) -> None:
        due = time.time() + 0.5
        submit(store, *(new_task(not_before=due) for _ in range(25)))
        submit(store, *(new_task(not_before=due + 3600) for _ in range(25)))
        time.sleep(0.8)
        done = tick(store, batch=10)
        assert [t.promoted for t in done if t.promoted] == [10, 10, 5]
        assert statuses(store) == {"pending": 25, "scheduled": 25}

    def test_a_tick_with_nothing_due_does_nothing(self, store: Store) -> None:
        add(store)
        take(store, hire(store))
        [done] = tick(store)
        assert (done.promoted, done.released, done.reclaimed, done.more) == (0, 0, (), False)
        assert statuses(store) == {"claimed": 1}

    def test_a_heartbeat_without_claims_is_stamped(self, store: Store) -> None:
        worker = hire(store)
        time.sleep(0.4)
        [before] = [w for w in store.queue.workers() if w.id == worker.id]
        assert do(store, Renew(worker=worker.id, claims=())) == []
        [after] = [w for w in store.queue.workers() if w.id == worker.id]
        assert before.heartbeat >= 0.3
        assert after.heartbeat < before.heartbeat

    def test_a_person_who_cancels_is_heard_at_the_next_renewal(self, store: Store) -> None:
        id = add(store)
        worker = hire(store)
        held = take(store, worker)
        assert not renew(store, worker, held)[0].cancel
        do(store, CancelTask(task=id))
        [answer] = renew(store, worker, held)
        assert (answer.ok, answer.cancel) == (True, True)
        assert settle(store, held, "cancelled") == "cancelled"

    def test_an_interrupted_task_goes_on_counting_where_it_was(self, store: Store) -> None:
        id = add(store, attempts=3)
        worker = hire(store)
        finish(store, worker, "crashed")
        start(store, take(store, worker))
        bury(store, worker)
        finish(store, worker, "timeout")
        task = read(store, id)
        assert (task.status, task.attempts, task.interruptions, task.attempt) == ("pending", 2, 1, 3)
